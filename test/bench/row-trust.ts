// From a change of the bundle's source until the host trusts it, by every way: one certificate more each time.
//
// Ours is over when /readyz has the new digest, so the proof is in it. The others are over as soon as the host's bundle
// holds the certificate. What brings the files to the node is in no figure but the API server's: where a directory is
// mounted it is swapped here in the kubelet's way, and the kubelet's own delay, the same for all of them, comes on top.
//
// - by the API server: a real one, of the test harness; from just before the request that changes the Secret
// - by the mount: from just before the swap
// - a polling loop of 5 s, as AKS's retired watcher had, with cmp, cp and the real update-ca-certificates; the changes
//   are spread evenly over its 5 s
// - a pod made anew: emulated. The old process ends by SIGTERM and a new one of this program starts; no scheduling, no
//   image, no mount and no grace period are in it, so a real one takes longer
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { putSecret } from '../api/harness/account.ts';
import { type World, createWorld } from '../sandbox/harness/world.ts';
import { type BenchAnchor, digestOf, secretOf } from './anchors.ts';
import { inCluster, startCluster } from './cluster.ts';
import { type More, startDaemon } from './daemon.ts';
import { type Line, compared } from './line.ts';
import { median, sample } from './measure.ts';
import type { Bench } from './scene.ts';
import { openTrustStore } from './trust-store.ts';

const sampling = { wanted: 5, longestMs: 20_000, fewest: 3 };
/** The pass that the daemon's own writing triggers is over by then. */
const restMs = 1_000;
const pollMs = 5_000;
const lookMs = 10;
const trustedWithinMs = 60_000;

/** Makes the source hold these anchors. */
type Change = (anchors: readonly BenchAnchor[]) => Promise<void>;

/** Adds one anchor after the other; `change` gives how long after each the host trusts it. */
async function grow(
  { mint }: Bench,
  first: readonly BenchAnchor[],
  change: (anchors: readonly BenchAnchor[], index: number) => Promise<number>,
): Promise<readonly number[]> {
  let anchors = first;
  return await sample(sampling, (index) => {
    anchors = [...anchors, ...mint(1)];
    return change(anchors, index);
  });
}

/** A daemon that stays. */
async function measureDaemon(bench: Bench, put: Change, more?: More): Promise<readonly number[]> {
  const { production, world, store, mount, mint } = bench;
  store.restore();
  const first = mint(1);
  await mount.swap(secretOf(first));
  await put(first);
  await using daemon = startDaemon(production, world.root, mount.directory, more);
  await daemon.ready(digestOf(first));
  return await grow(bench, first, async (anchors) => {
    await sleep(restMs);
    const start = performance.now();
    await put(anchors);
    await daemon.ready(digestOf(anchors));
    return performance.now() - start;
  });
}

/** A daemon that is ended and started for each change. */
async function measureRestart(bench: Bench): Promise<readonly number[]> {
  const { production, world, store, mount, mint } = bench;
  store.restore();
  const first = mint(1);
  await mount.swap(secretOf(first));
  let daemon = startDaemon(production, world.root, mount.directory);
  try {
    await daemon.ready(digestOf(first));
    return await grow(bench, first, async (anchors) => {
      await sleep(restMs);
      const start = performance.now();
      await mount.swap(secretOf(anchors));
      await daemon[Symbol.asyncDispose]();
      daemon = startDaemon(production, world.root, mount.directory);
      await daemon.ready(digestOf(anchors));
      return performance.now() - start;
    });
  } finally {
    await daemon[Symbol.asyncDispose]();
  }
}

/** Given the mounted directory and the host's root. */
const loop = `
  while sleep ${pollMs / 1000}; do
    changed=
    for file in "$1"/*.crt; do
      copy="$2/usr/local/share/ca-certificates/loop-$(basename "$file")"
      cmp -s "$file" "$copy" || { cp "$file" "$copy"; changed=yes; }
    done
    [ -z "$changed" ] || chroot "$2" update-ca-certificates
  done`;

async function untilTrusted(world: World, anchors: readonly BenchAnchor[]): Promise<void> {
  const pem = anchors.at(-1)?.pem ?? '';
  const end = performance.now() + trustedWithinMs;
  while (!readFileSync(world.path('/etc/ssl/certs/ca-certificates.crt'), 'utf8').includes(pem)) {
    if (performance.now() > end)
      throw new Error('the polling loop did not have its host trust a certificate within 60 s');
    await sleep(lookMs);
  }
}

async function measureLoop(bench: Bench): Promise<readonly number[]> {
  const { mount, mint } = bench;
  await using elsewhere = await createWorld();
  // The loop's first run must not have more to do than the others.
  await openTrustStore(elsewhere);
  const first = mint(1);
  await mount.swap(secretOf(first));
  const child = spawn('sh', ['-c', loop, 'sh', mount.directory, elsewhere.root], { stdio: 'ignore', detached: true });
  const ended = once(child, 'exit');
  try {
    await untilTrusted(elsewhere, first);
    return await grow(bench, first, async (anchors, index) => {
      await sleep(((index % sampling.wanted) + 0.5) * (pollMs / sampling.wanted));
      const start = performance.now();
      await mount.swap(secretOf(anchors));
      await untilTrusted(elsewhere, anchors);
      return performance.now() - start;
    });
  } finally {
    process.kill(-(child.pid ?? 0), 'SIGKILL');
    await ended;
  }
}

async function measureApi(bench: Bench): Promise<readonly number[]> {
  await using api = await startCluster();
  return await measureDaemon(bench, (anchors) => putSecret(api, secretOf(anchors)), inCluster);
}

export async function measureTrust(bench: Bench): Promise<readonly Line[]> {
  const { mount, say } = bench;
  say('from a change to trust: by the API server');
  const api = await measureApi(bench);
  say('from a change to trust: by the mount');
  const swap = await measureDaemon(bench, (anchors) => mount.swap(secretOf(anchors)));
  say('from a change to trust: a polling loop');
  const loops = await measureLoop(bench);
  say('from a change to trust: a process started anew');
  const restart = await measureRestart(bench);
  const byApi = `change of the Secret to trust, by the API server, median of ${api.length}`;
  const byMount = `swap of the mounted directory, as the kubelet swaps it, to trust, median of ${swap.length}`;
  const poll = { what: `polling loop of 5 s, from the swap, median of ${loops.length}`, figure: median(loops) };
  const anew = { what: `agent started anew, as in a new pod, median of ${restart.length}`, figure: median(restart) };
  const line = (what: string, times: readonly number[], beside: NonNullable<Line['beside']>): Line =>
    compared({ what, ours: median(times), unit: 'ms', beside });
  return [line(byApi, api, poll), line(byMount, swap, poll), line(byMount, swap, anew)];
}
