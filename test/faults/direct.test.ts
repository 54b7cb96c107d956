// The same where the agent does itself what the host's program would do: on Alpine, whose links by hash it makes, too.
import { test } from 'vitest';
import { tryEveryCall } from './harness/every-call.ts';
import { alpine } from './harness/kinds.ts';

test('a pass without the host’s program that is killed, or fails, at any call', async (context) => {
  await tryEveryCall(context, { kind: alpine, faults: 3 });
});
