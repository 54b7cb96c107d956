// The same where anchors lie among all that Go programs read, and the bundle leads into a read-only image at first: on Flatcar.
import { test } from 'vitest';
import { tryEveryCall } from './harness/every-call.ts';
import { flatcar } from './harness/kinds.ts';

test('a pass over the certificate directory itself that is killed, or fails, at any call', async (context) => {
  await tryEveryCall(context, { kind: flatcar, faults: 2 });
});
