// The dashboard and the PodMonitor, by a real Prometheus that scrapes real agents: every query that the dashboard makes has
// an answer, with the labels that it and the alerts go by.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { project } from '../image/machine.ts';
import { agent, digestOf, eventually, type Daemon } from '../sandbox/harness/agent.ts';
import { makeCert } from '../sandbox/harness/certs.ts';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import { smallWorld } from '../sandbox/harness/host.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { agentOf, only, render, type Resource } from './manifests.ts';
import { alertRules } from './prometheus.ts';

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly { readonly refId: string; readonly expr: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

interface Relabeling {
  readonly sourceLabels?: readonly string[];
  readonly targetLabel: string;
  readonly replacement?: string;
}

interface PodMonitor extends Resource {
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly podMetricsEndpoints: readonly [
      { readonly port: string; readonly path: string; readonly relabelings: readonly Relabeling[] },
    ];
  };
}

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

const dashboard = JSON.parse(
  await readFile(join(project, 'deploy/monitoring/dashboard.json'), 'utf8'),
) as Dashboard;
const { daemonSet } = agentOf(render('deploy/overlays/monitoring'));
const monitor = only(render('deploy/overlays/monitoring'), 'PodMonitor') as PodMonitor;
const [endpoint] = monitor.spec.podMetricsEndpoints;
const stack = new AsyncDisposableStack();
let prometheus: string;
let digests: readonly string[];

const metaLabel = (key: string) => `__meta_kubernetes_pod_label_${key.replace(/\W/g, '_')}`;

/** What Prometheus finds out of a pod before it relabels (kubernetes_sd_config, role pod). */
function discovered(node: string, daemon: Daemon): object {
  const { labels = {} } = daemonSet.spec.template.metadata;
  const named = Object.entries(labels).map(([key, value]) => [metaLabel(key), value]);
  return {
    targets: [new URL(daemon.url).host],
    labels: {
      ...(Object.fromEntries(named) as Record<string, string>),
      __meta_kubernetes_namespace: daemonSet.metadata.namespace,
      __meta_kubernetes_pod_name: `agent-on-${node}`,
      __meta_kubernetes_pod_node_name: node,
      __meta_kubernetes_pod_container_name: 'node-ca-trust',
      __meta_kubernetes_pod_container_port_name: daemonSet.spec.template.spec.containers[0].ports[0].name,
    },
  };
}

/** As the operator writes the configuration for a PodMonitor: what it does itself, then the monitor's own. */
function relabelConfigs(): object[] {
  const keep = (label: string, regex: string) => ({ action: 'keep', source_labels: [label], regex });
  const copy = (label: string, target_label: string) => ({ source_labels: [label], target_label });
  return [
    ...Object.entries(monitor.spec.selector.matchLabels).map(([key, value]) => keep(metaLabel(key), value)),
    keep('__meta_kubernetes_pod_container_port_name', endpoint.port),
    copy('__meta_kubernetes_namespace', 'namespace'),
    copy('__meta_kubernetes_pod_container_name', 'container'),
    copy('__meta_kubernetes_pod_name', 'pod'),
    { target_label: 'job', replacement: `${daemonSet.metadata.namespace ?? ''}/${monitor.metadata.name}` },
    { target_label: 'endpoint', replacement: endpoint.port },
    ...endpoint.relabelings.map(({ sourceLabels, targetLabel, replacement }) => ({
      target_label: targetLabel,
      ...(sourceLabels === undefined ? {} : { source_labels: sourceLabels }),
      ...(replacement === undefined ? {} : { replacement }),
    })),
  ];
}

/** Starts Prometheus, which scrapes every second. @returns its URL, once it answers */
async function startPrometheus(targets: readonly object[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'node-ca-trust-prometheus-'));
  stack.defer(() => rm(directory, { recursive: true }));
  const job = { job_name: 'podMonitor', metrics_path: endpoint.path, static_configs: targets };
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [join(directory, 'rules.json')],
    scrape_configs: [{ ...job, relabel_configs: relabelConfigs() }],
  };
  await writeFile(join(directory, 'prometheus.json'), JSON.stringify(config));
  await writeFile(join(directory, 'rules.json'), JSON.stringify(alertRules()));
  const address = `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}:9090`;
  const args = ['prometheus.json', 'data'].map((name) => join(directory, name));
  const child = spawn(
    'prometheus',
    [`--config.file=${args[0] ?? ''}`, `--storage.tsdb.path=${args[1] ?? ''}`, `--web.listen-address=${address}`],
    { env: { ...cleanEnvironment, PATH: process.env['PATH'] }, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const ended = once(child, 'exit');
  stack.defer(async () => {
    child.kill();
    await ended;
  });
  const url = `http://${address}`;
  await eventually(async () => {
    const ready = await fetch(`${url}/-/ready`).catch(() => undefined);
    if (ready?.status !== 200) throw new Error(`Prometheus is not ready: ${log.slice(-2000)}`);
  });
  return url;
}

/** Asks Prometheus. Throws with what it said of a query that it does not take. */
async function api<T>(path: string): Promise<T> {
  const answer = (await (await fetch(`${prometheus}/api/v1/${path}`)).json()) as { data: T; error?: string };
  if (answer.error !== undefined) throw new Error(`${path}: ${answer.error}`);
  return answer.data;
}

/** The numbers of an answer: NaN, which a graph does not show, is none. */
async function samplesOf(expr: string): Promise<readonly Sample[]> {
  const { result } = await api<{ result: readonly Sample[] }>(`query?query=${encodeURIComponent(expr)}`);
  return result.filter(({ value }) => Number.isFinite(Number(value[1])));
}

/** A process that goes by the name of a container runtime, and waits: it answers nothing. */
async function startRuntime(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'node-ca-trust-runtime-'));
  await copyFile('/bin/cat', join(directory, 'containerd'));
  const child = spawn(join(directory, 'containerd'), [], { stdio: ['pipe', 'ignore', 'ignore'] });
  const ended = once(child, 'exit');
  stack.defer(async () => {
    child.kill();
    await ended;
    await rm(directory, { recursive: true });
  });
}

/** Three nodes: one well, one with a bundle of its own, and one that got a bundle with an error. */
beforeAll(async () => {
  const [one, two, three] = await Promise.all([makeCert({ days: 20 }), makeCert(), makeCert()]);
  await startRuntime();
  const nodes = await Promise.all(
    ['a', 'b', 'c'].map(async (node) => {
      const world = stack.use(await smallWorld());
      const secret = stack.use(await mountSecret({ 'one.crt': one.pem, 'two.crt': two.pem }));
      const daemon = stack.use(agent(world).run(secret.directory, '--probe', '127.0.0.1:1'));
      await daemon.ready(one, two);
      return { node, secret, daemon };
    }),
  );
  prometheus = await startPrometheus(nodes.map(({ node, daemon }) => discovered(node, daemon)));
  await eventually(async () => {
    expect(await samplesOf('up == 1')).toHaveLength(3);
  });
  // Passes that are counted between two scrapes, so that there are rates.
  await nodes[1]?.secret.swap({ 'one.crt': one.pem, 'two.crt': two.pem, 'three.crt': three.pem });
  await nodes[1]?.daemon.ready(one, two, three);
  await nodes[2]?.secret.swap({ 'one.crt': one.pem, 'two.crt': one.pem.slice(0, 300) });
  await nodes[2]?.daemon.notReady(/not-a-certificate/);
  await eventually(async () => {
    expect(await samplesOf('rate(node_ca_trust_passes_total{result="failed"}[5m]) > 0')).toHaveLength(1);
    expect(await samplesOf('count(count by (digest) (node_ca_trust_bundle_info)) == 3')).toHaveLength(1);
  });
  digests = [digestOf([one, two]), digestOf([one, two, three]), digestOf([one])];
}, 180_000);

afterAll(() => stack.disposeAsync());

/** As Grafana fills in its variables when all is chosen. */
function filledIn(expr: string): string {
  return expr.replaceAll(/\$(namespace|agent_instance)\b/g, '.*').replaceAll('$__rate_interval', '5m');
}

describe('the dashboard', () => {
  const queries = dashboard.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }): [string, string] => [title, filledIn(expr)]),
  );

  it.each(queries)('%s: %s', async (_, query) => {
    expect(query).not.toMatch(/\$(?!1")/);
    expect(await samplesOf(query)).not.toEqual([]);
  });

  it('has each panel once, in a place of its own', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`),
    );
    const ids = dashboard.panels.map(({ id }) => id);
    const refs = dashboard.panels.flatMap(({ id, targets }) => targets.map(({ refId }) => `${id} ${refId}`));
    for (const list of [cells, refs, ids.map(String)]) expect(new Set(list).size).toBe(list.length);
    expect(Math.max(...dashboard.panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24);
  });

  it('offers the namespaces and instances that there are', async () => {
    const queried = dashboard.templating.list.flatMap(({ definition }) => definition ?? []);
    const asked = queried.map((definition) => /^label_values\((.*), (\w+)\)$/.exec(definition)?.slice(1) ?? []);
    const offered = asked.map(async ([selector = '', label = '']) => {
      const matched = encodeURIComponent(filledIn(selector));
      return [label, await api<readonly string[]>(`label/${label}/values?match[]=${matched}`)];
    });
    expect(Object.fromEntries(await Promise.all(offered))).toEqual({
      namespace: ['node-ca-trust'],
      agent_instance: ['default'],
    });
  });

  it('shows the progress of a rotation: how many nodes have which bundle', async () => {
    const [proven = '', waiting = ''] = queries.flatMap(([title, query]) => (title.startsWith('Rotation') ? [query] : []));
    const counted = async (query: string): Promise<unknown> =>
      Object.fromEntries((await samplesOf(query)).map(({ metric, value }) => [metric['digest'], value[1]]));
    const [old = '', next = '', broken = ''] = digests.map((digest) => digest.slice(0, 12));
    expect(await counted(proven)).toEqual({ [old]: '1', [next]: '1' });
    expect(await counted(waiting)).toEqual({ [broken]: '1' });
  });

  it('names the node that is not proven', async () => {
    const query = queries.find(([title, text]) => title === 'Nodes not proven' && text.includes('== 0'))?.[1] ?? '';
    const said = await samplesOf(query);
    expect(said.map(({ metric }) => metric)).toMatchObject([
      { node: 'c', pod: 'agent-on-c', namespace: 'node-ca-trust', agent_instance: 'default' },
    ]);
  });
});

test('every series has the labels that the alerts and the dashboard go by', async () => {
  const match = encodeURIComponent('{__name__=~"node_ca_trust_.+"}');
  const series = await api<readonly Readonly<Record<string, string>>[]>(`series?match[]=${match}`);
  const carried = new Set(
    series.map(({ namespace, pod, node, job, agent_instance, container, endpoint: from }) =>
      JSON.stringify([namespace, pod, node, job, agent_instance, container, from]),
    ),
  );
  expect([...carried].map((text) => JSON.parse(text) as string[]).sort()).toEqual(
    ['a', 'b', 'c'].map((node) => [
      'node-ca-trust',
      `agent-on-${node}`,
      node,
      'node-ca-trust',
      'default',
      'node-ca-trust',
      'status',
    ]),
  );
});

test('the alerts see what is wrong with these nodes', async () => {
  const pending = async () => {
    const { alerts } = await api<{ alerts: readonly { readonly labels: Record<string, string> }[] }>('alerts');
    return alerts.map(({ labels }) => `${labels['alertname'] ?? ''} ${labels['node'] ?? ''}`.trim()).sort();
  };
  await eventually(async () => {
    expect(await pending()).toEqual(
      expect.arrayContaining([
        'NodeCATrustAnchorExpiresSoon',
        'NodeCATrustDigestDiffers',
        'NodeCATrustNotConverged c',
        'NodeCATrustRemovalsHeldBack c',
      ]),
    );
  });
});
