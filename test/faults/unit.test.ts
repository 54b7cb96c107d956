// The same where the host refreshes its store itself: the agent writes files, asks a unit for a run, and waits for it.
import { test } from 'vitest';
import { tryEveryCall } from './harness/every-call.ts';
import { unit } from './harness/kinds.ts';

test('a pass that leaves the refresh to a unit and is killed, or fails, at any call', async (context) => {
  await tryEveryCall(context, { kind: unit, faults: 2 });
});
