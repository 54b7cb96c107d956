// The same where p11-kit also makes look-ups by hash, in two directories: on Fedora and RHEL 10.
import { test } from 'vitest';
import { tryEveryCall } from './harness/every-call.ts';
import { fedora } from './harness/kinds.ts';

test('a pass over p11-kit with look-ups by hash that is killed, or fails, at any call', async (context) => {
  await tryEveryCall(context, { kind: fedora, faults: 1 });
});
