/**
 * An API server that means harm, or whatever has taken its place: over real TLS, to the real door. What it gets to send is
 * counted, for that bounds what can be held; and what was held before is held after.
 */
import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { gzipSync } from 'node:zlib';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { explain } from '../../../src/host/problem.ts';
import { openNodeObject } from '../../../src/report/node-object.ts';
import { openSecret } from '../../../src/sources/secret.ts';
import { makeCert } from '../../sandbox/harness/certs.ts';
import { apiOf, standIn } from '../support/api-server.ts';
import { sleep } from '../support/sleep.ts';

/** What the kernel holds of a connection, and what is read of one answer at most. */
const roomBytes = 16 * 1024 * 1024;

afterEach(() => {
  vi.useRealTimers();
});

/** Sends on and on; what has been sent so far is counted. */
function pour(response: ServerResponse, piece: string, sent: { bytes: number }): void {
  const more = (): void => {
    let goesOn = true;
    while (goesOn && !response.destroyed) {
      goesOn = response.write(piece);
      sent.bytes += piece.length;
    }
    response.once('drain', more);
  };
  more();
}

const metadata = (resourceVersion: string) => ({ namespace: 'ns', name: 'bundle', resourceVersion });
const listed = (version: string, value: string) => ({
  kind: 'SecretList',
  metadata: { resourceVersion: version },
  items: [{ metadata: metadata(version), data: { 'ca.crt': Buffer.from(value).toString('base64') } }],
});
const bookmark = (version: string): string =>
  `${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: version } } })}\n`;

type Answer = (response: ServerResponse, request: IncomingMessage, sent: { bytes: number }) => unknown;

const raw =
  (head: string): Answer =>
  ({ socket }) => {
    socket?.end(head);
  };

const packed = gzipSync(Buffer.alloc(2 ** 28));

/** What each one says of itself, in a line. */
const answers: Record<string, readonly [Answer, RegExp]> = {
  'a Secret of 3 GB': [
    (response, _, sent) => {
      response.writeHead(200, { 'content-length': String(3 * 2 ** 30) });
      pour(response, 'x'.repeat(65_536), sent);
    },
    /answer is over \d+ bytes/,
  ],
  'a line without end, of values': [
    (response, _, sent) => {
      response.write('{"kind":"SecretList","items":[');
      pour(response, '{"metadata":{}},'.repeat(4_096), sent);
    },
    /answer is over \d+ bytes/,
  ],
  'what unpacks to a thousand times as much': [
    (response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed);
    },
    /something else than JSON/,
  ],
  'brackets in brackets': [(response) => response.end('['.repeat(2 ** 19) + ']'.repeat(2 ** 19)), /not the API server/],
  'half of it': [(response) => response.end('{"kind":"SecretList","items":['), /something else than JSON/],
  nothing: [(response) => response.end(), /something else than JSON/],
  null: [(response) => response.end('null'), /not the API server, or not about this Secret/],
  'another kind': [(response) => response.end('{"kind":"PodList","items":[]}'), /not the API server/],
  'another Secret': [
    (response) => response.end(JSON.stringify(listed('9', 'x')).replace('"bundle"', '"other"')),
    /answered with another object/,
  ],
  'numbers for bytes': [
    (response) => response.end('{"kind":"SecretList","metadata":{"resourceVersion":"1"},"items":[{"data":{"a":1}}]}'),
    /not the API server/,
  ],
  'that it is busy for thirty years': [
    (response) => response.writeHead(429, { 'retry-after': '1000000000' }).end(),
    /answered 429/,
  ],
  'a message that paints the terminal': [
    (response) => response.writeHead(500).end(JSON.stringify({ message: '\u001b[2J\u202eevil\nline two' })),
    /answered 500: \\u\{1b\}\[2J\\u\{202e\}evil\\u\{a\}line two$/,
  ],
  'headers without end': [
    (response, _, sent) => {
      const { socket } = response;
      socket?.write('HTTP/1.1 200 OK\r\n');
      for (let n = 0; n < 200; n += 1) socket?.write(`x-${n}: ${'y'.repeat(1_000)}\r\n`);
      sent.bytes += 200_000;
    },
    /Header overflow/,
  ],
  'another protocol': [
    raw('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
    /did not answer/,
  ],
  'no HTTP': [raw('220 mail.example ESMTP\r\n'), /Parse Error/],
};

describe('a hostile API server', () => {
  it.each(Object.entries(answers))(
    'answers %s: one line, what was held stays, and it goes on when that is over',
    async (_, [answer, line]) => {
      const sent = { bytes: 0 };
      let mood: 'good' | 'evil' | 'better' = 'good';
      let evil = 0;
      const server = await standIn((request, response) => {
        const isWatch = request.url?.includes('watch=1') === true;
        if (mood === 'evil') {
          evil += 1;
          answer(response, request, sent);
        } else if (isWatch) response.writeHead(200).end(mood === 'good' ? '' : bookmark('9'));
        else response.end(JSON.stringify(listed(mood === 'good' ? '5' : '8', mood)));
      });
      const said: string[] = [];
      let changes = 0;
      const stop = new AbortController();
      const source = openSecret(
        { namespace: 'ns', name: 'bundle' },
        {
          api: apiOf(server.root),
          steady: () => performance.now(),
          sleep,
          random: () => 1,
          pacing: { retryMs: 1, longestRetryMs: 20, watchMs: 300_000, silenceMs: 150_000 },
          changed: () => (changes += 1),
          failed: (text) => said.push(text),
          recovered: () => undefined,
        },
      );
      const text = (): string => String(source.reading()?.files[0]?.bytes);
      const following = source.follow(stop.signal);
      await source.answered;
      mood = 'evil';
      await vi.waitUntil(() => said.length > 0 && evil > 4, { timeout: 30_000 });
      expect([text(), changes]).toEqual(['good', 1]);
      mood = 'better';
      await vi.waitUntil(() => text() === 'better', { timeout: 30_000 });
      stop.abort();
      await following;
      expect(said).toEqual([expect.stringMatching(line)]);
      expect(said[0]?.length).toBeLessThan(700);
      expect(said[0]).not.toMatch(/\p{C}/u);
      expect(sent.bytes / Math.max(evil, 1)).toBeLessThan(roomBytes);
    },
    60_000,
  );

  it('that sends little events without end gets no more than it is read, and the agent has time for others', async () => {
    const sent = { bytes: 0 };
    const server = await standIn((_, response) => {
      pour(response.writeHead(200), bookmark('5').repeat(1_000), sent);
    });
    const stop = new AbortController();
    const events = await apiOf(server.root).follow({ path: '/', silenceMs: 60_000, signal: stop.signal });
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    let read = 0;
    for await (const event of events) {
      expect(event).toMatchObject({ type: 'BOOKMARK' });
      read += bookmark('5').length;
      if (read > 4 * 2 ** 20) break;
    }
    clearInterval(timer);
    expect(sent.bytes - read).toBeLessThan(roomBytes);
    expect(turns).toBeGreaterThan(10);
    await vi.waitUntil(async () => (await server.connections()) === 0, { timeout: 20_000 });
  });

  it('that sends an octet now and then, and never a whole event, is left when no event has come for too long', async () => {
    const drops: (() => void)[] = [];
    const server = await standIn((_, response) => {
      response.writeHead(200).write('{');
      drops.push(() => response.write(' '));
    });
    const never = new AbortController().signal;
    const events = await apiOf(server.root).follow({ path: '/', silenceMs: 60_000, signal: never });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const next = events[Symbol.asyncIterator]().next();
    next.catch(() => undefined);
    for (let second = 0; second <= 60; second += 1) {
      drops[0]?.();
      await new Promise((resolve) => setImmediate(resolve));
      vi.advanceTimersByTime(1_000);
    }
    await expect(next).rejects.toThrow('the API server does not answer in time');
  });

  it.each([301, 302, 303, 307, 308])('that redirects (%i) leads the token nowhere else', async (code) => {
    const elsewhere: (string | undefined)[] = [];
    const other = createServer((request, response) => {
      elsewhere.push(request.headers.authorization);
      response.end('{}');
    }).listen(0, '127.0.0.1');
    await once(other, 'listening');
    onTestFinished(() => {
      other.close();
      other.closeAllConnections();
    });
    const address = other.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const server = await standIn((_, response) => {
      response.writeHead(code, {
        location: `http://127.0.0.1:${port}/steal`,
        refresh: `0; url=http://127.0.0.1:${port}/`,
      });
      response.end();
    });
    const api = apiOf(server.root);
    const follow = { path: '/', silenceMs: 1_000, signal: new AbortController().signal };
    await expect(api.ask({ path: '/' })).rejects.toMatchObject({ code });
    await expect(api.ask({ path: '/', method: 'PATCH', body: {} })).rejects.toMatchObject({ code });
    await expect(api.follow(follow)).rejects.toMatchObject({ code });
    expect(elsewhere).toEqual([]);
  });

  it('with a certificate of another CA is told nothing, not even the token', async () => {
    const server = await standIn((_, response) => response.end('{}'));
    const account = join(server.root, 'var/run/secrets/kubernetes.io/serviceaccount');
    writeFileSync(join(account, 'ca.crt'), (await makeCert()).pem);
    const why = await apiOf(server.root)
      .ask({ path: '/' })
      .catch((error: unknown) => error);
    expect(explain(why)).toMatch(/certificate/);
    expect(server.asked).toEqual([]);
  });

  it('whose Node has more annotations than anyone can hold is refused in a line, and one with many is read', async () => {
    let count = 1_000_000;
    const server = await standIn((_, response) => {
      const pairs = Array.from({ length: count }, (_value, n) => `"a.example/${n}":"x"`);
      response.end(`{"metadata":{"name":"one","uid":"u","annotations":{${pairs.join()}}}}`);
    });
    const names = { annotation: 'a.example/7', condition: 'CATrustReady', taint: 'x' };
    const node = openNodeObject('one', names, apiOf(server.root));
    await expect(node.read()).rejects.toThrow("the API server's answer is over");
    count = 100_000;
    expect((await node.read()).annotation).toBe('x');
  });

  const ones = Array.from({ length: 600_000 }, () => 1).join();
  const numbers = Array.from({ length: 300_000 }, (_, n) => `"${n}":1`).join();
  const head = '"kind":"SecretList","metadata":{"name":"one","uid":"u","resourceVersion":"1"';
  const noServer = 'what answered is not the API server, or not';

  it.each<[string, string, string | object]>([
    [
      'Secrets, taints and conditions',
      `{${head}},"items":[${ones}],"spec":{"taints":[${ones}]},"status":{"conditions":[${ones}]}}`,
      { uid: 'u', taints: [] },
    ],
    ['annotations', `{${head},"annotations":{${numbers}}},"items":[1]}`, `Error: ${noServer} for this Node`],
  ])('whose %s are numbers without end gets no more room than they take', async (_, answer, view) => {
    const server = await standIn((_request, response) => response.end(answer));
    const reader = fileURLToPath(new URL('../support/small-reader.ts', import.meta.url));
    const { stdout } = await execa(process.execPath, ['--max-old-space-size=64', reader, server.root]);
    const secret = expect.stringContaining(`${noServer} about this Secret`) as unknown;
    expect(JSON.parse(stdout)).toEqual({
      view: typeof view === 'string' ? view : (expect.objectContaining(view) as unknown),
      secret,
    });
  });
});
