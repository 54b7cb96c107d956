// A pass on Debian goes wrong, one call after the other: changes of the store, and edits for a container runtime.
import { test } from 'vitest';
import { tryEveryCall } from './harness/every-call.ts';

test('a pass that is killed, or fails, at any call of its own', async (context) => {
  await tryEveryCall(context, { faults: 3 });
});
