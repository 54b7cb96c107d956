// Sudden deaths in the middle of rotations, on the machine's whole store: half of them in each of two
// worlds, since a pass keeps only one core busy.
import { expect, test } from 'vitest';
import { chooseSeed, killRotations, randomFrom } from '../sandbox/harness/chaos.ts';
import { createWorld } from '../sandbox/harness/world.ts';

/** Two hundred with NODE_CA_TRUST_FULL=1. */
const kills = process.env['NODE_CA_TRUST_FULL'] === '1' ? 200 : 30;

test(`${kills} times SIGKILL: readers are well, no removed CA comes back, and the next pass converges`, async () => {
  const seed = chooseSeed();
  console.log(`seed ${seed} (NODE_CA_TRUST_SEED=${seed} repeats it)`);
  const half = async (part: number) => {
    await using world = await createWorld();
    return await killRotations(world, kills / 2, randomFrom(seed + part));
  };
  const parts = await Promise.all([half(0), half(1)]);
  const underWay = parts.reduce((sum, part) => sum + part.underWay, 0);
  const failures = parts.flatMap((part) => part.failures);
  console.log(`${kills} kills, ${underWay} while the pass was under way, ${failures.length} failures`);
  expect(failures).toEqual([]);
  expect(underWay).toBeGreaterThan(kills / 2);
});
