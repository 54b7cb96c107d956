// An hour of rotations, one a second, as fast as the daemon as shipped makes them, and between them as many resyncs as a day
// has: at its end it holds no more memory, file descriptors and threads than after the first few.
import { readFile, readdir } from 'node:fs/promises';
import { expect, inject, test, vi } from 'vitest';
import { type Daemon, startDaemon } from '../bench/daemon.ts';
import { digestOf } from '../sandbox/harness/agent.ts';
import { chooseSeed, randomFrom } from '../sandbox/harness/chaos.ts';
import { makeCert } from '../sandbox/harness/certs.ts';
import { everywhere, nowhere, scene, trust } from '../sandbox/harness/host.ts';
import { isFull, sample } from './harness/choice.ts';

const rotations = isFull ? 3_600 : 160;
/** One after so many rotations makes 144 in a full run: a day's, at one in ten minutes. */
const rotationsPerResync = 25;
/** By which a full run notices 2 KiB that stay of each rotation; a sample notices 90. */
const growthAtMost = isFull ? 1.05 : 1.1;

interface Held {
  readonly memory: number;
  readonly descriptors: number;
  readonly threads: number;
}

async function heldBy(pid: number): Promise<Held> {
  const count = async (name: string): Promise<number> => (await readdir(`/proc/${pid}/${name}`)).length;
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const memory = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
  return { memory, descriptors: await count('fd'), threads: await count('task') };
}

/** What is usual among some samples: one taken in the middle of a command's start has more. */
function median(samples: readonly Held[], what: keyof Held): number {
  const sorted = samples.map((sample) => sample[what]).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function tell(when: string, samples: readonly Held[]): void {
  const [memory, descriptors, threads] = [
    median(samples, 'memory'),
    median(samples, 'descriptors'),
    median(samples, 'threads'),
  ];
  console.log(`${when}: ${memory.toFixed(1)} MiB, ${descriptors} descriptors, ${threads} threads`);
}

/** Waits until a pass was made that nothing had asked for: what the last rotation has written brings one or two before. */
async function resynced(daemon: Daemon): Promise<void> {
  const passes = async (): Promise<number> =>
    Number(/^node_ca_trust_passes_total\{result="converged"\} (\d+)$/m.exec(await daemon.get('/metrics'))?.[1]);
  const until = (await passes()) + 3;
  await vi.waitUntil(async () => (await passes()) >= until, { timeout: 60_000, interval: 250 });
}

test(`${rotations} rotations: memory, file descriptors and threads stay as they are`, async () => {
  const production = inject('production');
  const seed = chooseSeed();
  console.log(`seed ${seed} (NODE_CA_TRUST_SEED=${seed} repeats it)`);
  const random = randomFrom(seed);
  const [kept, ...cas] = await Promise.all([makeCert(), makeCert(), makeCert(), makeCert(), makeCert()]);
  const { world, secret } = await scene({ 'kept.crt': kept.pem });
  await using daemon = startDaemon(production, world.root, secret.directory, { options: ['--resync', '1s'] });
  await daemon.ready(digestOf([kept]));
  const samples: Held[] = [];
  let current = kept;
  const swap = async (): Promise<void> => {
    [current = kept] = sample(
      cas.filter((ca) => ca !== current),
      1,
      random,
    );
    await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': current.pem });
  };
  for (let round = 1; round <= rotations; round += 1) {
    // Now and then the next one comes before the last one has been read.
    if (random() < 0.1) await swap();
    await swap();
    await daemon.ready(digestOf([kept, current]));
    samples.push(await heldBy(daemon.pid));
    if (round % rotationsPerResync === 0) await resynced(daemon);
    if (round % 600 === 0) tell(`after ${round} rotations`, samples.slice(-50));
  }
  // The first ones fill what the engine keeps of its own accord.
  const [first, last] = [samples.slice(rotations / 4, rotations / 2), samples.slice(-rotations / 4)];
  tell('at first', first);
  tell('at last', last);
  expect(median(last, 'memory') / median(first, 'memory')).toBeLessThan(growthAtMost);
  expect(median(last, 'descriptors') / median(first, 'descriptors')).toBeLessThanOrEqual(1.1);
  expect(median(last, 'threads') / median(first, 'threads')).toBeLessThanOrEqual(1);
  for (const cert of [kept, ...cas]) {
    expect(await trust(world, cert)).toEqual([kept, current].includes(cert) ? everywhere : nowhere);
  }
});
