// What a machine lacks that a test cannot do without, as an ordinary user's may.
import type { TestContext } from 'vitest';
import { createWorld, type World } from './world.ts';

/** Leaves the test out, and says why. Where all of them have to run, which the variable CI says, it fails instead. */
export function leaveOut(context: TestContext, why: string): never {
  if (process.env['CI'] !== undefined) throw new Error(`it cannot run here, and in CI it has to: ${why}`);
  return context.skip(why);
}

/** A world any part of which may be changed; without one the test is left out. */
export async function wholeView(context: TestContext): Promise<World> {
  return createWorld({ view: 'overlay' }).catch((error: unknown) =>
    leaveOut(context, `no overlay of the root to be had: ${String(error)}`),
  );
}
