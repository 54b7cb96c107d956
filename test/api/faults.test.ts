// Five hundred connections that break in every way, while the Secret is rotated on and on.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { chooseSeed, randomFrom } from '../sandbox/harness/chaos.ts';
import { putAccount, putSecret, tokenOf } from './harness/account.ts';
import { startApi } from './harness/api-server.ts';
import { follow, lineOf } from './harness/follower.ts';
import { kinds, openProxy } from './harness/proxy.ts';

/** All five hundred with NODE_CA_TRUST_FULL=1. */
const faults = process.env['NODE_CA_TRUST_FULL'] === '1' ? 500 : 75;
/** Heap that a collection leaves may differ by this much for no reason at all. */
const noiseMiB = 1;

function heapMiB(): number {
  globalThis.gc?.({ type: 'major', flavor: 'last-resort', execution: 'sync' });
  return process.memoryUsage().heapUsed / 2 ** 20;
}

test(`${faults} faults: every bundle arrives, in its order and once, and memory is flat`, async () => {
  const seed = chooseSeed();
  console.log(`seed ${seed} (NODE_CA_TRUST_SEED=${seed} repeats it)`);
  await using api = await startApi();
  await putAccount(api);
  const random = randomFrom(seed);
  await using proxy = await openProxy(random);
  const account = { token: await tokenOf(api), ca: api.ca.pem };
  const followed = follow(account, { silenceMs: 500, longestRetryMs: 500 }, proxy.port);
  const expected: string[] = [];
  const latencies: number[] = [];
  const heaps: number[] = [];
  // One strikes less often than the others.
  while (proxy.total() < faults || kinds.some((kind) => proxy.struck[kind] <= faults / 50)) {
    const files = { 'ca.crt': `bundle ${expected.length} ${'x'.repeat(Math.floor(random() * 4_000))}` };
    expected.push(lineOf(files));
    const from = performance.now();
    await putSecret(api, files);
    await followed.holds(files);
    latencies.push(performance.now() - from);
    if (proxy.total() > (heaps.length + 1) * (faults / 10)) heaps.push(heapMiB());
    await sleep(random() * 100);
  }
  const ordered = latencies.toSorted((left, right) => left - right);
  const at = (part: number): string => `${Math.round(ordered[Math.floor((ordered.length - 1) * part)] ?? 0)} ms`;
  console.log(
    `${expected.length} bundles through ${JSON.stringify(proxy.struck)}; to the agent: median ${at(0.5)}, 95 % ${at(0.95)}, longest ${at(1)};`,
    `heap after each tenth: ${heaps.map((heap) => heap.toFixed(1)).join(' ')} MiB`,
  );
  expect(followed.held.filter((line) => line !== 'empty')).toEqual(expected);
  expect(followed.held.filter((line) => line === 'empty').length).toBeLessThanOrEqual(1);
  expect(Math.max(...heaps.slice(2)) - Math.min(...heaps.slice(1, 3))).toBeLessThan(noiseMiB);
}, 1_200_000);
