import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Api } from '../../../src/api/api.ts';
import { Refusal } from '../../../src/api/refusal.ts';
import { openSecret, secretPacing } from '../../../src/sources/secret.ts';
import { readBundle } from '../../../src/bundle/bundle.ts';
import { rules } from '../bundle/read.ts';
import { sleep } from '../support/sleep.ts';

const metadata = (resourceVersion: string) => ({ namespace: 'ns', name: 'bundle', resourceVersion });
const nothing = { files: [], findings: [] };
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const secret = (version: string, files: Readonly<Record<string, string>> = {}) => ({
  metadata: metadata(version),
  data: Object.fromEntries(Object.entries(files).map(([key, text]) => [key, base64(text)])),
});
const listOf = (version: string, ...items: readonly unknown[]) => ({
  kind: 'SecretList',
  metadata: { resourceVersion: version },
  items,
});
const event = (type: string, object: unknown) => ({ type, object });
const bookmark = (resourceVersion: string) => event('BOOKMARK', { kind: 'Secret', metadata: { resourceVersion } });

/** What the server says next: an answer, or an error. */
type Said = unknown;
/** How a watch goes: events, and then its end, an error, or nothing any more. */
interface WatchScript {
  readonly events: readonly unknown[];
  readonly then: 'end' | 'silence' | Error;
  /** Milliseconds until then. */
  readonly lasts?: number;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A server that says this, one after the other; at the end of either script it falls silent. */
function scripted(lists: readonly Said[], watches: readonly (WatchScript | Error)[]) {
  const asked: string[] = [];
  const at: number[] = [];
  const began = Date.now();
  const untilEnd = (signal: AbortSignal | undefined): Promise<never> =>
    new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => {
        reject(new Error('aborted'));
      });
    });
  const next = <T>(script: readonly T[], index: number, signal?: AbortSignal): T | Promise<never> =>
    index < script.length ? (script[index] as T) : untilEnd(signal);
  let listed = 0;
  let watched = 0;
  const api: Api = {
    ask: async ({ path, signal }) => {
      asked.push(path);
      at.push(Date.now() - began);
      listed += 1;
      const said = await next(lists, listed - 1, signal);
      if (said instanceof Error) throw said;
      return said;
    },
    follow: async ({ path, signal }) => {
      asked.push(path);
      at.push(Date.now() - began);
      watched += 1;
      const script = await next(watches, watched - 1, signal);
      if (script instanceof Error) throw script;
      return (async function* () {
        yield* script.events;
        await wait(script.lasts ?? 0);
        if (script.then instanceof Error) throw script.then;
        if (script.then === 'silence') await untilEnd(signal);
      })();
    },
  };
  return { api, asked, at };
}

const silent: WatchScript = { events: [], then: 'silence' };

/** Follows what is scripted; gives what was held, said and asked. */
function follow(lists: readonly Said[], watches: readonly (WatchScript | Error)[] = [silent], random = 1) {
  const server = scripted(lists, watches);
  const held: unknown[] = [];
  const said: string[] = [];
  const stop = new AbortController();
  const source = openSecret(
    { namespace: 'ns', name: 'bundle' },
    {
      api: server.api,
      steady: () => Date.now(),
      sleep,
      random: () => random,
      pacing: secretPacing,
      changed: () => {
        const { files = [], findings = [] } = source.reading() ?? {};
        held.push(
          findings[0]?.code ?? Object.fromEntries(files.map(({ source: name, bytes }) => [name, String(bytes)])),
        );
      },
      failed: (line) => said.push(`failed: ${line}`),
      recovered: (line) => said.push(`recovered: ${line}`),
    },
  );
  const following = source.follow(stop.signal);
  return {
    ...server,
    source,
    held,
    said,
    stop: async () => {
      stop.abort();
      await following;
    },
  };
}

const advance = async (ms: number): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
};
const list = '/api/v1/namespaces/ns/secrets?fieldSelector=metadata.name%3Dbundle';
const watchFrom = (version: string): string =>
  `${list}&watch=1&allowWatchBookmarks=true&timeoutSeconds=600&resourceVersion=${version}`;
const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

describe('the Secret', () => {
  it('has said nothing before the API server has', async () => {
    const { source, held, stop } = follow([]);
    await advance(60_000);
    expect([source.reading(), held]).toEqual([undefined, []]);
    await stop();
  });

  it('is a file for each key, named as an admin knows it', async () => {
    const { source, stop } = follow([listOf('5', secret('3', { 'a.crt': 'one', 'b.crt': '' }))]);
    await advance(0);
    expect(source.reading()).toEqual({
      files: [
        { source: 'secret ns/bundle:a.crt', bytes: Buffer.from('one') },
        { source: 'secret ns/bundle:b.crt', bytes: Buffer.from('') },
      ],
      findings: [],
    });
    await source.answered;
    await stop();
  });

  it.each([
    ['no data', { metadata: metadata('3') }],
    ['null for data', { metadata: metadata('3'), data: null }],
  ])('with %s has no file, and is no error', async (_, object) => {
    const { source, stop } = follow([listOf('5', object)]);
    await advance(0);
    expect(source.reading()).toEqual({ files: [], findings: [] });
    await stop();
  });

  it('keeps a key whose name is one of JavaScript', async () => {
    const data = JSON.parse(`{"__proto__":"${base64('one')}","constructor":"${base64('two')}"}`) as unknown;
    const { source, stop } = follow([listOf('5', { metadata: metadata('3'), data })]);
    await advance(0);
    const keys = source.reading()?.files.map(({ source: name, bytes }) => [name, String(bytes)]);
    expect(keys).toEqual([
      ['secret ns/bundle:__proto__', 'one'],
      ['secret ns/bundle:constructor', 'two'],
    ]);
    await stop();
  });

  it.each([
    ['../../etc/x', 'secret ns/bundle:../../etc/x'],
    ['/etc/shadow', 'secret ns/bundle:/etc/shadow'],
    ['..data', 'secret ns/bundle:..data'],
    ['a\n\u001b[31m\u202e', 'secret ns/bundle:a\\u{a}\\u{1b}[31m\\u{202e}'],
    ['x'.repeat(5_000), `secret ns/bundle:${'x'.repeat(280)}...`],
  ])('takes the key %j for a name and for nothing else', async (key, name) => {
    const { source, stop } = follow([listOf('5', secret('3', { [key]: 'one' }))]);
    await advance(0);
    expect(source.reading()?.files).toEqual([{ source: name, bytes: Buffer.from('one') }]);
    await stop();
  });

  it('with a hundred thousand keys yields few more than a bundle may have, which is then refused', async () => {
    const keys = Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`${n}`, '']));
    const { source, stop } = follow([listOf('5', secret('3', keys))]);
    await advance(0);
    expect(source.reading()?.files).toHaveLength(1_001);
    const bundle = readBundle([source.reading() ?? nothing], rules);
    expect(bundle).toMatchObject({ anchors: [], findings: [{ code: 'too-many' }] });
    await stop();
  });

  it.each(['', '!', 'no base64', 'QUJD====QUJD'])(
    'with "%s" in the place of base64, which no API server sends, is an error and not an empty bundle',
    async (text) => {
      const { source, stop } = follow([listOf('5', { metadata: metadata('3'), data: { a: text } })]);
      await advance(0);
      const bundle = readBundle([source.reading() ?? nothing], { ...rules, allowEmpty: true });
      expect(bundle.findings).toMatchObject([{ code: 'not-a-certificate', source: 'secret ns/bundle:a' }]);
      await stop();
    },
  );

  it('that does not exist is an empty bundle, which says so', async () => {
    const { source, stop } = follow([listOf('5')]);
    await advance(0);
    expect(source.reading()).toEqual({
      files: [],
      findings: [
        {
          code: 'empty',
          severity: 'error',
          source: 'secret ns/bundle',
          message: 'the Secret does not exist; create it, in this namespace and under this name',
        },
      ],
    });
    await stop();
  });

  it('follows every event, and tells only what is new', async () => {
    const { held, stop } = follow(
      [listOf('5', secret('3', { a: 'one' }))],
      [
        {
          events: [
            event('MODIFIED', secret('6', { a: 'one' })),
            bookmark('7'),
            event('MODIFIED', secret('8', { a: 'two' })),
            event('MODIFIED', secret('9', { b: 'two' })),
            event('MODIFIED', secret('10', { b: 'two', c: 'three' })),
            event('DELETED', secret('11', { b: 'two', c: 'three' })),
            event('ADDED', secret('2', { a: 'one' })),
          ],
          then: 'silence',
        },
      ],
    );
    await advance(0);
    const named = (files: Readonly<Record<string, string>>) =>
      Object.fromEntries(Object.entries(files).map(([key, text]) => [`secret ns/bundle:${key}`, text]));
    expect(held).toEqual([
      named({ a: 'one' }),
      named({ a: 'two' }),
      named({ b: 'two' }),
      named({ b: 'two', c: 'three' }),
      'empty',
      named({ a: 'one' }),
    ]);
    await stop();
  });
});

describe('a watch', () => {
  it('goes on from where it was when the server has ended it', async () => {
    const renewed = { events: [bookmark('9')], then: 'end', lasts: 600_000 } as const;
    const { asked, stop } = follow([listOf('5')], [renewed, { ...renewed, events: [bookmark('12')] }, silent]);
    await advance(1_300_000);
    expect(asked).toEqual([list, watchFrom('5'), watchFrom('9'), watchFrom('12')]);
    await stop();
  });

  it('asks for five to ten minutes', async () => {
    const { asked, stop } = follow([listOf('5')], [silent], 0);
    await advance(0);
    expect(asked[1]).toContain('timeoutSeconds=300&');
    await stop();
  });

  it.each([
    ['it brought nothing', { events: [], then: 'end', lasts: 600_000 } as const],
    ['it broke off', { events: [bookmark('9')], then: reset, lasts: 600_000 } as const],
    ['its version is gone', { events: [event('ERROR', { kind: 'Status', code: 410 })], then: 'silence' } as const],
    ['its version was gone before it began', new Refusal(410, 'too old')],
    [
      'it told of another Secret',
      { events: [event('ADDED', { metadata: { ...metadata('9'), name: 'x' } })], then: 'end' } as const,
    ],
    ['it told of something else', { events: [{ hello: 1 }], then: 'end' } as const],
    ['it told of no version', { events: [event('BOOKMARK', {})], then: 'end' } as const],
  ])('begins with the list again when %s, and says nothing of that', async (_, script) => {
    const { asked, said, stop } = follow([listOf('5'), listOf('20')], [script, silent]);
    await advance(600_200);
    expect(asked).toEqual([list, watchFrom('5'), list, watchFrom('20')]);
    expect(said).toEqual([]);
    await stop();
  });

  it('that breaks off again and again says so once', async () => {
    const broken = { events: [{ hello: 1 }], then: 'end' } as const;
    const { said, stop } = follow(
      Array.from({ length: 20 }, () => listOf('5')),
      Array.from({ length: 20 }, () => broken),
    );
    await advance(120_000);
    expect(said).toEqual([
      'failed: secret ns/bundle cannot be read through the API server: what answered is not the API server, or not about this Secret',
    ]);
    await stop();
  });

  it.each<[string, WatchScript]>([
    ['breaks off', { events: [], then: new Error('reset'), lasts: 30_000 }],
    ['ends', { events: [], then: 'end', lasts: 30_000 }],
  ])('that always %s before anything is heard is asked for ever more rarely, and said once', async (_, cut) => {
    const { said, asked, stop } = follow(Array<Said>(300).fill(listOf('5')), Array<WatchScript>(300).fill(cut));
    await advance(3_600_000);
    expect(said[0]).toMatch(/^failed: watches of secret ns\/bundle end before anything is heard by them/);
    expect(said.length).toBeLessThan(3);
    expect(asked.length).toBeLessThan(140);
    const stopped = stop();
    await advance(30_000);
    await stopped;
  });

  it('that cannot be had any more is told to who reads, until it is over', async () => {
    const { source, held, stop } = follow(
      [listOf('5', secret('5', { a: 'x' })), new Refusal(403, 'no'), listOf('6', secret('6', { a: 'x' }))],
      [{ events: [], then: new Error('reset') }, silent],
    );
    await advance(250);
    expect(source.trouble()).toMatch(/\(403\); grant it/);
    const before = held.length;
    await advance(60_000);
    expect(source.trouble()).toBeUndefined();
    // Whoever has said so has to say so no more.
    expect(held.length - before).toBe(1);
    await stop();
  });

  it('that cannot be had for a while, as the API server is away, is told to nobody who reads', async () => {
    const { source, held, stop } = follow(
      [listOf('5', secret('5', { a: 'x' })), ...Array<Error>(20).fill(refused), listOf('6', secret('6', { a: 'x' }))],
      [{ events: [], then: new Error('reset') }, silent],
    );
    await advance(60_000);
    expect(source.trouble()).toBeUndefined();
    await advance(900_000);
    expect([source.trouble(), held.length]).toEqual([undefined, 1]);
    await stop();
  });

  it('is given up at once when the agent ends, without a word', async () => {
    for (const [lists, watches] of [
      [[], []],
      [[listOf('5')], [silent]],
      [[refused], []],
    ] as const) {
      const { said, stop } = follow(lists, watches);
      await advance(10);
      const before = [...said];
      await stop();
      expect(said).toEqual(before);
      expect(vi.getTimerCount()).toBe(0);
    }
  });
});

describe('an attempt that failed', () => {
  it('is made again after ever longer waits, up to half a minute', async () => {
    const { at, said, stop } = follow(Array.from({ length: 14 }, () => refused));
    await advance(200_000);
    const waits = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000, 30_000]);
    expect(said).toEqual([expect.stringContaining('ECONNREFUSED')]);
    await stop();
  });

  it('waits half as long at least, so that a thousand agents come back one by one', async () => {
    const { at, stop } = follow(
      Array.from({ length: 3 }, () => refused),
      [],
      0,
    );
    await advance(1_000);
    expect(at.slice(0, 3)).toEqual([0, 50, 150]);
    await stop();
  });

  it('is forgotten when the next one has lasted', async () => {
    const failures = Array.from({ length: 6 }, () => refused);
    const { at, stop } = follow(
      [...failures, listOf('5'), listOf('6')],
      [{ events: [bookmark('6')], then: reset, lasts: 60_000 }, silent],
    );
    await advance(70_000);
    expect((at[8] ?? 0) - (at[7] ?? 0)).toBe(60_100);
    await stop();
  });

  it('counts on when the watches that stand break off at once', async () => {
    const { at, stop } = follow(
      Array.from({ length: 20 }, () => listOf('5')),
      Array.from({ length: 20 }, () => ({ events: [bookmark('6')], then: reset })),
    );
    await advance(60_000);
    expect(at.length).toBeLessThan(24);
    await stop();
  });

  it('says a refusal at once and once, with the rule that is missing', async () => {
    const denied = new Refusal(403, 'secrets is forbidden');
    const { said, stop } = follow([denied, refused, denied, listOf('5')], [new Refusal(403, ''), silent]);
    await advance(60_000);
    const rule = 'apiGroups [""], resources [secrets], resourceNames [bundle], verbs [list, watch]';
    const line = (verb: string): string =>
      'failed: secret ns/bundle cannot be read through the API server: ' +
      `the service account may not ${verb} it (403); grant it in a Role of namespace ns: ${rule}`;
    expect(said).toEqual([line('list'), line('watch')]);
    await stop();
  });

  it.each([401, 429, 500, 503])('says nothing at once of %i, which passes', async (code) => {
    const { said, stop } = follow([...Array.from({ length: 4 }, () => new Refusal(code, '')), listOf('5')]);
    await advance(60_000);
    expect(said).toEqual([]);
    await stop();
  });

  it('says any other failure when it has come again and again, once, and that it is over', async () => {
    const { said, stop } = follow([...Array.from({ length: 8 }, () => refused), listOf('5')]);
    await advance(1_000);
    expect(said).toEqual([]);
    await advance(60_000);
    expect(said).toEqual([
      'failed: secret ns/bundle cannot be read through the API server: connect ECONNREFUSED',
      'recovered: secret ns/bundle is read through the API server again',
    ]);
    await stop();
  });

  it.each([
    ['an answer about something else', { kind: 'PodList', metadata: { resourceVersion: '1' }, items: [] }],
    ['no object at all', 'hello'],
    ['data that is no text', listOf('5', { metadata: metadata('3'), data: { a: 1 } })],
  ])('keeps what is held: %s', async (_, nonsense) => {
    const { source, said, stop } = follow(
      [listOf('5', secret('3', { a: 'one' })), ...Array.from({ length: 9 }, () => nonsense)],
      [{ events: [], then: 'end' }],
    );
    await advance(10_000);
    expect(source.reading()?.files).toHaveLength(1);
    expect(said).toEqual([expect.stringContaining('what answered is not the API server')]);
    await stop();
  });
});
