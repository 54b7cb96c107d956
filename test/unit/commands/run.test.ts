import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { bundleDigest } from '../../../src/bundle/bundle.ts';
import type { RunConfig } from '../../../src/commands/config.ts';
import type { Outside } from '../../../src/commands/daemon.ts';
import { outside, run } from '../../../src/commands/run.ts';
import type { Labels, ReadLabels } from '../../../src/sources/node-label.ts';
import type { Api, ApiRequest } from '../../../src/api/api.ts';
import { temporaryDirectory } from '../support/directories.ts';
import { type Fixture, north, south } from '../support/fixtures.ts';
import { type LittleHost, anchorDirectory, littleHost } from '../support/little-host.ts';
import { setUptime, showProcess } from '../support/runtime.ts';
import { capturedStreams } from '../support/streams.ts';

interface Answer {
  readonly status: number;
  readonly text: string;
}

type LogLine = Readonly<Record<string, unknown>>;

interface Agent {
  log(): readonly LogLine[];
  /** What it answers; status 0 as long as it does not listen. */
  ask(path: string): Promise<Answer>;
  /** Waits until it is ready with exactly these. */
  trusts(...certificates: readonly Fixture[]): Promise<void>;
  /** Waits until it is not ready, for a reason like this. */
  refuses(reason: RegExp): Promise<void>;
  /** Waits until it makes no more passes. */
  rests(): Promise<void>;
  /** Ends it as SIGTERM does; the exit code. */
  stop(): Promise<number>;
}

/** How many passes it has counted. */
const passes = async (ask: Agent['ask']): Promise<string> =>
  (await ask('/metrics')).text.match(/^node_ca_trust_passes_total.*$/gm)?.join() ?? '';

/** Quick, and without a second look after a change: what is found is found by the watches. */
const pacing = { foldMs: 20, retryMs: 20, longestRetryMs: 200, recheckMs: 600_000 };

/** Starts the daemon; it ends with the test. */
async function start(
  host: LittleHost,
  bundle: readonly string[],
  changed: Partial<RunConfig> = {},
  from: Partial<Outside> = {},
): Promise<Agent> {
  const config: RunConfig = {
    bundle,
    hostRoot: host.root,
    instance: 'default',
    version: '1.2.3',
    allowLeaf: false,
    allowEmpty: false,
    maxCertificates: 100,
    strict: false,
    runtimeRefresh: 'auto',
    resyncMs: 600_000,
    listen: { host: '127.0.0.1', port: 0 },
    logLevel: 'info',
    nodeLabel: [{ key: 'node-ca-trust.io/enabled', value: 'true' }],
    ...changed,
  };
  const stop = new AbortController();
  const streams = capturedStreams();
  let crash: unknown;
  const running = run(config, streams, stop.signal, { ...outside, pacing, ...from });
  running.catch((error: unknown) => {
    crash = error;
  });
  onTestFinished(async () => {
    stop.abort();
    await running.catch(() => undefined);
  });
  const log = (): readonly LogLine[] => {
    const lines = streams.stdout.text.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as LogLine);
  };
  await vi.waitUntil(() => log().length > 0, { timeout: 20_000 });
  const address = String(log()[0]?.['listen']);
  const ask = async (path: string): Promise<Answer> => {
    if (crash !== undefined) throw crash as Error;
    try {
      const response = await fetch(`http://${address}${path}`);
      return { status: response.status, text: await response.text() };
    } catch {
      return { status: 0, text: '' };
    }
  };
  const readyz = async (status: number, text: RegExp): Promise<void> => {
    for (const deadline = Date.now() + 60_000; ;) {
      const answer = await ask('/readyz');
      if (answer.status === status && text.test(answer.text)) return;
      if (Date.now() > deadline) throw new Error(`/readyz stays at ${answer.status}: ${answer.text}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  return {
    log,
    ask,
    trusts: (...certificates) =>
      readyz(200, new RegExp(bundleDigest(certificates.map(({ fingerprint }) => fingerprint)))),
    refuses: (reason) => readyz(503, reason),
    rests: async () => {
      for (let before = '', now = await passes(ask); before !== now; now = await passes(ask)) {
        before = now;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    },
    stop: () => {
      stop.abort();
      return running;
    },
  };
}

/** A directory with these certificates. */
function bundleWith(...certificates: readonly Fixture[]): string {
  const directory = temporaryDirectory();
  for (const certificate of certificates) put(directory, certificate);
  return directory;
}

const put = (directory: string, certificate: Fixture): void => {
  fs.writeFileSync(join(directory, `${certificate.subjectHash}.crt`), certificate.pem);
};

const seen = (test: () => boolean): Promise<unknown> => vi.waitUntil(test, { timeout: 20_000, interval: 10 });

describe.skipIf(process.getuid?.() !== 0)('run', () => {
  it('installs the bundle, is ready then, and leaves it there when it ends', async () => {
    const host = littleHost();
    const agent = await start(host, [bundleWith(north)]);
    await agent.trusts(north);
    expect(await agent.ask('/healthz')).toEqual({ status: 200, text: 'alive\n' });
    expect((await agent.ask('/metrics')).text).toContain('node_ca_trust_converged 1\n');
    expect(await agent.stop()).toBe(0);
    expect(host.trusts(north)).toBe(true);
    expect((await agent.ask('/healthz')).status).toBe(0);
  });

  it('follows the bundle', async () => {
    const host = littleHost();
    const bundle = bundleWith(north);
    const agent = await start(host, [bundle]);
    await agent.trusts(north);
    put(bundle, south);
    await agent.trusts(north, south);
    fs.rmSync(join(bundle, `${north.subjectHash}.crt`));
    await agent.trusts(south);
    expect([host.trusts(north), host.trusts(south)]).toEqual([false, true]);
    expect((await agent.ask('/metrics')).text).toContain('node_ca_trust_source_lag_seconds_count 2\n');
  });

  it('sees at once that a bundle is back, however long it waits between tries', async () => {
    const bundle = bundleWith(north);
    const hours = 3_600_000;
    const slow = { pacing: { ...pacing, retryMs: hours, longestRetryMs: hours } };
    const agent = await start(littleHost(), [bundle], {}, slow);
    await agent.trusts(north);
    fs.renameSync(bundle, `${bundle}.away`);
    await agent.refuses(/no such file or directory/);
    await agent.rests();
    fs.renameSync(`${bundle}.away`, bundle);
    await agent.trusts(north);
  });

  it('repairs what somebody changed on the host', async () => {
    const host = littleHost();
    const agent = await start(host, [bundleWith(north)]);
    await agent.trusts(north);
    const [name = ''] = host.anchors();
    await agent.rests();
    fs.rmSync(host.path(`${anchorDirectory}/${name}`));
    await seen(() => host.anchors().includes(name));
  });

  it('serves the registries of a container runtime again after another tool has moved them away', async () => {
    const host = littleHost();
    const certs = host.path('/etc/containerd/certs.d');
    setUptime(host.root, 100);
    showProcess(host.root);
    fs.mkdirSync(join(certs, 'a.example'), { recursive: true });
    fs.writeFileSync(
      host.path('/etc/containerd/config.toml'),
      'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d"\n',
    );
    const agent = await start(host, [bundleWith(north)]);
    await agent.trusts(north);
    const links = ['_default', 'a.example'].map((name) => join(certs, name, 'node-ca-trust.crt'));
    await seen(() => links.every((link) => fs.existsSync(host.path(fs.readlinkSync(link)))));
    await agent.rests();
    fs.mkdirSync(join(certs, '_backup'));
    for (const name of ['_default', 'a.example']) fs.renameSync(join(certs, name), join(certs, '_backup', name));
    fs.mkdirSync(join(certs, '_default'));
    fs.writeFileSync(join(certs, '_default/hosts.toml'), '[host."https://mirror.example"]\n');
    await seen(() => fs.readFileSync(join(certs, '_default/hosts.toml'), 'utf8').includes('ca-certificates.crt'));
  });

  it('is alive and not ready while the bundle is broken, and says why', async () => {
    const bundle = bundleWith(north);
    const agent = await start(littleHost(), [bundle]);
    await agent.trusts(north);
    fs.writeFileSync(join(bundle, 'broken.crt'), 'no certificate');
    await agent.refuses(/^not-a-certificate: .*broken\.crt/);
    expect((await agent.ask('/healthz')).status).toBe(200);
    expect(await agent.ask('/livez')).toMatchObject({
      status: 300,
      text: expect.stringMatching(/^not-a-c/) as unknown,
    });
    fs.rmSync(join(bundle, 'broken.crt'));
    await agent.trusts(north);
  });

  it('waits for a bundle that is mounted later', async () => {
    const bundle = join(temporaryDirectory(), 'later');
    const agent = await start(littleHost(), [bundle]);
    await agent.refuses(/unreadable.*mount the bundle there/);
    fs.mkdirSync(bundle);
    put(bundle, north);
    await agent.trusts(north);
  });

  it('follows two files in one directory', async () => {
    const directory = bundleWith(north);
    const [one, two] = [join(directory, `${north.subjectHash}.crt`), join(directory, 'two.crt')];
    fs.writeFileSync(two, north.pem);
    const agent = await start(littleHost(), [one, two]);
    await agent.trusts(north);
    await agent.rests();
    fs.writeFileSync(two, south.pem);
    await agent.trusts(north, south);
  });

  it('follows a bundle through a link to its directory', async () => {
    const link = join(temporaryDirectory(), 'link');
    const bundle = bundleWith(north);
    fs.symlinkSync(bundle, link);
    const agent = await start(littleHost(), [link]);
    await agent.trusts(north);
    await agent.rests();
    put(bundle, south);
    await agent.trusts(north, south);
  });

  it('follows a link that comes to lead to another bundle, and a file through a link to it', async () => {
    const [one, two, directory] = [bundleWith(north), bundleWith(south), temporaryDirectory()];
    const [current, file] = [join(directory, 'current'), join(temporaryDirectory(), 'ca.crt')];
    const lead = (to: string): void => {
      fs.symlinkSync(to, `${current}.new`);
      fs.renameSync(`${current}.new`, current);
    };
    lead(one);
    const elsewhere = join(temporaryDirectory(), 'real.crt');
    fs.writeFileSync(elsewhere, north.pem);
    fs.symlinkSync(elsewhere, file);
    const agent = await start(littleHost(), [current, file]);
    await agent.trusts(north);
    await agent.rests();
    lead(two);
    await agent.trusts(north, south);
    await agent.rests();
    fs.writeFileSync(elsewhere, south.pem);
    await agent.trusts(south);
  });

  it('sees drift in a directory that the host reaches by an absolute link', async () => {
    const host = littleHost();
    fs.mkdirSync(host.path('/opt'));
    fs.renameSync(host.path('/usr/local'), host.path('/opt/local'));
    fs.symlinkSync('/opt/local', host.path('/usr/local'));
    const agent = await start(host, [bundleWith(north)]);
    await agent.trusts(north);
    const anchors = host.path('/opt/local/share/ca-certificates');
    const [name = ''] = fs.readdirSync(anchors);
    await agent.rests();
    fs.rmSync(join(anchors, name));
    await seen(() => fs.readdirSync(anchors).includes(name));
  });

  it('sees drift in a directory of the host that became a link to another one while it ran', async () => {
    const host = littleHost();
    const agent = await start(host, [bundleWith(north)]);
    await agent.trusts(north);
    await agent.rests();
    fs.renameSync(host.path('/usr/local/share'), host.path('/moved'));
    fs.symlinkSync('/moved', host.path('/usr/local/share'));
    await agent.rests();
    const anchors = host.path('/moved/ca-certificates');
    const [name = ''] = fs.readdirSync(anchors);
    fs.rmSync(join(anchors, name));
    await seen(() => fs.readdirSync(anchors).includes(name));
  });

  it('goes on when the path of the bundle is a circle of links', async () => {
    const bundle = join(temporaryDirectory(), 'circle');
    fs.symlinkSync(bundle, bundle);
    const agent = await start(littleHost(), [bundle]);
    await agent.refuses(/too many symbolic links/);
    fs.rmSync(bundle);
    fs.mkdirSync(bundle);
    put(bundle, north);
    await agent.trusts(north);
  });

  it('logs what it did to its standard output', async () => {
    const agent = await start(littleHost(), [bundleWith(north)]);
    await agent.trusts(north);
    await agent.stop();
    expect(agent.log().map(({ level, msg }) => `${String(level)}: ${String(msg)}`)).toEqual([
      'info: started',
      'info: the host trusts the bundle',
      'info: stopped; what is installed stays',
    ]);
    expect(agent.log()[1]).toMatchObject({ instance: 'default', added: [north.fingerprint] });
  });

  it('keeps what is installed when nobody can say whether the node is still enabled', async () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', undefined);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    const host = littleHost();
    const agent = await start(host, [bundleWith(north)], { nodeName: 'node-1' });
    await agent.trusts(north);
    expect(await agent.stop()).toBe(0);
    expect(host.trusts(north)).toBe(true);
  });
});

describe.skipIf(process.getuid?.() !== 0)('the end of a daemon that knows its Node', () => {
  const enabled = { 'node-ca-trust.io/enabled': 'true' };
  const ended = async (read: ReadLabels): Promise<{ code: number; host: LittleHost }> => {
    const host = littleHost();
    const agent = await start(host, [bundleWith(north)], { nodeName: 'node-1' }, { readLabels: read });
    await agent.trusts(north);
    return { code: await agent.stop(), host };
  };

  it('takes everything off when the Node does not bear the label any more', async () => {
    for (const labels of [{}, { 'node-ca-trust.io/enabled': 'false' }]) {
      const { code, host } = await ended(() => Promise.resolve(labels));
      expect(code).toBe(0);
      expect(host.trusts(north)).toBe(false);
      expect(host.anchors()).toEqual([]);
    }
  });

  it('keeps everything while the Node bears the label', async () => {
    const { code, host } = await ended(() => Promise.resolve(enabled));
    expect(code).toBe(0);
    expect(host.trusts(north)).toBe(true);
  });

  it.each([401, 403, 404, 500])('keeps everything when the API server answers %d', async (status) => {
    const { code, host } = await ended(() => Promise.reject(Object.assign(new Error('no'), { code: status })));
    expect(code).toBe(0);
    expect(host.trusts(north)).toBe(true);
  });

  it('tries for a minute and a half when the removal fails, and says why', async () => {
    const host = littleHost();
    const time = { passed: 0 };
    const clock: Outside['clock'] = {
      now: () => time.passed,
      steady: () => time.passed,
      sleep: (ms, signal) => {
        if (signal !== undefined) return outside.clock.sleep(ms, signal);
        time.passed += ms;
        return Promise.resolve();
      },
    };
    const readLabels = (): Promise<Labels> => {
      fs.rmSync(host.path('/usr/bin/flock'));
      return Promise.resolve({});
    };
    const from = { clock, pacing: { ...pacing, retryMs: 10_000 }, readLabels };
    const agent = await start(host, [bundleWith(north)], { nodeName: 'node-1' }, from);
    await agent.trusts(north);
    expect(await agent.stop()).toBe(1);
    const failures = agent.log().filter(({ msg }) => String(msg).startsWith('not removed: '));
    expect(failures).toHaveLength(10);
    expect(failures.at(-1)).toMatchObject({ level: 'error', msg: expect.stringMatching(/flock/) as unknown });
    expect(host.trusts(north)).toBe(true);
  });
});

describe.skipIf(process.getuid?.() !== 0)('a daemon that follows the Secret through the API server', () => {
  const secret = { namespace: 'ns', name: 'bundle' };
  const objectOf = (...certificates: readonly Fixture[]) => ({
    metadata: { ...secret, resourceVersion: '1' },
    data: Object.fromEntries(
      certificates.map(({ subjectHash, pem }) => [`${subjectHash}.crt`, Buffer.from(pem).toString('base64')]),
    ),
  });

  /** An API server with this Secret, or one that is away as long as there is none. */
  function apiOf(first?: unknown): Pick<Outside, 'openApi'> & { put: (object: unknown) => void } {
    let now = first;
    let tell: (event: unknown) => void = () => undefined;
    const api: Api = {
      ask: () =>
        now === undefined
          ? Promise.reject(new Error('connect ECONNREFUSED'))
          : Promise.resolve({ kind: 'SecretList', metadata: { resourceVersion: '1' }, items: [now] }),
      follow: ({ signal }) =>
        Promise.resolve(
          (async function* () {
            for (;;) {
              yield await new Promise((resolve, reject) => {
                tell = resolve;
                signal.addEventListener('abort', reject);
              });
            }
          })(),
        ),
    };
    return {
      openApi: () => Promise.resolve(api),
      put: (object) => {
        now = object;
        tell({ type: 'MODIFIED', object });
      },
    };
  }

  it('follows the object, and not the mount that lags behind it', async () => {
    const host = littleHost();
    const bundle = bundleWith(north);
    const server = apiOf(objectOf(north, south));
    const agent = await start(host, [bundle], { secret }, server);
    await agent.trusts(north, south);
    server.put(objectOf(south));
    await agent.trusts(south);
    await agent.rests();
    const count = (): Promise<string> => passes((path) => agent.ask(path));
    const before = await count();
    put(bundle, north);
    await agent.rests();
    expect(await count()).toBe(before);
    expect([host.trusts(north), host.trusts(south)]).toEqual([false, true]);
    expect(await agent.stop()).toBe(0);
  });

  it('without the API server is ready by the mount after a while, adds, and removes nothing', async () => {
    const host = littleHost();
    const first = await start(host, [bundleWith(north)]);
    await first.trusts(north);
    await first.stop();
    const clock: Outside['clock'] = {
      ...outside.clock,
      // Of the ten seconds that the sources wait one is enough here, after the first pass.
      sleep: (ms, signal) => outside.clock.sleep(ms === 10_000 ? 2_000 : ms, signal),
    };
    const server = apiOf();
    const agent = await start(host, [bundleWith(south)], { secret }, { ...server, clock });
    await agent.refuses(
      /^secret ns\/bundle has not been read through the API server yet: what is mounted is installed/,
    );
    await agent.trusts(south);
    expect([host.trusts(north), host.trusts(south)]).toEqual([true, true]);
    expect(agent.log().at(-1)).toMatchObject({
      heldBack: [north.fingerprint],
      notes: [expect.stringContaining('nothing is removed; removals held back until then: 1') as unknown],
    });
    server.put(objectOf(south));
    await seen(() => !host.trusts(north));
    await agent.trusts(south);
  });

  it('tells its Node how it stands, and nothing of it once all is removed', async () => {
    const host = littleHost();
    const asked: ApiRequest[] = [];
    const api: Api = {
      ask: (request) => {
        asked.push(request);
        return Promise.resolve({ metadata: { name: 'node-1', uid: 'uid-1' } });
      },
      follow: () => Promise.reject(new Error('nothing is followed')),
    };
    const from = { openApi: () => Promise.resolve(api), readLabels: () => Promise.resolve({}) };
    const agent = await start(host, [bundleWith(north)], { nodeName: 'node-1' }, from);
    await agent.trusts(north);
    const written = (): readonly string[] =>
      asked.flatMap(({ path, body }) => (path.endsWith('/status') ? [JSON.stringify(body)] : []));
    await seen(() => written().at(-1)?.includes('"status":"True"') === true);
    expect(written().at(-1)).toContain('1.2.3');
    expect(await agent.stop()).toBe(0);
    expect(host.trusts(north)).toBe(false);
    expect(written().at(-1)).toContain('"$patch":"delete"');
  });
});
