// The daemon: every trigger means a pass, nothing that changed is missed, and who asks is told the truth.
import { execa } from 'execa';
import { chmod, lstat, mkdir, open, readFile, readdir, rm, rmdir, symlink, unlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { agent, digestOf, eventually, type Daemon } from './harness/agent.ts';
import { makeCert, makeServerCert, makeThree } from './harness/certs.ts';
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
  scene,
  smallWorld,
  trust,
  waitsForLock,
  wholeWorld,
} from './harness/host.ts';
import { leaveOut } from './harness/leave-out.ts';
import { mountSecret } from './harness/secret-mount.ts';
import { changedPaths } from './harness/snapshot.ts';
import { startTlsServer } from './harness/tls-server.ts';
import type { World } from './harness/world.ts';

const [one, two, three] = await makeThree();

describe('a change of the bundle', () => {
  test('is trusted when the kubelet has swapped the mounted directory', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
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
    const { world, secret } = await scene();
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
    const { world, secret } = await scene({ 'a.crt': one.pem });
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
    "the host's bundle overwritten": (world) => writeFile(world.path(bundle), two.pem),
    "the host's bundle deleted": (world) => rm(world.path(bundle)),
    'the hash link deleted': (world) => rm(world.path(`${certs}/${one.subjectHash}.0`)),
    'a run of the tool after our file was deleted': async (world) => {
      await rm(world.path(fileOf(one)));
      await plainRun(world);
    },
  };

  test('of every kind, one after the other', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
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
    const { world, secret } = await scene({ 'a.crt': one.pem });
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

describe('a directory of the host that becomes a link to another one', () => {
  /** What is deleted in the new place, by the directory that was replaced. */
  const replaced: Record<string, () => string> = {
    [anchors]: () => fileOf(one),
    [dirname(anchors)]: () => fileOf(one),
    [dirname(certs)]: () => `${certs}/${one.subjectHash}.0`,
  };

  test.for(Object.entries(replaced))('%s is followed, and mended there', async ([directory, victim], context) => {
    await using world = await wholeWorld(context);
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory);
    await daemon.ready(one);
    const moved = '/mnt/moved';
    const script = `cp -a "$1" ${moved}; mv "$1" "$1.old"; ln -s ${moved} "$1"`;
    expect(await world.exec('sh', ['-euc', script, 'sh', directory])).toMatchObject({ code: 0, stderr: '' });
    const inNewPlace = world.path(`${moved}${victim().slice(directory.length)}`);
    for (const round of ['first', 'second']) {
      await rm(inNewPlace);
      await eventually(async () => {
        expect(await lstat(inNewPlace), round).toBeDefined();
        expect(await trust(world, one), round).toEqual(everywhere);
      });
    }
    await secret.swap({ 'b.crt': two.pem });
    await daemon.ready(two);
    expect(await trust(world, two)).toEqual(everywhere);
    expect(await trust(world, one)).toEqual(nowhere);
    await expect(lstat(inNewPlace)).rejects.toThrow('ENOENT');
  });
});

describe('the bundle directory', () => {
  test('vanishes and returns: not ready with one line, nothing removed, healed', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory);
    await daemon.ready(one);
    await secret.vanish();
    const text = await daemon.notReady(/unreadable/);
    expect(text).toMatch(/^[^\n]*unreadable[^\n]*no such file or directory[^\n]*\n$/);
    expect(text).toMatch(/removals held back/);
    expect(await trust(world, one)).toEqual(everywhere);
    expect((await daemon.get('/healthz')).status).toBe(200);
    await secret.restore();
    await daemon.ready(one);
    await secret.swap({ 'a.crt': two.pem });
    await daemon.ready(two);
  });

  test('that is not there yet is waited for', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await secret.vanish();
    await using daemon = agent(world).run(secret.directory);
    await daemon.notReady(/no such file or directory/);
    await secret.restore();
    await daemon.ready(one);
  });

  test('that is empty is not ready, and nothing is removed', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory);
    await daemon.ready(one);
    await secret.swap({});
    await daemon.notReady(/empty.*removals held back/);
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
    const { world, secret } = await scene();
    const directory = join(secret.directory, 'plain');
    await mkdir(directory);
    await writeFile(join(directory, 'good.crt'), one.pem);
    try {
      await put(join(directory, 'stranger.crt'));
    } catch (error) {
      // Only the machine's real root makes devices.
      if (what === 'device') leaveOut(context, String(error));
      throw error;
    }
    await using daemon = agent(world).run(directory);
    const text = await daemon.notReady(says);
    expect(text).toContain(join(directory, 'stranger.crt'));
    expect(text.trimEnd().split('\n')).toHaveLength(1);
    expect(daemon.log().at(-1)?.msg).toBe(`not converged: ${text.trimEnd()}`);
    expect(await trust(world, one)).toEqual(everywhere);
    await unlink(join(directory, 'stranger.crt'));
    await daemon.ready(one);
  });

  test('that may not be read, nor a file of it: said in one line, nothing removed, healed', async () => {
    const { world, secret } = await scene();
    const directory = join(secret.directory, 'plain');
    await mkdir(directory);
    await writeFile(join(directory, 'a.crt'), one.pem);
    await writeFile(join(directory, 'b.crt'), two.pem);
    const powers = '-dac_override,-dac_read_search';
    const wrapper = ['setpriv', `--bounding-set=${powers}`, `--inh-caps=${powers}`];
    await using daemon = agent(world).startBy(wrapper, directory, '--resync', '1s');
    await daemon.ready(one, two);
    for (const path of [join(directory, 'b.crt'), directory]) {
      const { mode } = await lstat(path);
      await chmod(path, 0);
      const text = await daemon.notReady(new RegExp(`^unreadable: ${path}: permission denied`));
      expect(daemon.log().at(-1)?.msg).toBe(`not converged: ${text.trimEnd()}`);
      for (const ca of [one, two]) expect(await trust(world, ca)).toEqual(everywhere);
      await chmod(path, mode);
      await daemon.ready(one, two);
    }
  });

  test('holds more than memory is to be spent on', async () => {
    const { world, secret } = await scene();
    const directory = join(secret.directory, 'plain');
    await mkdir(directory);
    await writeFile(join(directory, 'good.crt'), one.pem);
    await using daemon = agent(world).start(directory);
    await daemon.ready(one);
    const peak = async (): Promise<number> =>
      Number(/^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${daemon.pid}/status`, 'utf8'))?.[1]);
    const before = await peak();
    await writeFile(join(directory, 'large'), Buffer.alloc(100 * 2 ** 20, 'A'));
    for (let number = 0; number < 1000; number += 1) {
      await writeFile(join(directory, `${number}`), 'rubbish'.repeat(number));
    }
    await daemon.notReady(/more than 1000 files/);
    expect(await trust(world, one)).toEqual(everywhere);
    expect(await peak()).toBeLessThan(before + 64 * 2 ** 10);
    for (const name of await readdir(directory)) if (name !== 'good.crt') await unlink(join(directory, name));
    await daemon.ready(one);
  });

  test('holds a subdirectory, whose certificates count', async () => {
    const { world, secret } = await scene();
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
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await using lock = await holdLock(world);
    await using daemon = agent(world).start(secret.directory);
    await waitsForLock(world);
    daemon.signal('SIGTERM');
    await lock.undo();
    expect(await daemon.ended).toEqual({ code: 0, signal: null });
    expect(await trust(world, one)).toEqual(everywhere);
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [] } });
    expect(daemon.log().at(-1)?.msg).toContain('stopped');
  });

  test('does not wait for an API server that never answers, and leaves what is installed', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await using server = await startTlsServer(three);
    server.use(await makeServerCert(two, [server.address]));
    const asked = server.neverAnswer();
    const account = '/run/secrets/kubernetes.io/serviceaccount';
    await writeFile(join(secret.directory, '..ca'), two.pem);
    const script = `mount -t tmpfs tmpfs /run; mkdir -p ${account}; cp "$1" ${account}/ca.crt; printf t > ${account}/token
      export KUBERNETES_SERVICE_HOST=${server.address} KUBERNETES_SERVICE_PORT=${server.port}; shift; exec "$@"`;
    const wrapper = ['unshare', '--mount', 'sh', '-euc', script, 'sh', join(secret.directory, '..ca')];
    await using daemon = agent(world).startBy(wrapper, secret.directory, '--node-name', 'node-1');
    await daemon.ready(one);
    daemon.signal('SIGTERM');
    await asked;
    expect(await daemon.ended).toEqual({ code: 0, signal: null });
    expect(daemon.log().at(-1)?.msg).toMatch(/stays: .* no answer within 10 s/);
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test('comes at once while there is nothing to do', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
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
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const before = await world.snapshot();
    const other = createServer();
    const { promise: listening, resolve } = Promise.withResolvers<undefined>();
    other.listen(0, '127.0.0.1', () => {
      resolve(undefined);
    });
    await listening;
    const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const words = ['run', '--bundle', secret.directory, '--host-root', world.root, '--listen', address];
    const { code, stderr } = await agent(world).cli(...words);
    other.close();
    expect(code).toBe(2);
    expect(stderr).toBe(`node-ca-trust: --listen ${address}: another process listens there; name another address\n`);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });

  test('when the host root is not there yet, is none, or goes: not ready with one line, and healed', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const root = `${secret.directory}-host`;
    await using daemon = agent({ root }).run(secret.directory, '--resync', '1s');
    for (const round of ['before', 'while it runs']) {
      expect(await daemon.notReady(/host-root/), round).toMatch(/^--host-root [^\n]*no such directory[^\n]*\n$/);
      await mkdir(root);
      expect(await daemon.notReady(/not a root/), round).toMatch(/^--host-root [^\n]*not a root file system[^\n]*\n$/);
      await rmdir(root);
      await symlink(world.root, root);
      await daemon.ready(one);
      expect(await trust(world, one), round).toEqual(everywhere);
      await unlink(root);
    }
  });
});

describe('the log', () => {
  const isPass = ({ msg }: { msg: string }): boolean => !/^(started|stopped)/.test(msg);

  test('has one line for each pass that changed or failed something, and is quiet otherwise', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory, '--resync', '1s');
    await daemon.ready(one);
    await secret.swap({ 'a.crt': two.pem });
    await daemon.ready(two);
    // Passes go on all the time, and say nothing.
    const passes = (): Promise<number> => daemon.metric('node_ca_trust_passes_total', 'result="converged"');
    const then = await passes();
    await eventually(async () => {
      expect(await passes()).toBeGreaterThan(then + 3);
    });
    await daemon.stop();
    expect(daemon.log().map(({ level, msg }) => `${level}: ${msg}`)).toEqual([
      'info: started',
      'info: the host trusts the bundle',
      'info: the host trusts the bundle',
      'info: stopped; what is installed stays',
    ]);
    expect(daemon.log().slice(1, 3)).toMatchObject([{ added: [one.fingerprint] }, { added: [two.fingerprint] }]);
    expect(daemon.log().every(({ instance }) => instance === 'default')).toBe(true);
  });

  test('is no condition: the daemon goes on when nobody reads it', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await using daemon = agent(world).start(secret.directory);
    await daemon.ready(one);
    daemon.stopReading();
    for (const ca of [two, three]) {
      await secret.swap({ 'a.crt': ca.pem });
      await daemon.ready(ca);
    }
    daemon.signal('SIGTERM');
    expect(await daemon.ended).toEqual({ code: 0, signal: null });
  });

  test('says once that inotify watches have run out, and they are used once there are some', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const limit = '/proc/sys/user/max_inotify_watches';
    const script = `echo 0 > ${limit}; { read line < "$1"; echo 1000 > ${limit}; } & shift; exec "$@"`;
    const gate = join(secret.directory, '..gate');
    await execa('mkfifo', [gate]);
    const wrapper = ['unshare', '--user', '--map-root-user', 'sh', '-euc', script, 'sh', gate];
    await using daemon = agent(world).startBy(wrapper, secret.directory, '--resync', '1s');
    await daemon.ready(one);
    await secret.swap({ 'a.crt': two.pem });
    await daemon.ready(two);
    const warnings = daemon.log().filter(({ level }) => level === 'warn');
    expect(warnings.map(({ msg }) => msg)).toEqual(
      [secret.directory, world.path(anchors), world.path(certs)].map(
        (path) => expect.stringMatching(`^cannot watch ${path}: .*max_user_watches`) as unknown,
      ),
    );
    await writeFile(gate, 'go\n');
    const passes = (): Promise<number> => daemon.metric('node_ca_trust_passes_total');
    const then = await passes();
    await eventually(async () => {
      expect(await passes()).toBeGreaterThan(then + 3);
    });
    expect(daemon.log().filter(({ level }) => level === 'warn')).toEqual(warnings);
    await secret.swap({ 'a.crt': three.pem });
    await daemon.ready(three);
  });

  test('tells the same failure once, however often it is met, and when it is over', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await using readOnly = await world.readOnly('/etc/ssl');
    await using daemon = agent(world).run(secret.directory);
    await eventually(async () => {
      expect(await daemon.metric('node_ca_trust_passes_total', 'result="failed"')).toBeGreaterThanOrEqual(3);
    });
    await readOnly.undo();
    await daemon.ready(one);
    const lines = daemon
      .log()
      .filter(isPass)
      .map(({ level, msg }) => `${level}: ${msg.split(':')[0] ?? ''}`);
    expect(lines).toEqual(['error: not converged', 'info: the host trusts the bundle']);
  });
});

describe('a host that cannot be served', () => {
  const tool = '/usr/sbin/update-ca-certificates';
  const lacks: Record<string, { path: string; instead?: string; says: RegExp }> = {
    'without the refresh tool': {
      path: tool,
      says: /no \S+update-ca-certificates; install the package ca-certificates/,
    },
    'of an unknown distribution': {
      path: '/etc/os-release',
      instead: 'ID=plan9\nPRETTY_NAME="Plan 9"\n',
      says: /Plan 9.*supported: Debian/,
    },
  };

  test.for(Object.entries(lacks))(
    '%s is left as it is, told of in one line, and served later',
    async (lack, context) => {
      const [, { path, instead, says }] = lack;
      await using world = await wholeWorld(context);
      await using secret = await mountSecret({ 'a.crt': one.pem });
      await world.exec('mv', [path, `${path}.away`]);
      if (instead !== undefined) await writeFile(world.path(path), instead);
      const before = await world.snapshot();
      await using daemon = agent(world).run(secret.directory);
      const text = await daemon.notReady(says);
      expect(text.trimEnd().split('\n')).toHaveLength(1);
      expect(daemon.log().map(({ msg }) => msg)).toEqual(['started', `not converged: ${text.trimEnd()}`]);
      expect(changedPaths(before, await world.snapshot())).toEqual([]);
      await world.exec('mv', [`${path}.away`, path]);
      await daemon.ready(one);
      expect(await trust(world, one)).toEqual(everywhere);
    },
  );

  test('that loses its refresh tool while it runs keeps its bundle, and is served when the tool is back', async (context) => {
    await using world = await wholeWorld(context);
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory);
    await daemon.ready(one);
    await world.exec('mv', [tool, `${tool}.away`]);
    await secret.swap({ 'b.crt': two.pem });
    expect(await daemon.notReady(/update-ca-certificates/)).toMatch(/^[^\n]+\n$/);
    expect((await trust(world, one)).bundle).toBe(true);
    await world.exec('mv', [`${tool}.away`, tool]);
    await daemon.ready(two);
    expect(await trust(world, one)).toEqual(nowhere);
  });

  test('for want of the right to chroot is left as it is', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const before = await world.snapshot();
    const wrapper = ['setpriv', '--bounding-set=-sys_chroot', '--inh-caps=-sys_chroot'];
    await using daemon = agent(world).startBy(wrapper, secret.directory);
    const text = await daemon.notReady(/not permitted/);
    expect(daemon.log().at(-1)?.msg).toBe(`not converged: ${text.trimEnd()}`);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });
});

describe('what keeps it from being converged', () => {
  const causes = ['/etc/ssl', anchors, '/var/lib'];

  test.each(causes)('%s being read-only, is healed without any event once it is gone', async (directory) => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await using readOnly = await world.readOnly(directory);
    await using daemon = agent(world).run(secret.directory, '--resync', '24d');
    await daemon.notReady(/read-only/i);
    await readOnly.undo();
    await daemon.ready(one);
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test('is tried again ever less often, however much each try touches on the host', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await world.readOnly(bundle);
    const started = performance.now();
    await using daemon = agent(world).run(secret.directory, '--resync', '24d');
    await daemon.notReady(/EBUSY/);
    // The watches begin after the first try, and what they may have missed is looked for at once. Then it waits 2 s and
    // 4 s, a tenth less at the least; a busy machine only makes it longer.
    await eventually(async () => {
      expect(await daemon.metric('node_ca_trust_passes_total', 'result="failed"')).toBeGreaterThanOrEqual(4);
    });
    expect(performance.now() - started).toBeGreaterThan(5_400);
  });

  test('a ledger that somebody deleted is written again at the next pass', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
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
