// The same on RHEL, whose tool makes one store after the other.
import { test } from 'vitest';
import { tryEveryProgram } from './harness/every-program.ts';

test('a program that makes a store of p11-kit’s and is killed, or fails, at any call of its own', async (context) => {
  await tryEveryProgram(context, { name: 'rhel', faults: 1 });
});
