import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { openApi } from '../../../src/api/api.ts';
import { Refusal } from '../../../src/api/refusal.ts';
import { explain } from '../../../src/host/problem.ts';
import { Problem } from '../../../src/host/problem.ts';
import { apiOf, standIn } from '../support/api-server.ts';

const patience = { timeout: 20_000 };

const never = new AbortController().signal;
const answer = (response: ServerResponse, status: number, json: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json));
};
const status = (code: number, message: string) => ({ kind: 'Status', code, message });

afterEach(() => {
  vi.useRealTimers();
});

/** Time is the test's own from now on; what waits for the network goes on by itself. */
function holdTime(): (ms: number) => void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  return (ms) => {
    vi.advanceTimersByTime(ms);
  };
}

async function all(lines: AsyncIterable<unknown>): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const line of lines) found.push(line);
  return found;
}

describe('a request', () => {
  it('comes as the service account of the pod, with the token of that moment', async () => {
    const server = await standIn((_, response) => {
      answer(response, 200, { kind: 'Node' });
    });
    const api = apiOf(server.root);
    expect(await api.ask({ path: '/api/v1/nodes/one' })).toEqual({ kind: 'Node' });
    server.setToken('second');
    const type = 'application/merge-patch+json';
    await api.ask({ method: 'PATCH', path: '/api/v1/nodes/one', body: { a: 1 }, type });
    expect(server.asked).toEqual([
      { line: 'GET /api/v1/nodes/one', token: 'Bearer first', body: '' },
      { line: 'PATCH /api/v1/nodes/one', token: 'Bearer second', body: '{"a":1}' },
    ]);
  });

  it('that is refused says the status and what the server said, in one line', async () => {
    const server = await standIn(({ url }, response) => {
      if (url === '/json') answer(response, 403, status(403, 'nodes "one" is\nforbidden'));
      else response.writeHead(503).end('<html>');
    });
    const waited: number[] = [];
    const api = apiOf(server.root, (ms) => Promise.resolve(waited.push(ms)));
    const refused = await api.ask({ path: '/json' }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(Refusal);
    expect(refused).toMatchObject({ code: 403 });
    expect(waited).toHaveLength(server.asked.length - 1);
    expect(explain(refused)).toBe('the API server answered 403: nodes "one" is\\u{a}forbidden');
    expect(explain(await api.ask({ path: '/html' }).catch((error: unknown) => error))).toBe(
      'the API server answered 503',
    );
  });

  it('that something else answers fails', async () => {
    const server = await standIn((_, response) => response.end('<html>welcome to the airport</html>'));
    await expect(apiOf(server.root).ask({ path: '/' })).rejects.toThrow('something else than JSON');
  });

  it('that is answered without end fails, and ends', async () => {
    const server = await standIn((_, response) => {
      const more = (): void => {
        while (response.write('x'.repeat(100_000)));
        response.once('drain', more);
      };
      more();
    });
    await expect(apiOf(server.root).ask({ path: '/' })).rejects.toThrow("the API server's answer is over");
    await vi.waitUntil(async () => (await server.connections()) === 0, patience);
  });

  it.each([
    ['not', () => undefined],
    ['only in part', (response: ServerResponse) => response.writeHead(200).write('{')],
  ])('that is %s answered ends after ten seconds', async (_, respond) => {
    const server = await standIn((_request, response) => void respond(response));
    const pass = holdTime();
    const asking = apiOf(server.root).ask({ path: '/' });
    asking.catch(() => undefined);
    await vi.waitUntil(() => server.asked.length > 0, patience);
    pass(10_000);
    await expect(asking).rejects.toThrow('the API server does not answer in time');
  });

  it('ends when nobody wants it any more, or when nobody did from the beginning', async () => {
    const server = await standIn(() => undefined);
    const stop = new AbortController();
    const asking = apiOf(server.root).ask({ path: '/', signal: stop.signal });
    asking.catch(() => undefined);
    await vi.waitUntil(() => server.asked.length > 0, patience);
    stop.abort();
    await expect(asking).rejects.toThrow();
    await expect(apiOf(server.root).ask({ path: '/', signal: stop.signal })).rejects.toThrow();
    await vi.waitUntil(async () => (await server.connections()) === 0, patience);
  });

  it('says what is wrong with the pod', async () => {
    const server = await standIn(() => undefined);
    rmSync(join(server.root, 'var/run/secrets/kubernetes.io/serviceaccount/token'));
    const failure = await apiOf(server.root)
      .ask({ path: '/' })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Problem);
    expect(explain(failure)).toMatch(/^the pod's service account cannot be read: no such file/);
  });

  it('is not to be had where there is no cluster', () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', undefined);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    expect(openApi()).toBeUndefined();
  });
});

describe('an answer that goes on', () => {
  const followed = async (respond: (response: ServerResponse) => unknown, silenceMs = 60_000) => {
    const server = await standIn((_, response) => void respond(response.writeHead(200)));
    return apiOf(server.root).follow({ path: '/watch', silenceMs, signal: never });
  };

  it('is read line by line, however it is cut into pieces', async () => {
    const text = '{"a":1}\n\n{"b":"ü"}\n{"c":3}\n';
    const events = await followed((response) => {
      const bytes = Buffer.from(text);
      const next = (at: number): void => {
        if (at === bytes.length) response.end();
        else
          response.write(bytes.subarray(at, at + 1), () => {
            next(at + 1);
          });
      };
      next(0);
    });
    expect(await all(events)).toEqual([{ a: 1 }, { b: 'ü' }, { c: 3 }]);
  });

  it.each([
    ['ends in the middle of a line', (response: ServerResponse) => response.end('{"a":1}\n{"b"'), 'breaks off'],
    [
      'holds something else',
      (response: ServerResponse) => response.end('{"a":1}\nhello\n'),
      'something else than JSON',
    ],
    [
      'breaks off in the middle of a chunk',
      (response: ServerResponse) => {
        response.write('{"a":1}\n', () => {
          response.socket?.end();
        });
      },
      /aborted/,
    ],
    [
      'has a line without end',
      (response: ServerResponse) => response.end(`{"a":1}\n${'x'.repeat(4 * 1024 * 1024 + 1)}`),
      "the API server's answer is over",
    ],
  ])('that %s gives what came before, and fails', async (_, respond, message) => {
    const events = await followed(respond);
    const found: unknown[] = [];
    const reading = (async () => {
      for await (const event of events) found.push(event);
    })();
    await expect(reading).rejects.toThrow(message);
    expect(found).toEqual([{ a: 1 }]);
  });

  it('is dead when it has been silent for too long, and not before', async () => {
    let speak: () => void = () => undefined;
    const events = await followed((response) => {
      speak = () => response.write('{"a":1}\n');
      speak();
    });
    const iterator = events[Symbol.asyncIterator]();
    const pass = holdTime();
    const first = iterator.next();
    expect(await first).toMatchObject({ value: { a: 1 } });
    const second = iterator.next();
    pass(59_000);
    speak();
    expect(await second).toMatchObject({ value: { a: 1 } });
    const third = iterator.next();
    third.catch(() => undefined);
    pass(59_000);
    pass(1_000);
    await expect(third).rejects.toThrow('the API server does not answer in time');
  });

  it('ends with the connection when nobody reads on', async () => {
    const server = await standIn((_, response) => response.writeHead(200).write('{"a":1}\n'));
    const events = await apiOf(server.root).follow({ path: '/', silenceMs: 60_000, signal: never });
    for await (const event of events) {
      expect(event).toEqual({ a: 1 });
      break;
    }
    await vi.waitUntil(async () => (await server.connections()) === 0, patience);
  });

  it('is refused like any other', async () => {
    const server = await standIn(({ url }, response) => {
      answer(response, url === '/gone' ? 410 : 201, status(410, 'too old'));
    });
    const asked = (path: string) => apiOf(server.root).follow({ path, silenceMs: 60_000, signal: never });
    await expect(asked('/gone')).rejects.toMatchObject({ code: 410 });
    await expect(asked('/created')).rejects.toThrow('not with a watch');
  });
});
