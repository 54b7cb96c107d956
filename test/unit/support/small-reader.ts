/**
 * Reads the Secret and the Node once, as an agent does, and says what came of it: a process of its own, so that a test can
 * give it little memory.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openApi } from '../../../src/api/api.ts';
import { namesOf } from '../../../src/api/trust-annotation.ts';
import { openNodeObject } from '../../../src/report/node-object.ts';
import { openSecret } from '../../../src/sources/secret.ts';

const api = openApi(process.argv[2]);
if (api === undefined) throw new Error('this passes for no pod');

const node = openNodeObject('one', namesOf('default'), api);
const view = await node.read().catch((error: unknown) => String(error));
const stop = new AbortController();
let told = '';
const source = openSecret(
  { namespace: 'ns', name: 'bundle' },
  {
    api,
    steady: () => performance.now(),
    sleep: (ms, signal) => sleep(ms, undefined, { signal }),
    random: () => 1,
    pacing: { retryMs: 1, longestRetryMs: 20, watchMs: 300_000, silenceMs: 150_000 },
    changed: () => {
      stop.abort();
    },
    failed: (line) => {
      told = line;
      stop.abort();
    },
    recovered: () => undefined,
  },
);
await source.follow(stop.signal);
process.stdout.write(JSON.stringify({ view, secret: told }));
