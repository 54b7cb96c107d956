// The programs that a pass starts on Debian go wrong: the refresh command's shells, each program that it runs, flock.
import { test } from 'vitest';
import { tryEveryProgram } from './harness/every-program.ts';

test('a program of the host that is killed, or fails, at any call of its own', async (context) => {
  await tryEveryProgram(context, { name: 'debian', faults: 3 });
});
