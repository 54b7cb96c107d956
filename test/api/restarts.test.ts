// The agent as it is shipped, while its API server dies and comes back again and again during rotations.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type BenchAnchor, digestOf, openMint, secretOf } from '../bench/anchors.ts';
import { memoryOf } from '../bench/measure.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { createWorld } from '../sandbox/harness/world.ts';
import { putAccount, putSecret } from './harness/account.ts';
import { startApi } from './harness/api-server.ts';
import { giveAccount, startPod } from './harness/pod.ts';

/** A restart takes the API server ten seconds: all twenty with NODE_CA_TRUST_FULL=1. */
const isFull = process.env['NODE_CA_TRUST_FULL'] === '1';
const restarts = isFull ? 20 : 4;
/** What a process holds varies by this much from one look to the next; a few looks tell of no more than a large leak. */
const noiseMiB = isFull ? 2 : 8;
const mostAnonymousMiB = 35;

test(`${restarts} times SIGKILL to the API server: every bundle arrives, once, and memory is flat`, async () => {
  await using api = await startApi();
  await putAccount(api);
  await giveAccount(api);
  await using world = await createWorld();
  const mint = await openMint();
  const kept = mint(9);
  const first = [...kept, ...mint(1)];
  // The mount lags behind for the whole test: it must never undo what the API server gave.
  await using mount = await mountSecret(secretOf(first));
  await putSecret(api, secretOf(first));
  await using pod = await startPod(world.root, mount.directory);
  await pod.proves(digestOf(first));
  const digests = [digestOf(first)];
  const memory: number[] = [];
  const put = async (bundle: readonly BenchAnchor[]): Promise<string> => {
    await putSecret(api, secretOf(bundle));
    digests.push(digestOf(bundle));
    return digestOf(bundle);
  };
  for (let round = 0; round < restarts; round += 1) {
    const next = [...kept, ...mint(1)];
    if (round % 2 === 0) {
      // The change and the crash at once.
      const digest = await put(next);
      await api.kill();
      await sleep(100 * (round % 5));
      await api.start();
      await pod.proves(digest);
    } else {
      // The change while the agent has no connection yet.
      await api.kill();
      await api.start();
      await pod.proves(await put(next));
    }
    memory.push(memoryOf(pod.pid).anonymousMiB);
  }
  // The pass after a change, which finds nothing to do, gives back what the change took.
  await sleep(8_000);
  const rest = memoryOf(pod.pid);
  console.log(
    `anonymous memory after each restart: ${memory.map((size) => size.toFixed(0)).join(' ')} MiB;`,
    `at rest ${rest.anonymousMiB.toFixed(1)} MiB, RSS ${rest.rssMiB.toFixed(1)} MiB`,
  );
  const lines = pod.log();
  const proven = lines.filter(({ msg }) => msg === 'the host trusts the bundle').map(({ digest }) => digest);
  expect(proven).toEqual(digests);
  expect(lines.filter(({ level }) => level === 'error')).toEqual([]);
  // For a second after its start the API server refuses everything.
  expect(lines.filter(({ msg }) => msg.includes('grant'))).toEqual([]);
  expect(rest.anonymousMiB).toBeLessThan(mostAnonymousMiB);
  expect(Math.max(...memory.slice(restarts / 2))).toBeLessThan(Math.max(...memory.slice(0, restarts / 2)) + noiseMiB);
  expect(await pod.stop()).toBe(0);
}, 900_000);

test('without an API server it is ready by the mount, adds, removes nothing, and catches up', async () => {
  await using api = await startApi();
  await putAccount(api);
  await giveAccount(api);
  await using world = await createWorld();
  const mint = await openMint();
  const [old, fresh] = [mint(2), mint(2)];
  await putSecret(api, secretOf(old));
  await using mount = await mountSecret(secretOf(old));
  {
    await using pod = await startPod(world.root, mount.directory);
    await pod.proves(digestOf(old));
    await putSecret(api, secretOf(fresh));
    await pod.proves(digestOf(fresh));
    expect(await pod.stop()).toBe(0);
  }
  await api.kill();
  // The mount still has what the API server has long replaced.
  await using pod = await startPod(world.root, mount.directory);
  await pod.proves(digestOf(old));
  const said = pod.log();
  expect(said.filter(({ level }) => level === 'error').map(({ msg }) => msg)).toEqual([
    expect.stringMatching(/^not converged: secret .* has not been read through the API server yet/),
  ]);
  expect(said.filter(({ level }) => level === 'warn')).toHaveLength(1);
  expect(said.at(-1)).toMatchObject({ level: 'info', heldBack: fresh.map(({ fingerprint }) => fingerprint).sort() });
  await api.start();
  await pod.proves(digestOf(fresh));
  expect(pod.log().at(-1)).toMatchObject({ removed: old.map(({ fingerprint }) => fingerprint).sort(), heldBack: [] });
});
