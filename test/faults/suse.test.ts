// The same where p11-kit makes the store by hooks of a tool that has a lock of its own: on SUSE.
import { test } from 'vitest';
import { tryEveryCall } from './harness/every-call.ts';
import { suse } from './harness/kinds.ts';

test('a pass over p11-kit by way of hooks that is killed, or fails, at any call', async (context) => {
  await tryEveryCall(context, { kind: suse, faults: 1 });
});
