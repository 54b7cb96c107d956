// The same where the agent does itself what the host's program would do: on Alpine, whose links by hash it makes, too.
import { test } from 'vitest';
import { alpine } from '../families/systems/alpine.ts';
import { tryEveryCall } from './harness/every-call.ts';
import { debian } from './harness/stage.ts';

test('a pass without the host’s program that is killed, or fails, at any call', async (context) => {
  await tryEveryCall(context, {
    kind: { ...debian, name: 'alpine', linkPrefix: 'ca-cert-' },
    system: alpine,
    faults: 3,
  });
});
