import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type ServerResponse, createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import * as z from 'zod/mini';
import { openCluster } from '../../../src/api/cluster.ts';
import { loadKubeconfig } from '../../../src/api/kubeconfig.ts';
import type { Refusal } from '../../../src/api/refusal.ts';
import { UsageProblem } from '../../../src/host/problem.ts';
import { temporaryDirectory } from '../support/directories.ts';
import { answer, standInCluster, writeKubeconfig } from '../support/stand-in-cluster.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
/** A user whose credentials come from a script. */
const plugin = (script: string) => ({ user: { exec: { command: 'sh', args: ['-c', script] } } });

const shape = z.object({ name: z.string() });
const named = (...names: readonly string[]): readonly unknown[] => names.map((name) => ({ name, much: { more: [1] } }));
const page = (next: string, ...names: readonly string[]): unknown => ({
  kind: 'List',
  metadata: { resourceVersion: '1', continue: next },
  items: named(...names),
});

interface ListOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly onPage?: (count: number) => void;
}

/** The names in the list, but for those that begin with an x. */
function list(kubeconfig: string, { environment = {}, signal, onPage }: ListOptions = {}): Promise<readonly string[]> {
  const cluster = openCluster(loadKubeconfig({ kubeconfig }, {}), environment);
  return cluster.list({
    path: '/api/v1/things',
    labelSelector: 'a=b,c=d',
    shape,
    pick: ({ name }) => (name.startsWith('x') ? undefined : name),
    signal: signal ?? new AbortController().signal,
    ...(onPage === undefined ? {} : { onPage }),
  });
}

/** One line that says this, and that whoever typed the command can do something about it. */
async function expectProblem(listing: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await listing.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UsageProblem);
  expect((error as UsageProblem).message).toMatch(message);
  expect((error as UsageProblem).message).not.toContain('\n');
}

/** A proxy on which everything leads to one port. */
async function startProxy(port: () => number): Promise<{ readonly url: string; readonly asked: readonly string[] }> {
  const asked: string[] = [];
  const proxy = createServer().on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    const inner = connect(port(), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      inner.pipe(socket).pipe(inner);
    });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  onTestFinished(() => {
    proxy.close();
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
}

describe('a list', () => {
  it('comes page by page, with the credentials of the kubeconfig, below the path of its server', async () => {
    const pages = [page('more&more', 'one', 'x'), page('', 'two')];
    const cluster = await standInCluster(
      (_, response) => {
        answer(response, 200, pages.shift());
      },
      { prefix: '/clusters/one' },
    );
    const counts: number[] = [];
    expect(await list(cluster.kubeconfig, { onPage: (count) => counts.push(count) })).toEqual(['one', 'two']);
    const first = 'GET /clusters/one/api/v1/things?limit=500&labelSelector=a%3Db%2Cc%3Dd';
    expect(cluster.asked).toEqual([`${first} Bearer secret`, `${first}&continue=more%26more Bearer secret`]);
    expect(counts).toEqual([2, 3]);
  });

  it('comes with the token of a file, as it is at that moment', async () => {
    const cluster = await standInCluster(
      (_, response) => {
        answer(response, 200, page('', 'one'));
      },
      // Beside the kubeconfig.
      { user: { tokenFile: 'token' } },
    );
    for (const token of ['first', 'second']) {
      writeFileSync(join(dirname(cluster.kubeconfig), 'token'), `${token}\n`);
      await list(cluster.kubeconfig);
    }
    expect(cluster.asked.map((line) => line.split(' ').at(-1))).toEqual(['first', 'second']);
  });

  it('may be packed', async () => {
    const cluster = await standInCluster((request, response) => {
      expect(request.headers['accept-encoding']).toBe('gzip');
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(JSON.stringify(page('', 'one', 'two'))));
    });
    expect(await list(cluster.kubeconfig)).toEqual(['one', 'two']);
  });

  it('begins again when the server has let go of its pages', async () => {
    const answers = [
      [200, page('old', 'one')],
      [410, { kind: 'Status', message: 'too old' }],
      [200, page('new', 'one')],
      [200, page('', 'two')],
    ] as const;
    let turn = -1;
    const cluster = await standInCluster((_, response) => {
      turn += 1;
      const [code, body] = answers[turn] ?? [500, {}];
      answer(response, code, body);
    });
    expect(await list(cluster.kubeconfig)).toEqual(['one', 'two']);
  });

  it('does not begin again for ever', async () => {
    const cluster = await standInCluster((request, response) => {
      answer(response, request.url?.includes('continue') ? 410 : 200, page('old', 'one'));
    });
    await expectProblem(list(cluster.kubeconfig), /answered 410$/);
    expect(cluster.asked).toHaveLength(6);
  });

  it('goes through the proxy that the environment names', async () => {
    const cluster = await standInCluster(
      (_, response) => {
        answer(response, 200, page('', 'one'));
      },
      // Only the proxy knows where that is.
      { host: 'api.example' },
    );
    const proxy = await startProxy(() => cluster.port);
    expect(await list(cluster.kubeconfig, { environment: { HTTPS_PROXY: proxy.url } })).toEqual(['one']);
    expect(proxy.asked).toEqual([`api.example:${cluster.port}`]);
  });

  it('ends no other one that goes through the same proxy-url', async () => {
    let port = 0;
    const proxy = await startProxy(() => port);
    const { promise: second, resolve: release } = Promise.withResolvers<undefined>();
    const cluster = await standInCluster(
      (request, response) => {
        if (request.url?.includes('slow') !== true) answer(response, 200, page('', 'one'));
        else
          void second.then(() => {
            answer(response, 200, page('', 'two'));
          });
      },
      { host: 'api.example', cluster: { 'proxy-url': proxy.url } },
    );
    ({ port } = cluster);
    const opened = openCluster(loadKubeconfig({ kubeconfig: cluster.kubeconfig }, {}), {});
    const names = (path: string): Promise<readonly string[]> =>
      opened.list({ path, shape, pick: ({ name }) => name, signal: new AbortController().signal });
    const slow = names('/api/v1/slow');
    const fast = names('/api/v1/fast');
    expect(await fast).toEqual(['one']);
    release(undefined);
    expect(await slow).toEqual(['two']);
  });

  it('ends when it is told to', async () => {
    const stop = new AbortController();
    const cluster = await standInCluster(() => {
      stop.abort();
    });
    await expectProblem(list(cluster.kubeconfig, { signal: stop.signal }), /aborted/);
  });
});

describe('what goes wrong', () => {
  const status = (message: string): unknown => ({ kind: 'Status', status: 'Failure', message });

  it.each([
    [
      'expired credentials',
      401,
      status('Unauthorized'),
      /does not accept the credentials of the user admin.*log in again/,
    ],
    [
      'a missing right',
      403,
      status('things is forbidden: no'),
      /^the API server https:.* answered 403: things is forbidden: no$/,
    ],
    ['a server in trouble', 500, 'nothing', /answered 500$/],
    ['a way to elsewhere', 302, {}, /answered 302$/],
    [
      'a page of something else',
      200,
      '<html>Log in</html>',
      /is not a Kubernetes API server: is the context the right one\?$/,
    ],
    ['a list of something else', 200, { metadata: {}, items: [{ name: 1 }] }, /is not a Kubernetes API server/],
    ['no list', 200, { metadata: {} }, /is not a Kubernetes API server/],
  ])('is said in one line: %s', async (_, code, body, message) => {
    const cluster = await standInCluster((__, response) => {
      answer(response, code, body);
    });
    await expectProblem(list(cluster.kubeconfig), message);
  });

  it('is said in one line, whatever the kubeconfig calls its context and its user', async () => {
    const cluster = await standInCluster((_, response) => {
      answer(response, 401, {});
    });
    const text = readFileSync(cluster.kubeconfig, 'utf8');
    writeFileSync(
      cluster.kubeconfig,
      text.replaceAll('"test"', String.raw`"\u001b]0;x"`).replaceAll('"admin"', '"a\\nb"'),
    );
    await expectProblem(list(cluster.kubeconfig), /\(context \\u\{1b\}\]0;x\) does not accept .* user a\\u\{a\}b: /);
  });

  it('says that nobody asked, where the kubeconfig has no credentials that the server knows', async () => {
    const message = 'nodes is forbidden: User "system:anonymous" cannot list resource "nodes"';
    const cluster = await standInCluster((_, response) => {
      answer(response, 403, status(message));
    });
    await expectProblem(
      list(cluster.kubeconfig),
      /403: nodes is forbidden: .*; the kubeconfig's user admin has no credentials that it knows: log in, or mend them$/,
    );
  });

  it.each<[string, (response: ServerResponse) => unknown]>([
    ['says nothing', () => undefined],
    ['falls silent', (response) => response.writeHead(200).write('{"metadata":')],
  ])('a server that %s is left after 15 s', async (_, respond) => {
    const asked = Promise.withResolvers<undefined>();
    const cluster = await standInCluster((__, response) => {
      respond(response);
      asked.resolve(undefined);
    });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const listing = expectProblem(
      list(cluster.kubeconfig),
      /cannot be reached: no answer within 15 s; is it the right/,
    );
    await asked.promise;
    vi.advanceTimersByTime(15_000);
    await listing;
  });

  it('a plug-in that hangs is left after a minute, or when it is told to', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    // It ends with the test, whose end of the pipe it reads.
    const kubeconfig = writeKubeconfig(plugin('read never'));
    const listing = expectProblem(list(kubeconfig), /its plug-in sh: no answer within 60 s; log in again, or mend/);
    await vi.waitUntil(() => vi.getTimerCount() > 0, { timeout: 5_000 });
    vi.advanceTimersByTime(60_000);
    await listing;
    const stop = new AbortController();
    const stopped = expectProblem(list(kubeconfig, { signal: stop.signal }), /its plug-in sh: .*aborted/);
    stop.abort();
    await stopped;
  });

  it('names the variable that leads through a proxy', async () => {
    const environment = { HTTPS_PROXY: 'http://127.0.0.1:1' };
    await expectProblem(
      list(writeKubeconfig(), { environment }),
      /ECONNREFUSED.*lead there\? \(HTTPS_PROXY names a proxy\)$/,
    );
    await expectProblem(
      list(writeKubeconfig({ cluster: { 'proxy-url': 'http://127.0.0.1:1' } })),
      /ECONNREFUSED.*lead there\? \(proxy-url names a proxy\)$/,
    );
  });

  it('asks a plug-in once for the lists of one picture', async () => {
    const credential = JSON.stringify({ kind: 'ExecCredential', status: { token: 'given' } });
    const asked = join(temporaryDirectory(), 'asked');
    const { user } = plugin(`echo >> ${asked}; echo '${credential}'`);
    const cluster = await standInCluster(
      (_, response) => {
        answer(response, 200, page('', 'one'));
      },
      { user: { token: undefined, ...user } },
    );
    const opened = openCluster(loadKubeconfig({ kubeconfig: cluster.kubeconfig }, {}), {});
    const { signal } = new AbortController();
    const request = { path: '/api/v1/things', shape, pick: ({ name }: { name: string }) => name, signal };
    expect(await Promise.all([opened.list(request), opened.list(request)])).toEqual([['one'], ['one']]);
    expect(cluster.asked.every((line) => line.endsWith(' Bearer given'))).toBe(true);
    expect(readFileSync(asked, 'utf8')).toBe('\n');
  });

  it('a refusal keeps its number', async () => {
    const cluster = await standInCluster((_, response) => {
      answer(response, 403, status('no'));
    });
    await expect(list(cluster.kubeconfig)).rejects.toThrow(
      expect.objectContaining({ code: 403, name: 'Refusal' }) as Refusal,
    );
  });

  it('an answer that breaks off is none', async () => {
    const cluster = await standInCluster((_, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('{"metadata":{},"items":[');
      setImmediate(() => response.destroy());
    });
    await expectProblem(list(cluster.kubeconfig), /cannot be reached: .*(aborted|closed|hang up)/i);
  });

  it.each([
    ['a server that is not there', {}, /https:\/\/127.0.0.1:1 \(context test\) cannot be reached: .*ECONNREFUSED/],
    [
      'a name with several addresses',
      { server: 'https://localhost:1' },
      /cannot be reached: \S.*; is it the right context/,
    ],
    [
      'a plug-in that is not there',
      { user: { token: '', exec: { command: '/no/such', args: [] } } },
      /user admin cannot be had: its plug-in \/no\/such: .*ENOENT/,
    ],
    [
      'a plug-in that fails',
      plugin('echo >&2; echo please log in >&2; exit 1'),
      /: please log in; log in again, or mend/,
    ],
    ['a plug-in that fails without a word', plugin('exit 1'), /its plug-in sh: it said nothing; log in again/],
    ['a plug-in that prints nothing', plugin(':'), /its plug-in sh: what it printed is no ExecCredential; log in/],
    ['a plug-in that prints a page', plugin('echo "<html>"'), /its plug-in sh: what it printed is no ExecCredential/],
    ['a plug-in that prints an object', plugin('echo "{}"'), /its plug-in sh: what it printed is no ExecCredential/],
    [
      'a server that is no address',
      { server: 'api.example:6443' },
      /server api.example:6443 is no address such as .*; mend the kubeconfig$/,
    ],
    ['a server of another kind', { server: 'ftp://api.example' }, /server ftp:\/\/api\.example is no address such as/],
    ['a server without a name', { server: 'https://' }, /server https:\S* is no address such as .*; mend/],
    ['a proxy that is no address', { cluster: { 'proxy-url': 'proxy' } }, /proxy-url proxy is no address such as/],
    [
      'a CA that is not there',
      { cluster: { 'certificate-authority': '/no/ca.crt' } },
      /^the kubeconfig's certificate-authority \/no\/ca\.crt cannot be read: no such file .*; mend the kubeconfig$/,
    ],
    [
      'a CA that is a directory',
      { cluster: { 'certificate-authority': '/' } },
      /certificate-authority \/ cannot be read: it is a directory; mend/,
    ],
    [
      'a file with a token that is not there',
      { user: { tokenFile: '/no/token' } },
      /^the kubeconfig's tokenFile \/no\/token cannot be read: no such file .*; mend the kubeconfig$/,
    ],
    [
      'an auth-provider without what it needs',
      { user: { 'auth-provider': { name: 'gcp' } } },
      /user admin cannot be had: its auth-provider gcp: its config lacks what it needs; log in again, or mend/,
    ],
    [
      'an auth-provider whose token is old',
      { user: { 'auth-provider': { name: 'gcp', config: {} } } },
      /its auth-provider gcp: Token is expired!; log in again/,
    ],
    [
      'a token that fits no header',
      { user: { token: 'a\nb' } },
      /^the credentials of the kubeconfig's user admin cannot be used: Invalid character/,
    ],
    [
      'a certificate that is none',
      { user: { 'client-certificate-data': base64('rubbish'), 'client-key-data': base64('rubbish') } },
      /^the credentials of the kubeconfig's user admin cannot be used: .*PEM routines.*; mend the kubeconfig$/,
    ],
    [
      'a certificate that is not there',
      { user: { 'client-certificate': '/no/such.crt' } },
      /client-certificate \/no\/such\.crt cannot be read: no such file/,
    ],
  ])('is said in one line: %s', async (_, entries, message) => {
    await expectProblem(list(writeKubeconfig(entries)), message);
  });

  it('a server whose certificate nobody vouches for is not asked', async () => {
    const cluster = await standInCluster(
      (_, response) => {
        answer(response, 200, page('', 'one'));
      },
      { cluster: { 'certificate-authority-data': undefined } },
    );
    await expectProblem(
      list(cluster.kubeconfig),
      /cannot be reached: [^;]*certificate; the kubeconfig's CA does not vouch/,
    );
    expect(cluster.asked).toEqual([]);
  });
});
