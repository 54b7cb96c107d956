// An hour of rotations, one a second, as fast as the daemon as shipped makes them: at its end it holds no more memory, file
// descriptors and threads than after the first few.
import { readFile, readdir } from 'node:fs/promises';
import { expect, inject, test } from 'vitest';
import { startDaemon } from '../bench/daemon.ts';
import { digestOf } from '../sandbox/harness/agent.ts';
import { chooseSeed, randomFrom } from '../sandbox/harness/chaos.ts';
import { makeCert } from '../sandbox/harness/certs.ts';
import { everywhere, nowhere, scene, trust } from '../sandbox/harness/host.ts';
import { isFull, sample } from './harness/choice.ts';

const rotations = isFull ? 3_600 : 60;

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

test(`${rotations} rotations: memory, file descriptors and threads stay as they are`, async () => {
  const production = inject('production');
  const seed = chooseSeed();
  console.log(`seed ${seed} (NODE_CA_TRUST_SEED=${seed} repeats it)`);
  const random = randomFrom(seed);
  const [kept, ...cas] = await Promise.all([makeCert(), makeCert(), makeCert(), makeCert(), makeCert()]);
  const { world, secret } = await scene({ 'kept.crt': kept.pem });
  await using daemon = startDaemon(production, world.root, secret.directory);
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
    if (round % 600 === 0) tell(`after ${round} rotations`, samples.slice(-50));
  }
  // The first ones fill what the engine keeps of its own accord.
  const [first, last] = [samples.slice(rotations / 4, rotations / 2), samples.slice(-rotations / 4)];
  tell('at first', first);
  tell('at last', last);
  expect(median(last, 'memory') / median(first, 'memory')).toBeLessThan(1.25);
  expect(median(last, 'descriptors') / median(first, 'descriptors')).toBeLessThanOrEqual(1.1);
  expect(median(last, 'threads') / median(first, 'threads')).toBeLessThanOrEqual(1);
  for (const cert of [kept, ...cas]) {
    expect(await trust(world, cert)).toEqual([kept, current].includes(cert) ? everywhere : nowhere);
  }
});
