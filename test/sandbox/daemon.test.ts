// The daemon: every trigger means a pass, nothing that changed is missed, and who asks is told the truth.
import { execa } from 'execa';
import { mkdir, open, readFile, readdir, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { agent, digestOf, eventually, type Daemon } from './harness/agent.ts';
import { makeCert, type Cert } from './harness/certs.ts';
import {
  anchors,
  bundle,
  certs,
  everywhere,
  fileOf,
  holdLock,
  inBundle,
  installHook,
  ledger,
  nameOf,
  nowhere,
  plainRun,
  smallWorld,
  trust,
} from './harness/host.ts';
import { mountSecret } from './harness/secret-mount.ts';
import { changedPaths } from './harness/snapshot.ts';
import type { World } from './harness/world.ts';

let one: Cert;
let two: Cert;
let three: Cert;

beforeAll(async () => {
  [one, two, three] = await Promise.all([makeCert(), makeCert(), makeCert()]);
});

/** Waits until a pass has taken the first step of its change, under the lock that a test holds or about to take it. */
async function waitsForLock(world: World): Promise<void> {
  await eventually(async () => {
    const { stdout } = await execa('sh', ['-c', 'cat /proc/locks']);
    const inode = (await execa('stat', ['-c', '%i', world.path(certs)])).stdout;
    expect(stdout).toMatch(new RegExp(`-> FLOCK.*:${inode} `));
  });
}

describe('a change of the bundle', () => {
  test('is trusted when the kubelet has swapped the mounted directory', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory);
    await daemon.ready(one);
    expect(await trust(world, one)).toEqual(everywhere);
    await secret.swap({ 'a.crt': two.pem });
    await daemon.ready(two);
    expect(await trust(world, two)).toEqual(everywhere);
    expect(await trust(world, one)).toEqual(nowhere);
    await secret.swap({ 'a.crt': two.pem, 'b.crt': three.pem });
    await daemon.ready(two, three);
    expect(await trust(world, three)).toEqual(everywhere);
    expect(await daemon.stop()).toBe(0);
    expect(await trust(world, three)).toEqual(everywhere);
  });

  test('in a plain directory or a single file is seen too', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({});
    const directory = join(secret.directory, 'plain');
    await mkdir(directory);
    const file = join(directory, 'ca.pem');
    await writeFile(file, one.pem);
    for (const path of [directory, file]) {
      await using daemon = agent(world).run(path);
      await daemon.ready(one);
      await writeFile(file, two.pem);
      await daemon.ready(two);
      await unlink(file);
      await writeFile(file, one.pem);
      await daemon.ready(one);
      expect(await daemon.stop()).toBe(0);
    }
  });

  test('that comes between the first read and the watch is not lost', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using lock = await holdLock(world);
    await using daemon = agent(world).run(secret.directory);
    await waitsForLock(world);
    await secret.swap({ 'a.crt': two.pem });
    await lock.undo();
    await daemon.ready(two);
    expect(await trust(world, one)).toEqual(nowhere);
  });

  test('that comes many times while a pass is under way is one more pass', async () => {
    await using world = await smallWorld();
    const hook = await installHook(world);
    const many = await Promise.all(Array.from({ length: 5 }, () => makeCert()));
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory);
    await daemon.ready(one);
    await using lock = await holdLock(world);
    await secret.swap({ 'a.crt': two.pem });
    await waitsForLock(world);
    for (const ca of many) await secret.swap({ 'a.crt': ca.pem });
    await lock.undo();
    const last = many.slice(-1);
    await daemon.ready(...last);
    const lines = (await hook.calls()).flatMap((call) => call.lines.filter((line) => line.startsWith('+')));
    expect(lines).toEqual([one, two, ...last].map((ca) => `+${certs}/${nameOf(ca, '.pem')}`));
  });
});

describe('drift is repaired', () => {
  const drifts: Record<string, (world: World) => Promise<void>> = {
    'a file of ours deleted': (world) => rm(world.path(fileOf(one))),
    'a file of ours overwritten': (world) => writeFile(world.path(fileOf(one)), two.pem),
    'the effective bundle overwritten': (world) => writeFile(world.path(bundle), two.pem),
    'the effective bundle deleted': (world) => rm(world.path(bundle)),
    'the hash link deleted': (world) => rm(world.path(`${certs}/${one.subjectHash}.0`)),
    'a run of the tool after our file was deleted': async (world) => {
      await rm(world.path(fileOf(one)));
      await plainRun(world);
    },
  };

  test('of every kind, one after the other', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory);
    await daemon.ready(one);
    const before = await world.snapshot();
    for (const [what, drift] of Object.entries(drifts)) {
      await drift(world);
      await eventually(async () => {
        expect(changedPaths(before, await world.snapshot()), what).toEqual([]);
      });
      expect(await trust(world, one), what).toEqual(everywhere);
    }
    // A deletion and its repair may be two passes or one; each damage of ours is counted.
    await eventually(async () => {
      expect(await daemon.metric('node_ca_trust_repairs_total')).toBeGreaterThanOrEqual(Object.keys(drifts).length);
    });
  });

  test('in a directory that was deleted and made again', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory);
    await daemon.ready(one);
    for (const round of ['first', 'second']) {
      // In an ordinary user's view the directory is a mount, which only can be emptied.
      await world.exec('sh', ['-c', `rm -rf ${anchors}/* && rmdir ${anchors}; mkdir -p ${anchors}`]);
      await plainRun(world);
      await eventually(async () => {
        expect(await trust(world, one), round).toEqual(everywhere);
      });
    }
  });
});

describe('the bundle directory', () => {
  test('vanishes and returns: not ready with one line, nothing removed, healed', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory);
    await daemon.ready(one);
    await secret.vanish();
    const text = await daemon.notReady(/unreadable/);
    expect(text).toMatch(/^[^\n]*unreadable[^\n]*no such file or directory[^\n]*\n$/);
    expect(text).toMatch(/removals.*wait/);
    expect(await trust(world, one)).toEqual(everywhere);
    expect((await daemon.get('/healthz')).status).toBe(200);
    await secret.restore();
    await daemon.ready(one);
    await secret.swap({ 'a.crt': two.pem });
    await daemon.ready(two);
  });

  test('that is not there yet is waited for', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await secret.vanish();
    await using daemon = agent(world).run(secret.directory);
    await daemon.notReady(/no such file or directory/);
    await secret.restore();
    await daemon.ready(one);
  });

  test('that is empty is not ready, and nothing is removed', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory);
    await daemon.ready(one);
    await secret.swap({});
    await daemon.notReady(/empty.*removals.*wait/);
    expect(await daemon.metric('node_ca_trust_removals_held_back')).toBe(1);
    expect(await trust(world, one)).toEqual(everywhere);
    await secret.swap({ 'a.crt': one.pem });
    await daemon.ready(one);
  });

  /** Entries that no reader may hang on, follow or swallow: each is named, and the good one beside it is trusted. */
  const strangers: Record<string, { put: (path: string) => Promise<unknown>; says: RegExp }> = {
    FIFO: { put: (path) => execa('mkfifo', [path]), says: /FIFO/ },
    socket: {
      put: async (path) => {
        // A bound socket's file outlives the socket.
        const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`;
        await execa(process.execPath, ['-e', script], { reject: false });
      },
      says: /socket/,
    },
    device: { put: (path) => execa('mknod', [path, 'c', '1', '5']), says: /device/ },
    'link to a device': { put: (path) => symlink('/dev/zero', path), says: /link out of the bundle directory/ },
    'link out of the mount': { put: (path) => symlink('/etc/passwd', path), says: /link out of the bundle directory/ },
    'dangling link': { put: (path) => symlink('nowhere', path), says: /no such file/ },
    'link to itself': { put: (path) => symlink(path, path), says: /too many symbolic links/ },
    '100 MiB file with holes': {
      put: async (path) => {
        await using file = await open(path, 'w');
        await file.truncate(100 * 2 ** 20);
      },
      says: /104857600 bytes/,
    },
  };

  test.for(Object.entries(strangers))('holds a %s', async ([what, { put, says }], context) => {
    await using world = await smallWorld();
    await using secret = await mountSecret({});
    const directory = join(secret.directory, 'plain');
    await mkdir(directory);
    await writeFile(join(directory, 'good.crt'), one.pem);
    try {
      await put(join(directory, 'stranger.crt'));
    } catch (error) {
      // Only the machine's real root makes devices.
      context.skip(what === 'device', String(error));
      throw error;
    }
    await using daemon = agent(world).run(directory);
    const text = await daemon.notReady(says);
    expect(text).toContain(join(directory, 'stranger.crt'));
    expect(text.trimEnd().split('\n')).toHaveLength(1);
    expect(await trust(world, one)).toEqual(everywhere);
    await unlink(join(directory, 'stranger.crt'));
    await daemon.ready(one);
  });

  test('holds a subdirectory, whose certificates count', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({});
    const directory = join(secret.directory, 'plain');
    await mkdir(join(directory, 'sub/sub'), { recursive: true });
    await writeFile(join(directory, 'good.crt'), one.pem);
    await writeFile(join(directory, 'sub/sub/other.crt'), two.pem);
    await using daemon = agent(world).run(directory);
    await daemon.ready(one, two);
  });
});

describe('the end', () => {
  test('lets a refresh under way finish, and leaves what is installed', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using lock = await holdLock(world);
    await using daemon = agent(world).start(secret.directory);
    await waitsForLock(world);
    daemon.signal('SIGTERM');
    await lock.undo();
    expect(await daemon.ended).toEqual({ code: 0, signal: null });
    expect(await trust(world, one)).toEqual(everywhere);
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [] } });
    expect(daemon.log.at(-1)?.msg).toContain('stopped');
  });

  test('comes at once while there is nothing to do', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory, '--resync', '24d');
    await daemon.ready(one);
    expect(await daemon.stop()).toBe(0);
    await expect(daemon.get('/healthz')).rejects.toThrow('ECONNREFUSED');
    expect(await trust(world, one)).toEqual(everywhere);
  });
});

describe('who asks is told', () => {
  /** The text format of Prometheus: a HELP and a TYPE line before the samples of each metric, and numbers as values. */
  function parseMetrics(text: string): Map<string, { type: string; values: number[] }> {
    const metrics = new Map<string, { type: string; values: number[] }>();
    expect(text.endsWith('\n')).toBe(true);
    for (const line of text.split('\n').filter(Boolean)) {
      const comment = /^# (HELP|TYPE) ([a-z][a-z0-9_]*) (.+)$/.exec(line);
      if (comment !== null) {
        if (comment[1] === 'TYPE') metrics.set(comment[2] ?? '', { type: comment[3] ?? '', values: [] });
        continue;
      }
      const sample = /^([a-z][a-z0-9_]*)(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? (\S+)$/.exec(line);
      expect(sample, line).not.toBeNull();
      const name = sample?.[1] ?? '';
      const metric = metrics.get(name) ?? metrics.get(name.replace(/_(bucket|sum|count)$/, ''));
      expect(metric, line).toBeDefined();
      const value = Number(sample?.[2]?.replace('+Inf', 'Infinity'));
      expect(Number.isNaN(value), line).toBe(false);
      metric?.values.push(value);
    }
    return metrics;
  }

  async function health(daemon: Daemon): Promise<Record<string, number>> {
    const [alive, ready] = await Promise.all([daemon.get('/healthz'), daemon.get('/readyz')]);
    return { alive: alive.status, ready: ready.status };
  }

  test('on /healthz, /readyz and /metrics, before, while and after it trusts', async () => {
    await using world = await smallWorld();
    const notAfter = new Date('2049-12-31T00:00:00Z');
    const subject = '/O=Quote "Back\\\\slash"/CN=Dated';
    const dated = await makeCert({ subject, notAfter });
    await using secret = await mountSecret({ 'a.crt': dated.pem });
    await using lock = await holdLock(world);
    await using daemon = agent(world).run(secret.directory);
    await daemon.notReady(/the first pass has not ended yet/);
    expect(await health(daemon)).toEqual({ alive: 200, ready: 503 });
    await lock.undo();

    expect(await daemon.ready(dated)).toMatch(new RegExp(`^ready, [^\n]*${digestOf([dated])}\n$`));
    expect(await health(daemon)).toEqual({ alive: 200, ready: 200 });
    expect(await daemon.get('/elsewhere')).toMatchObject({ status: 404 });
    const { type, text } = await daemon.get('/metrics?x=y');
    expect(type).toMatch(/^text\/plain; version=0\.0\.4/);
    const metrics = parseMetrics(text);
    expect([...metrics.keys()].filter((name) => !name.startsWith('node_ca_trust_'))).toEqual([]);
    expect(metrics.get('node_ca_trust_converged')).toEqual({ type: 'gauge', values: [1] });
    expect(metrics.get('node_ca_trust_anchors')).toEqual({ type: 'gauge', values: [1] });
    expect(metrics.get('node_ca_trust_passes_total')?.type).toBe('counter');
    expect(metrics.get('node_ca_trust_pass_duration_seconds')?.type).toBe('histogram');
    expect(metrics.get('node_ca_trust_anchor_expiry_timestamp_seconds')?.values).toEqual([notAfter.getTime() / 1000]);
    expect(text).toContain(dated.fingerprint);

    await secret.swap({ 'a.crt': dated.pem, 'b.crt': 'rubbish' });
    const reason = await daemon.notReady(/not-a-certificate/);
    expect(reason).toMatch(/^not-a-certificate: [^\n]*b\.crt[^\n]*\n$/);
    expect(await health(daemon)).toEqual({ alive: 200, ready: 503 });
    expect(await daemon.metric('node_ca_trust_converged')).toBe(0);
    expect(await daemon.metric('node_ca_trust_findings', 'code="not-a-certificate"')).toBe(1);
    expect(await daemon.metric('node_ca_trust_passes_total', 'result="failed"')).toBeGreaterThan(0);
    await secret.swap({ 'a.crt': one.pem });
    await daemon.ready(one);
    const after = parseMetrics((await daemon.get('/metrics')).text);
    expect(after.get('node_ca_trust_anchor_expiry_timestamp_seconds')?.values).toHaveLength(1);
    expect(await daemon.metric('node_ca_trust_findings')).toBe(0);
  });

  test('when its port is taken: one line, exit code 2, and nothing is touched', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const before = await world.snapshot();
    const other = createServer();
    const { promise: listening, resolve } = Promise.withResolvers<undefined>();
    other.listen(0, '127.0.0.1', () => {
      resolve(undefined);
    });
    await listening;
    const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const words = ['run', '--bundle', secret.directory, '--host-root', world.root, '--listen', address];
    const { code, stderr } = await agent(world).cli(...words, '--log-level', 'silent');
    other.close();
    expect(code).toBe(2);
    expect(stderr).toBe(`node-ca-trust: --listen ${address}: another process listens there; name another address\n`);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });

  test('when the host root is not there yet: not ready with one line, and healed once it is', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const root = `${secret.directory}-host`;
    await using daemon = agent({ root }).run(secret.directory);
    expect(await daemon.notReady(/host-root/)).toMatch(/^--host-root [^\n]*no such directory[^\n]*\n$/);
    await symlink(world.root, root);
    await daemon.ready(one);
    expect(await trust(world, one)).toEqual(everywhere);
  });
});

describe('the log', () => {
  const isPass = ({ msg }: { msg: string }): boolean => !/^(started|stopped)/.test(msg);

  test('has one line for each pass that changed or failed something, and is quiet otherwise', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).start(secret.directory, '--resync', '1s');
    await daemon.logged(({ added }) => JSON.stringify(added) === JSON.stringify([one.fingerprint]));
    await secret.swap({ 'a.crt': two.pem });
    await daemon.logged(({ added }) => JSON.stringify(added) === JSON.stringify([two.fingerprint]));
    // Passes go on all the time, and say nothing.
    const passes = async (): Promise<number> => {
      const { text } = await daemon.get('/metrics');
      return Number(/^node_ca_trust_passes_total\{result="converged"\} (\d+)$/m.exec(text)?.[1]);
    };
    const then = await passes();
    await eventually(async () => {
      expect(await passes()).toBeGreaterThan(then + 3);
    });
    daemon.signal('SIGTERM');
    expect(await daemon.ended).toEqual({ code: 0, signal: null });
    expect(daemon.log.map(({ level, msg }) => `${level}: ${msg}`)).toEqual([
      'info: started',
      'info: the host trusts the bundle',
      'info: the host trusts the bundle',
      'info: stopped; what is installed stays',
    ]);
    expect(daemon.log.every(({ instance }) => instance === 'default')).toBe(true);
  });

  test('tells the same failure once, however often it is met, and when it is over', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using readOnly = await world.readOnly('/etc/ssl');
    await using daemon = agent(world).start(secret.directory);
    const failed = async (): Promise<number> => {
      const { text } = await daemon.get('/metrics');
      return Number(/^node_ca_trust_passes_total\{result="failed"\} (\d+)$/m.exec(text)?.[1]);
    };
    await eventually(async () => {
      expect(await failed()).toBeGreaterThanOrEqual(3);
    });
    await readOnly.undo();
    await daemon.logged(({ msg }) => msg === 'the host trusts the bundle');
    const lines = daemon.log.filter(isPass).map(({ level, msg }) => `${level}: ${msg.split(':')[0] ?? ''}`);
    expect(lines).toEqual(['error: not converged', 'info: the host trusts the bundle']);
  });
});

describe('what keeps it from being converged', () => {
  const causes = ['/etc/ssl', anchors, '/var/lib'];

  test.each(causes)('%s being read-only, is healed without any event once it is gone', async (directory) => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using readOnly = await world.readOnly(directory);
    await using daemon = agent(world).run(secret.directory, '--resync', '24d');
    await daemon.notReady(/read-only/i);
    await readOnly.undo();
    await daemon.ready(one);
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test('is tried again ever less often, however much each try touches on the host', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await world.readOnly(bundle);
    await using daemon = agent(world).run(secret.directory, '--resync', '24d');
    await daemon.notReady(/EBUSY/);
    const failed = (): Promise<number> => daemon.metric('node_ca_trust_passes_total', 'result="failed"');
    const times: number[] = [];
    await eventually(async () => {
      while (times.length < (await failed())) times.push(performance.now());
      expect(times.length).toBeGreaterThanOrEqual(4);
    });
    // The watches begin after the first try, and what they may have missed is looked for at once.
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(gaps.at(-1)).toBeGreaterThan(1.5 * (gaps.at(-2) ?? 0));
    expect(gaps.at(-1)).toBeGreaterThan(3000);
  });

  test('a ledger that somebody deleted is written again at the next pass', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory, '--resync', '1s');
    await daemon.ready(one);
    await rm(world.path(ledger));
    await eventually(async () => {
      expect(await readFile(world.path(ledger), 'utf8')).toContain(one.fingerprint);
    });
    expect((await readdir(world.path(anchors))).filter((name) => name.startsWith('.'))).toEqual([]);
    expect((await inBundle(world)).has(one.fingerprint)).toBe(true);
  });
});
