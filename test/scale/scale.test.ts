// Many agents at one real API server: what they ask of it while nothing happens, and what one change of the Secret costs.
// Everything that is counted was counted by the API server: in its audit log, in its metrics. Each agent has its own Node,
// as large as a kubelet makes it, and its own pod's token; the permissions and policies of deploy/base are in force. Of an
// agent only the host is made up (fleet.ts).
//
// NODE_CA_TRUST_FULL=1: a thousand agents at their real pace. Else fewer, whose half minute and resync are shorter.
import { mkdtempSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { namesOf, readTrust } from '../../src/api/trust-annotation.ts';
import { namespace, putAccount, putSecret } from '../api/harness/account.ts';
import { type ApiServer, startApi } from '../api/harness/api-server.ts';
import { type Node, podToken } from '../api/harness/nodes.ts';
import { type Mint, digestOf, openMint, secretOf } from '../bench/anchors.ts';
import { chooseSeed, randomFrom } from '../sandbox/harness/chaos.ts';
import { adminKubeconfig, status } from '../status/admin.ts';
import { inParallel, label, nodeOf } from '../status/objects.ts';
import { type Asked, type Audit, auditFlags, counted, openAudit } from './audit.ts';
import { type Costs, costsOf, liveHeapOf, spent } from './costs.ts';
import { type Agent, startAgent } from './fleet.ts';

const isFull = process.env['NODE_CA_TRUST_FULL'] === '1';
const count = isFull ? 1_000 : 100;
/** So many pods of a DaemonSet come up at a time. */
const batch = 50;
/** Chance is this much smaller than it is: so is the time within which reports are written. */
const pace = isFull ? 1 : 0.1;
const resyncMs = isFull ? 600_000 : 20_000;
const jitterMs = 30_000 * pace;
/** For so long an API server without an agent is looked at, to know what it takes by itself. */
const aloneMs = isFull ? 60_000 : 5_000;
const patience = { timeout: 900_000, interval: 100 };

const { annotation, condition, taint } = namesOf('default');
const startup = { key: taint, effect: 'NoSchedule' };
const nodes = Array.from({ length: count }, (_, index) => `node-${String(index).padStart(4, '0')}`);
const seed = chooseSeed();

let api: ApiServer;
let audit: Audit;
let agents: readonly Agent[] = [];
let mint: Mint;
/** Watches of Secrets that are the API server's own. */
let ownWatches = 0;

beforeAll(async () => {
  const directory = mkdtempSync(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '/nowhere', 'audit-'));
  api = await startApi(...auditFlags(directory));
  audit = openAudit(directory);
  await putAccount(api);
  mint = await openMint();
});

afterAll(async () => {
  await Promise.all(agents.map((agent) => agent.stop()));
  await api[Symbol.asyncDispose]();
});

/** Registers the Nodes as kubelets do, with the startup taint. @returns the token of the agent's pod on each */
async function register(): Promise<ReadonlyMap<string, string>> {
  const tokens = new Map<string, string>();
  await inParallel(nodes, async (name) => {
    const { spec, ...node } = nodeOf(name, { trust: null, condition: null });
    await api.must('POST', '/api/v1/nodes', { ...node, spec: { ...(spec as object), taints: [startup] } });
    tokens.set(name, await podToken(api, { name: 'node-ca-trust', namespace }, name));
  });
  return tokens;
}

async function nodesNow(): Promise<readonly Node[]> {
  return ((await api.must('GET', '/api/v1/nodes')) as { items: readonly Node[] }).items;
}

const trustOf = ({ metadata }: Node) => readTrust(metadata.annotations?.[annotation] ?? '');
const isTrue = ({ status: { conditions = [] } }: Node): boolean =>
  conditions.some(({ type, status: is }) => type === condition && is === 'True');

/** Requests since a moment. */
const since = (from: Costs): readonly Asked[] => audit.read().filter(({ at }) => at >= from.at);
const of = (what: string, asked: readonly Asked[]): readonly Asked[] => asked.filter((one) => one.what === what);

const without = (asked: readonly Asked[], ...kinds: readonly string[]): readonly Asked[] =>
  asked.filter(({ what }) => !kinds.includes(what));

/** Waits until so many agents have asked for this since then. */
async function untilAsked(what: string, from: Costs, wanted = count): Promise<void> {
  await vi.waitUntil(() => new Set(of(what, since(from)).map(({ node }) => node)).size === wanted, patience);
}

/** At which times things happened, for a person: after how many seconds. */
function spread(times: readonly number[], from: number): string {
  const ordered = times.map((time) => (time - from) / 1000).toSorted((one, other) => one - other);
  const at = (part: number): string => (ordered[Math.floor((ordered.length - 1) * part)] ?? Number.NaN).toFixed(2);
  return `${at(0)} s, ${at(0.25)} s, ${at(0.5)} s, ${at(0.75)} s, ${at(1)} s (first, quarter, half, three quarters, last)`;
}

/** How much more there is to do on this machine than it has cores: everything takes as much longer. */
const crowd = (): number => Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());

/** The agents start, on Nodes that wait for them. */
async function start(tokens: ReadonlyMap<string, string>): Promise<void> {
  const chance = randomFrom(seed);
  const pacing = { random: () => chance() * pace, resyncMs };
  const heapBefore = await liveHeapOf(api);
  const idle = await costsOf(api);
  await sleep(aloneMs);
  const from = await costsOf(api);
  console.log(`without agents ${spent(idle, from)}`);
  for (let begun = 0; begun < count; begun += batch) {
    const some = nodes.slice(begun, begun + batch);
    const begin = (name: string): Promise<Agent> =>
      startAgent(name, { token: tokens.get(name) ?? '', ca: api.ca.pem }, pacing);
    agents = [...agents, ...(await Promise.all(some.map(begin)))];
    await untilAsked('create events', from, begun + some.length);
  }
  const to = await costsOf(api);
  console.log(`${batch} start at a time ${spent(from, to)}; ${JSON.stringify(counted(since(from)))}`);
  const after = await nodesNow();
  expect(after.filter(isTrue)).toHaveLength(count);
  expect(after.filter(({ spec }) => spec.taints?.some(({ key }) => key === taint))).toEqual([]);
  expect(of('create events', since(from))).toHaveLength(count);
  // One that is being renewed is none for a moment.
  ownWatches = from.watches;
  await vi.waitUntil(async () => (await costsOf(api)).watches === ownWatches + count, patience);
  const heap = (await liveHeapOf(api)) - heapBefore;
  console.log(`heap of the API server per agent: ${(heap / count / 1024).toFixed(0)} KiB`);
}

/** Nothing happens, until each has made a pass at its resync. */
async function rest(): Promise<void> {
  const from = await costsOf(api);
  await untilAsked('get nodes', from);
  const to = await costsOf(api);
  const asked = since(from).filter(({ at }) => at < to.at);
  const seconds = (to.at - from.at) / 1000;
  const perSecond = asked.length / seconds;
  console.log(
    `at rest ${spent(from, to)}; ${JSON.stringify(counted(asked))}: ${perSecond.toFixed(2)} requests per second`,
  );
  const reads = Map.groupBy(of('get nodes', asked), ({ node }) => node);
  // They come at nine to eleven tenths of the interval.
  for (const { length } of reads.values()) expect(length).toBeLessThanOrEqual(Math.ceil(seconds / (resyncMs / 1100)));
  expect(reads.size).toBe(count);
  expect(without(asked, 'get nodes', 'watch secrets')).toEqual([]);
  // Each is renewed after five to ten minutes.
  expect(of('watch secrets', asked).length).toBeLessThanOrEqual(count * Math.floor(1 + seconds / (300 * (1 + pace))));
}

/** The Secret holds something else. */
async function change(): Promise<void> {
  const anchors = mint(10);
  const digest = digestOf(anchors);
  const from = await costsOf(api);
  await putSecret(api, secretOf(anchors));
  await untilAsked('create events', from);
  const to = await costsOf(api);
  const asked = since(from);
  console.log(`one change of the Secret ${spent(from, to)}; ${JSON.stringify(counted(asked))}`);
  console.log(
    `${to.sent - from.sent} times sent, ${ownWatches} of them to the API server itself; load per core: ${crowd().toFixed(1)}`,
  );
  expect(asked.filter(({ code }) => code >= 300)).toEqual([]);
  expect((await nodesNow()).filter((node) => trustOf(node)?.digest === digest)).toHaveLength(count);
  expect(to.sent - from.sent).toBe(count + ownWatches);
  for (const what of ['patch nodes/status', 'create events']) {
    expect(new Set(of(what, asked).map(({ node }) => node)).size).toBe(count);
    expect(of(what, asked)).toHaveLength(count);
  }
  expect(without(asked, 'patch nodes/status', 'create events', 'get nodes', 'watch secrets')).toEqual([]);

  const proofs = new Map(agents.map(({ node, proven }) => [node, proven.get(digest) ?? Number.NaN]));
  const patches = of('patch nodes/status', asked);
  const waits = patches.map(({ node, at }) => at - (proofs.get(node) ?? Number.NaN));
  console.log(`from the change to the proof: ${spread([...proofs.values()], from.at)}`);
  console.log(`from the proof to the patch: ${spread(waits, 0)}`);
  // Nobody is faster than chance would have it: a busy machine makes them later. Four standard deviations.
  for (const part of [0, 0.2, 0.4, 0.6, 0.8]) {
    const sooner = waits.filter((ms) => ms < part * jitterMs).length;
    expect(sooner).toBeLessThanOrEqual(count * part + 4 * Math.sqrt(count * part * (1 - part)));
  }
  expect(Math.max(...waits)).toBeLessThan(jitterMs + 5_000 * crowd());
  // The pass waits for nothing of this.
  expect(Math.max(...proofs.values()) - from.at).toBeLessThan(5_000 * crowd());
}

/** The API server is gone, and there again. */
async function restart(): Promise<void> {
  const from = await costsOf(api);
  await api.kill();
  const began = performance.now();
  await api.start();
  await untilAsked('watch secrets', from);
  const to = await costsOf(api);
  const seconds = (performance.now() - began) / 1000;
  const none = { ...to, at: from.at, apiServerCpuSeconds: 0, turnedAway: 0, waitedSeconds: 0 };
  console.log(`after a restart all are back within ${seconds.toFixed(1)} s, with its start ${spent(none, to)}`);
  console.log(JSON.stringify(counted(since(from))));
  expect(without(since(from), 'list secrets', 'watch secrets', 'get nodes')).toEqual([]);
}

test('at rest agents ask for their Node once per resync; a change is one event, one patch and one Event for each', async () => {
  console.log(`${count} agents, seed ${seed} (NODE_CA_TRUST_SEED=${seed} repeats it)`);
  await putSecret(api, secretOf(mint(10)));
  const tokens = await register();
  const nodeSize = async (): Promise<string> =>
    (JSON.stringify(await api.must('GET', '/api/v1/nodes/node-0000')).length / 1000).toFixed(1);
  const sizeBefore = await nodeSize();
  await start(tokens);
  await rest();
  await change();
  const words = ['--kubeconfig', adminKubeconfig(api), '--node-label', `${label}=true`];
  const { seconds, stdout } = await status(words);
  console.log(`status: ${seconds.toFixed(1)} s`);
  console.log(`a Node is ${sizeBefore} kB, with what the agent says ${await nodeSize()} kB`);
  expect(stdout).toContain(`${count} of ${count} nodes have proven`);
  expect(agents.flatMap(({ said }) => said)).toEqual([]);
  await restart();
});
