/**
 * The metrics, by Prometheus' naming rules (https://prometheus.io/docs/practices/naming/).
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { PassResult } from './report.ts';

/** Seconds in which passes end: a refresh takes one to ten, a pass with nothing to do milliseconds. */
const passBuckets = [0.01, 0.05, 0.25, 1, 2, 4, 8, 16, 60];

/** Seconds from a changed bundle's arrival to its proof: a pass, and what it waits for where the host is in trouble. */
const lagBuckets = [0.25, 0.5, 1, 2, 4, 8, 16, 30, 60, 120, 300];

/** As much of a pass as is counted. */
export type PassCount = Pick<PassResult, 'converged' | 'repaired' | 'milliseconds'> & {
  readonly lagMs?: number | undefined;
};

export interface Metrics {
  /** Counts a pass. */
  count(pass: PassCount): void;
  /** Shows what the last pass found. */
  show(result: PassResult): void;
  /** The text that Prometheus reads. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** What every metric has. */
const common = (registry: Registry, name: string, help: string, labelNames: string[] = []) => ({
  name: `node_ca_trust_${name}`,
  ...{ help, labelNames, registers: [registry] },
});

/** What is as it is now. */
function gauges(registry: Registry): Pick<Metrics, 'show'> {
  const gauge = (name: string, help: string, labelNames?: string[]): Gauge =>
    new Gauge(common(registry, name, help, labelNames));
  const converged = gauge('converged', '1 when the host is proven to trust exactly the bundle, else 0.');
  const anchors = gauge('anchors', 'Trust anchors in the bundle.');
  const bundle = gauge('bundle_info', '1, with the digest of the bundle as a label.', ['digest']);
  const findings = gauge('findings', 'Findings about the bundle.', ['code', 'severity']);
  const held = gauge('removals_held_back', 'Removals held back until the bundle is valid, or the API server answers.');
  const expiry = gauge('anchor_expiry_timestamp_seconds', 'When an anchor expires, Unix time.', [
    'fingerprint',
    'subject',
  ]);
  const runtimes = gauge('runtime_state', 'Whether the pulls of a container runtime see the store: 1 for its state.', [
    'runtime',
    'state',
  ]);
  const probes = gauge('probe_verified', "1 when the host's store verifies a server, as of the last change, else 0.", [
    'address',
  ]);
  return {
    show(result) {
      runtimes.reset();
      for (const { name, state } of result.runtimes) runtimes.set({ runtime: name, state }, 1);
      if (result.runtimesUnseen === true) runtimes.set({ runtime: 'unseen', state: 'incomplete' }, 1);
      probes.reset();
      for (const { address, verified } of result.probes) probes.set({ address }, verified ? 1 : 0);
      converged.set(result.converged ? 1 : 0);
      anchors.set(result.anchors.length);
      bundle.reset();
      bundle.set({ digest: result.digest }, 1);
      held.set(result.heldBack.length);
      findings.reset();
      for (const { code, severity } of result.findings) findings.inc({ code, severity });
      expiry.reset();
      for (const { fingerprint, subject, notAfter } of result.anchors) {
        expiry.set({ fingerprint, subject }, Date.parse(notAfter) / 1000);
      }
    },
  };
}

/** What adds up. */
function counters(registry: Registry): Pick<Metrics, 'count'> {
  const passes = new Counter(common(registry, 'passes_total', 'Passes made, by result.', ['result']));
  const repaired = new Counter(common(registry, 'repairs_total', 'Anchors put back after somebody changed the host.'));
  const seconds = new Histogram({
    ...common(registry, 'pass_duration_seconds', 'How long a pass took.'),
    buckets: passBuckets,
  });
  const told = 'From the arrival of a changed bundle at the agent to its proof on the host.';
  const lag = new Histogram({ ...common(registry, 'source_lag_seconds', told), buckets: lagBuckets });
  for (const result of ['converged', 'failed']) passes.inc({ result }, 0);
  return {
    count(pass) {
      passes.inc({ result: pass.converged ? 'converged' : 'failed' });
      repaired.inc(pass.repaired.length);
      seconds.observe(pass.milliseconds / 1000);
      if (pass.lagMs !== undefined) lag.observe(pass.lagMs / 1000);
    },
  };
}

/** Opens the metrics of one agent. */
export function openMetrics(): Metrics {
  const registry = new Registry();
  return {
    ...gauges(registry),
    ...counters(registry),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
