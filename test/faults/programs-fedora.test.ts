// The same on Fedora and RHEL 10, whose tool takes look-ups by hash away before it makes them anew.
import { test } from 'vitest';
import { tryEveryProgram } from './harness/every-program.ts';

test('a program that makes a store of p11-kit’s and is killed, or fails, at any call of its own', async (context) => {
  await tryEveryProgram(context, { name: 'fedora', faults: 1 });
});
