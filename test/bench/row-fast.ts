// The daemon with the fast source and the report on its Node, against a real API server: what it holds at rest, beside
// what the mount alone takes and an empty Node; and how long after a change of the Secret the host is proven, without
// what the refresh command itself takes.
//
// That is from the API server's answer to the change until /readyz has the new digest, less the bare command on another
// host after the same file more, in pairs. The answer comes when the change is stored, which is when watchers hear of it.
import { setTimeout as sleep } from 'node:timers/promises';
import { putSecret } from '../api/harness/account.ts';
import { createWorld } from '../sandbox/harness/world.ts';
import { type BenchAnchor, digestOf, secretOf } from './anchors.ts';
import { inCluster, startCluster } from './cluster.ts';
import { type Daemon, type More, startDaemon, startNode } from './daemon.ts';
import { type Line, compared } from './line.ts';
import { type Memory, type Pair, median, memoryOf, ratioOf, sample } from './measure.ts';
import type { Bench } from './scene.ts';
import { openTrustStore } from './trust-store.ts';

const anchors = 10;
const sampling = { wanted: 15, longestMs: 20_000, fewest: 5 };
/** The pass after a change is over by then, and what the change took is given back. */
const restMs = 8_000;
const pauseMs = 1_000;
const mostAnonymousMiB = 35;
const mostMs = 300;

async function rested({ production, world, mount }: Bench, more?: More): Promise<Memory> {
  await using daemon = startDaemon(production, world.root, mount.directory, more);
  await daemon.ready();
  await sleep(restMs);
  return memoryOf(daemon.pid);
}

async function empty({ production }: Bench): Promise<Memory> {
  await using node = startNode([production.empty]);
  await sleep(pauseMs);
  return memoryOf(node.pid);
}

/** What a change takes beyond the bare command, in milliseconds. */
async function measureChanges(
  { mint }: Bench,
  daemon: Daemon,
  installed: readonly BenchAnchor[],
  put: (files: Readonly<Record<string, string>>) => Promise<void>,
): Promise<readonly Pair[]> {
  await using elsewhere = await createWorld();
  const bare = await openTrustStore(elsewhere);
  for (const [index, anchor] of installed.entries()) bare.put(`bench-${index}.crt`, anchor);
  await bare.refresh();
  let last = [...installed];
  return await sample(sampling, async (index): Promise<Pair> => {
    await sleep(pauseMs);
    last = [...last, ...mint(1)];
    await put(secretOf(last));
    const start = performance.now();
    await daemon.ready(digestOf(last));
    const ours = performance.now() - start;
    await sleep(pauseMs);
    const added = last.at(-1);
    if (added !== undefined) bare.put(`bench-more-${index}.crt`, added);
    return { ours, theirs: (await bare.refresh()).wallMs };
  });
}

export async function measureFast(bench: Bench): Promise<readonly Line[]> {
  const { store, mount, mint, passes, say, production, world } = bench;
  say('a real API server');
  await using api = await startCluster();
  store.restore();
  const installed = mint(anchors);
  await mount.swap(secretOf(installed));
  await putSecret(api, secretOf(installed));
  await passes.pass();
  say('the daemon at rest, by the mount alone and by the API server');
  const [bare, file, fast] = [await empty(bench), await rested(bench), await rested(bench, inCluster)];
  say('from a change of the Secret to proven');
  await using daemon = startDaemon(production, world.root, mount.directory, inCluster);
  await daemon.ready(digestOf(installed));
  const pairs = await measureChanges(bench, daemon, installed, (files) => putSecret(api, files));
  const [ours, theirs] = [median(pairs.map(({ ours }) => ours)), median(pairs.map(({ theirs }) => theirs))];
  return [
    compared({
      what: 'at rest with --secret and the Node told, anonymous',
      ours: fast.anonymousMiB,
      unit: 'MiB',
      beside: { what: 'by the mount alone', figure: file.anonymousMiB },
      bound: { of: 'figure', max: mostAnonymousMiB, counts: true },
    }),
    compared({
      what: 'at rest with --secret and the Node told, RSS',
      ours: fast.rssMiB,
      unit: 'MiB',
      beside: { what: 'empty Node', figure: bare.rssMiB },
    }),
    {
      what: `change of the Secret to proven, median of ${pairs.length}`,
      ours,
      unit: 'ms',
      beside: { what: 'bare command', figure: theirs },
      ratio: ratioOf(pairs),
    },
    {
      what: `change of the Secret to proven, beyond the bare command, median of ${pairs.length}`,
      ours: median(pairs.map(({ ours, theirs }) => ours - theirs)),
      unit: 'ms',
      bound: { of: 'figure', max: mostMs, counts: false },
    },
  ];
}
