// The same where p11-kit makes the store, and the host's own tool publishes: on RHEL.
import { test } from 'vitest';
import { tryEveryCall } from './harness/every-call.ts';
import { rhel } from './harness/kinds.ts';

test('a pass over p11-kit that is killed, or fails, at any call', async (context) => {
  await tryEveryCall(context, { kind: rhel, faults: 3 });
});
