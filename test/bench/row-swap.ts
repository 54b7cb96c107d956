// From the kubelet's swap of the mounted directory to /readyz with the new digest, in the daemon as it is shipped, one
// certificate more each time; beside it the bare command on another host after one file more, in turns.
import { setTimeout as sleep } from 'node:timers/promises';
import { createWorld } from '../sandbox/harness/world.ts';
import { digestOf, secretOf } from './anchors.ts';
import { startDaemon } from './daemon.ts';
import type { Line } from './line.ts';
import { type Pair, median, ratioOf, sample } from './measure.ts';
import type { Bench } from './scene.ts';
import { openTrustStore } from './trust-store.ts';

const sampling = { wanted: 5, longestMs: 25_000, fewest: 3 };
/** The pass that the daemon's own writing triggers is over by then. */
const restMs = 1_000;

export async function measureSwap({ production, world, store, mount, mint, say }: Bench): Promise<readonly Line[]> {
  say('from a swap of the mounted directory to ready');
  store.restore();
  const anchors = [...mint(1)];
  await mount.swap(secretOf(anchors));
  await using elsewhere = await createWorld();
  const bare = await openTrustStore(elsewhere);
  await using daemon = startDaemon(production, world.root, mount.directory);
  await daemon.ready(digestOf(anchors));
  const pairs = await sample(sampling, async (index): Promise<Pair> => {
    await sleep(restMs);
    const [anchor] = mint(1);
    if (anchor === undefined) throw new Error('no certificate to add');
    anchors.push(anchor);
    const start = performance.now();
    await mount.swap(secretOf(anchors));
    await daemon.ready(digestOf(anchors));
    const ours = performance.now() - start;
    await sleep(restMs);
    bare.put(`bench-${index}.crt`, anchor);
    return { ours, theirs: (await bare.refresh()).wallMs };
  });
  return [
    {
      what: `swap of the mount to ready, median of ${pairs.length}`,
      ours: median(pairs.map(({ ours }) => ours)),
      unit: 'ms',
      beside: { what: 'bare command', figure: median(pairs.map(({ theirs }) => theirs)) },
      ratio: ratioOf(pairs),
    },
  ];
}
