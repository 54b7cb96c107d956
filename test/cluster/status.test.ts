// `status` against the suite's own agents, as somebody sees them who may only look: the table and the JSON, a rotation
// that is waited for, a node that was down when it was unlabelled.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { type Measured, kubeconfigFor, nodeCaTrust, status } from '../status/admin.ts';
import { eventually, secondsSince, useScene } from './scene.ts';
import { killAgent, makeAuthority, serveOn, trusts } from './witness.ts';

const scene = await useScene();
const [old, next] = [await makeAuthority(), await makeAuthority()];
const before = { 'old.crt': old.ca.pem };
const during = { ...before, 'new.crt': next.ca.pem };

let kubeconfig: string;

/** A service account with `list` on nodes and pods, and its kubeconfig. */
async function makeReader(): Promise<string> {
  const metadata = { name: 'status-reader' };
  const rbac = 'rbac.authorization.k8s.io';
  const account = { kind: 'ServiceAccount', name: metadata.name, namespace: 'default' };
  await scene.apply(
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, namespace: 'default' } },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata,
      rules: [{ apiGroups: [''], resources: ['nodes', 'pods'], verbs: ['list'] }],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: metadata.name },
      subjects: [account],
    },
  );
  const token = (await scene.kubectl('-n', 'default', 'create', 'token', metadata.name, '--duration=2h')).trim();
  const view = await scene.kubectl('config', 'view', '--raw', '--minify', '-o', 'jsonpath={.clusters[0].cluster}');
  const { server, ...cluster } = JSON.parse(view) as { server: string };
  return kubeconfigFor({ url: server, ca: { pem: '' } }, { token }, cluster);
}

beforeAll(async () => {
  kubeconfig = await makeReader();
});

const look = (...args: readonly string[]): Promise<Measured> => status(['--kubeconfig', kubeconfig, ...args]);

interface Seen {
  readonly converged: boolean;
  readonly digest: string;
  readonly enabled: number;
  readonly proven: number;
  readonly leftovers: number;
  readonly nodes: readonly { readonly node: string; readonly enabled: boolean; readonly reason?: string }[];
}

async function seen(): Promise<Seen> {
  const { stdout, stderr } = await look('--output', 'json');
  expect(stderr.replace(/^node-ca-trust: no node bears .*\n/, '')).toBe('');
  return JSON.parse(stdout) as Seen;
}

/** What `check` says of a bundle. */
async function digestOf(files: Readonly<Record<string, string>>): Promise<string> {
  const directory = mkdtempSync(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? tmpdir(), 'bundle-'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const { code, stdout } = await nodeCaTrust(['check', '--output', 'json', directory]);
  expect(code).toBe(0);
  return (JSON.parse(stdout) as { digest: string }).digest;
}

test('shows each node with what its agent has proven, to an account that may only look', async () => {
  await scene.install(before, scene.cluster.nodes);
  const digest = await digestOf(before);
  const proven = (): Promise<boolean> => seen().then((all) => all.converged && all.digest === digest);
  await eventually('both Nodes say so', proven);
  const table = await look();
  expect([table.code, table.stderr]).toEqual([0, '']);
  const line = (name: string): string => `${name}\\tyes\\t1\\t${digest.slice(0, 12)}\\t\\d+ d\\ttrusts\\t\\d+[sm]\\t`;
  const names = scene.cluster.nodes.map(({ name }) => name).sort();
  const body = names.map((name) => `${line(name)}\\n`).join('');
  expect(table.stdout).toMatch(
    new RegExp(`^NODE\\t.*\\n${body}\\n2 of 2 nodes have proven ${digest.slice(0, 12)}\\n$`),
  );
  const pods = await Promise.all(scene.cluster.nodes.map((node) => scene.pod(node)));
  expect(await seen()).toMatchObject({
    converged: true,
    digest,
    enabled: 2,
    proven: 2,
    leftovers: 0,
    nodes: scene.cluster.nodes
      .map(({ name }, at) => ({ node: name, ready: true, pod: { name: pods[at]?.metadata.name, ready: true } }))
      .sort((one, other) => (one.node < other.node ? -1 : 1)),
  });
});

test('is waited for in a rotation, and returns when both nodes trust the new CA', async () => {
  await scene.install(before, scene.cluster.nodes);
  const ports = await Promise.all(scene.cluster.nodes.map((node) => serveOn(node, next)));
  const digest = await digestOf(during);
  await eventually('both Nodes say what they have', () => seen().then(({ converged }) => converged));
  expect((await look('--digest', digest)).code).toBe(1);
  const waiting = look('--wait', '--digest', digest, '--timeout', '2m');
  const began = performance.now();
  await scene.putSecret(during);
  const { code, stdout } = await waiting;
  console.log(`from the changed Secret to the end of status --wait: ${secondsSince(began)} s`);
  expect([code, stdout]).toEqual([0, expect.stringContaining(`2 of 2 nodes have proven ${digest.slice(0, 12)}\n`)]);
  expect(await Promise.all(scene.cluster.nodes.map((node, at) => trusts(node, ports[at] ?? 0)))).toEqual([true, true]);
});

test('shows what is left on a node that was down when it was unlabelled, until its agent has removed it', async () => {
  await scene.install(before, scene.cluster.nodes);
  const port = await serveOn(scene.node, old);
  await scene.node.stopKubelet();
  try {
    await killAgent(scene.node);
    await scene.unlabel(scene.node);
    await eventually('it is a leftover', () => seen().then(({ leftovers }) => leftovers === 1));
  } finally {
    await scene.node.startKubelet();
  }
  await eventually('the pod is gone', async () => (await allPods()) === 1);
  const { code, stdout } = await look();
  expect([code, stdout]).toEqual([0, expect.stringMatching(/1 of 1 node has proven [0-9a-f]{12}; 1 leftover\n$/)]);
  const [left] = (await seen()).nodes;
  expect(left).toMatchObject({ node: scene.node.name, enabled: false });
  expect(left?.reason).toMatch(/^not labelled any more, and no agent said that it removed the CAs: label it again/);
  expect(await trusts(scene.node, port)).toBe(true);
  await scene.label(scene.node);
  await scene.rollout(undefined, 2);
  await scene.unlabel(scene.node);
  await eventually('nothing is left', () => seen().then(({ leftovers }) => leftovers === 0), { seconds: 120 });
  expect(await trusts(scene.node, port)).toBe(false);
});

/** How many pods of agents there are, ending ones included. */
async function allPods(): Promise<number> {
  const pods = ['get', 'pods', '-A', '-l', 'app.kubernetes.io/name=node-ca-trust', '-o', 'name'];
  return (await scene.kubectl(...pods)).split('\n').filter(Boolean).length;
}
