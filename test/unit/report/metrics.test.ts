import { describe, expect, it } from 'vitest';
import { type Metrics, openMetrics } from '../../../src/report/metrics.ts';
import type { PassResult } from '../../../src/report/report.ts';
import { anchorOf, findingOf, passOf } from '../support/anchors.ts';

/** The samples of a text that Prometheus would read: name with labels, to value. */
async function samples(metrics: Metrics): Promise<ReadonlyMap<string, number>> {
  const lines = (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
}

function record(metrics: Metrics, pass: PassResult): void {
  metrics.count(pass);
  metrics.show(pass);
}

describe('metrics', () => {
  it('has its counters from the start, so that a first failure is seen as an increase', async () => {
    const found = await samples(openMetrics());
    expect(found.get('node_ca_trust_passes_total{result="converged"}')).toBe(0);
    expect(found.get('node_ca_trust_passes_total{result="failed"}')).toBe(0);
    expect(found.get('node_ca_trust_repairs_total')).toBe(0);
  });

  it('tells of the last pass, and counts them all', async () => {
    const metrics = openMetrics();
    record(metrics, passOf({ converged: false, heldBack: ['a', 'b'], anchors: [anchorOf('a')], milliseconds: 20 }));
    record(metrics, passOf({ repaired: ['x', 'y'], anchors: [anchorOf('a'), anchorOf('b')], milliseconds: 3_000 }));
    const found = await samples(metrics);
    expect(found.get('node_ca_trust_converged')).toBe(1);
    expect(found.get('node_ca_trust_anchors')).toBe(2);
    expect(found.get('node_ca_trust_removals_held_back')).toBe(0);
    expect(found.get('node_ca_trust_passes_total{result="failed"}')).toBe(1);
    expect(found.get('node_ca_trust_passes_total{result="converged"}')).toBe(1);
    expect(found.get('node_ca_trust_repairs_total')).toBe(2);
    expect(found.get('node_ca_trust_pass_duration_seconds_sum')).toBeCloseTo(3.02);
    expect(found.get('node_ca_trust_pass_duration_seconds_count')).toBe(2);
  });

  it('shows the digest of the bundle, and of that alone', async () => {
    const metrics = openMetrics();
    const named = (found: ReadonlyMap<string, number>) => [...found].filter(([name]) => name.includes('bundle_info'));
    expect(named(await samples(metrics))).toEqual([]);
    for (const digest of ['a', 'b']) record(metrics, passOf({ digest }));
    expect(named(await samples(metrics))).toEqual([['node_ca_trust_bundle_info{digest="b"}', 1]]);
  });

  it('says 0 as long as the host is not proven', async () => {
    const metrics = openMetrics();
    record(metrics, passOf({ converged: false }));
    expect((await samples(metrics)).get('node_ca_trust_converged')).toBe(0);
  });

  it('counts findings by code and severity, and forgets those that are mended', async () => {
    const metrics = openMetrics();
    const expired = findingOf('warning', 'expired');
    const findings = 'node_ca_trust_findings';
    record(metrics, passOf({ findings: [expired, expired, findingOf('error', 'not-a-ca')] }));
    const found = await samples(metrics);
    expect(found.get(`${findings}{code="expired",severity="warning"}`)).toBe(2);
    expect(found.get(`${findings}{code="not-a-ca",severity="error"}`)).toBe(1);
    record(metrics, passOf());
    expect([...(await samples(metrics)).keys()].filter((name) => name.startsWith(findings))).toEqual([]);
  });

  it('shows the state that each container runtime is in now, and what was last verified', async () => {
    const metrics = openMetrics();
    const runtime = { name: 'containerd', socket: '/s', pid: 1, way: 'certs.d', directories: [], message: '' } as const;
    const probes = [{ address: 'a.example:443', verified: false, message: 'no' }];
    record(metrics, passOf({ runtimes: [{ ...runtime, state: 'restart-needed' }], probes }));
    record(metrics, passOf({ runtimes: [{ ...runtime, state: 'trusts' }], probes }));
    const found = await samples(metrics);
    const states = [...found.keys()].filter((name) => name.startsWith('node_ca_trust_runtime_state'));
    expect(states).toEqual(['node_ca_trust_runtime_state{runtime="containerd",state="trusts"}']);
    expect(found.get('node_ca_trust_probe_verified{address="a.example:443"}')).toBe(0);
  });

  it('shows that the container runtimes could not be looked at', async () => {
    const metrics = openMetrics();
    record(metrics, passOf({ runtimesUnseen: true }));
    const unseen = 'node_ca_trust_runtime_state{runtime="unseen",state="incomplete"}';
    expect((await samples(metrics)).get(unseen)).toBe(1);
    record(metrics, passOf());
    expect((await samples(metrics)).has(unseen)).toBe(false);
  });

  it('says when each anchor expires, and forgets those that are gone', async () => {
    const metrics = openMetrics();
    record(metrics, passOf({ anchors: [anchorOf('old')] }));
    const fresh = anchorOf('fresh', { notAfter: '2030-01-02T03:04:05.000Z', subject: 'O="A \\ B", CN=x' });
    record(metrics, passOf({ anchors: [fresh] }));
    const expiry = [...(await samples(metrics))].filter(([name]) => name.includes('expiry'));
    expect(expiry).toEqual([
      [
        `node_ca_trust_anchor_expiry_timestamp_seconds{fingerprint="${fresh.fingerprint}",subject="O=\\"A \\\\ B\\", CN=x"}`,
        Date.parse('2030-01-02T03:04:05Z') / 1000,
      ],
    ]);
  });

  it('explains each metric, in the form that Prometheus reads', async () => {
    const metrics = openMetrics();
    const text = await metrics.text();
    const names = new Set(text.match(/(?<=^# TYPE )\S+/gm));
    expect(names.size).toBeGreaterThan(5);
    for (const name of names) expect(text).toMatch(new RegExp(`^# HELP ${name} \\S.*\\.$`, 'm'));
    expect(metrics.contentType).toMatch(/^text\/plain; version=/);
  });

  it('keeps two agents in one process apart', async () => {
    const [one, two] = [openMetrics(), openMetrics()];
    record(one, passOf({ repaired: ['x'] }));
    expect((await samples(two)).get('node_ca_trust_repairs_total')).toBe(0);
  });
});
