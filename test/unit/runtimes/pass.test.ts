// The container runtimes' part of a pass, on a host whose containerd is a few files and a socket.
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { Reading } from '../../../src/bundle/types.ts';
import { openHost } from '../../../src/host/host.ts';
import { type PassSettings, openReconciler } from '../../../src/reconcile.ts';
import type { Report } from '../../../src/report/report.ts';
import { openRuntimes } from '../../../src/runtimes/runtimes.ts';
import { type Fixture, east, north, south } from '../support/fixtures.ts';
import { type LittleHost, anchorDirectory, bundlePath, littleHost } from '../support/little-host.ts';
import type { FakeProcess } from '../support/proc-tree.ts';
import { answerJson, answerVersion, endProcess, setUptime, showProcess } from '../support/runtime.ts';

const certs = '/etc/containerd/certs.d';
const link = `${certs}/_default/node-ca-trust.crt`;
const socket = '/run/containerd/containerd.sock';

let host: LittleHost;

const clock = { now: () => 1_800_000_000_000, steady: () => 0, sleep: () => Promise.resolve() };

function put(path: string, text: string, mode = 0o644): void {
  fs.mkdirSync(join(host.path(path), '..'), { recursive: true });
  fs.writeFileSync(host.path(path), text, { mode });
}

function text(path: string): string {
  return fs.readFileSync(host.path(path), 'utf8');
}

const readings = (...certificates: readonly Fixture[]): readonly Reading[] => [
  { files: certificates.map(({ pem }, index) => ({ source: `${index}.crt`, bytes: Buffer.from(pem) })), findings: [] },
];

function settings(changed: Partial<PassSettings>): PassSettings {
  return {
    hostRoot: host.root,
    instance: 'default',
    rules: { allowLeaf: false, allowEmpty: false, maxCertificates: 100 },
    policy: { strict: false, removeAll: false },
    dryRun: false,
    lockWaitMs: 10_000,
    refresh: 'auto',
    registries: [],
    probes: [],
    ...changed,
  };
}

async function pass(certificates: readonly Fixture[], changed: Partial<PassSettings> = {}): Promise<Report> {
  const { report } = await openReconciler(settings(changed), () => readings(...certificates), clock).pass();
  return report;
}

const removeAll = { policy: { strict: false, removeAll: true } };

const hostsPath = (): string => host.path(`${certs}/a.example/hosts.toml`);
const hostTables = (count: number): string =>
  Array.from({ length: count }, (_, n) => `[host."https://h${n}.example"]\n`).join('');

/** The state and the message of the only runtime. */
function saidIn({ runtimes }: Report): readonly [string, string] {
  expect(runtimes).toHaveLength(1);
  return [runtimes[0]?.state ?? '', runtimes[0]?.message ?? ''];
}

function configure(lines: string): void {
  put('/etc/containerd/config.toml', `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n${lines}\n`);
}

beforeEach(async () => {
  host = littleHost();
  setUptime(host.root, 100);
  showProcess(host.root);
  configure(`config_path = "${certs}"`);
  await answerVersion(host.root, socket, '1.7.24~ds1');
});

describe.skipIf(process.getuid?.() !== 0)('a pass', () => {
  it('links the directory for all registries to the store, and says so', async () => {
    const report = await pass([north]);
    expect(fs.readlinkSync(host.path(link))).toBe(bundlePath);
    expect(report).toMatchObject({
      converged: true,
      edits: [link],
      runtimes: [
        {
          name: 'containerd',
          version: '1.7.24~ds1',
          socket,
          pid: 90,
          unit: 'containerd.service',
          way: 'certs.d',
          directories: [certs],
          state: 'trusts',
        },
      ],
    });
  });

  it('goes on watching where a runtime shows that was stopped, for when it is started again', async () => {
    const reconciler = openReconciler(settings({}), () => readings(north), clock);
    await reconciler.pass();
    endProcess(host.root);
    expect((await reconciler.pass()).report.runtimes).toEqual([]);
    expect(reconciler.watched().map(({ path }) => path)).toContain(host.path('/run/containerd'));
  });

  it('leads a pull to the store no sooner than the store is made, and no longer than it is', async () => {
    const tool = host.path('/usr/sbin/update-ca-certificates');
    const [first = '', ...rest] = fs.readFileSync(tool, 'utf8').split('\n');
    const look = `[ -L ${link} ] && echo linked >> /order || echo bare >> /order`;
    fs.writeFileSync(tool, [first, look, ...rest].join('\n'));
    expect(await pass([north])).toMatchObject({ converged: true, edits: [link] });
    const installed = text('/order');
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
    expect(text('/order').length).toBeGreaterThan(installed.length);
    expect(new Set(text('/order').trim().split('\n'))).toEqual(new Set(['bare']));
  });

  it('has nothing to do afterwards, and writes nothing', async () => {
    await pass([north]);
    const before = host.snapshot();
    const ledger = fs.statSync(host.path('/var/lib/node-ca-trust/_runtimes.json'), { bigint: true });
    expect(await pass([north])).toMatchObject({ converged: true, edits: [], refreshed: [] });
    expect(host.snapshot()).toEqual(before);
    expect(fs.statSync(host.path('/var/lib/node-ca-trust/_runtimes.json'), { bigint: true }).ctimeNs).toBe(
      ledger.ctimeNs,
    );
  });

  it('puts back what somebody undid', async () => {
    await pass([north]);
    fs.rmSync(host.path(link));
    const report = await pass([north]);
    expect(report).toMatchObject({ converged: true, edits: [link], refreshed: [] });
    expect(report).not.toHaveProperty('runtimesUnseen');
    expect(fs.readlinkSync(host.path(link))).toBe(bundlePath);
  });

  it('gives every registry that has a directory the same trust, and takes it back byte for byte', async () => {
    const mine = '# mine\nserver = "https://a.example"\n\n[host."https://mirror.example"]\n  capabilities = ["pull"]';
    put(`${certs}/a.example/hosts.toml`, mine, 0o640);
    fs.chownSync(host.path(`${certs}/a.example/hosts.toml`), 0, 34);
    fs.mkdirSync(host.path(`${certs}/b.example:5000`));
    const before = host.snapshot();
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
    const stats = fs.statSync(host.path(`${certs}/a.example/hosts.toml`));
    expect([stats.uid, stats.gid, stats.mode & 0o777]).toEqual([0, 34, 0o640]);
    expect(text(`${certs}/a.example/hosts.toml`).split(bundlePath)).toHaveLength(3);
    expect(fs.readlinkSync(host.path(`${certs}/b.example:5000/node-ca-trust.crt`))).toBe(bundlePath);
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
    expect([...host.snapshot()].filter(([name]) => name.startsWith('etc/containerd'))).toEqual(
      [...before].filter(([name]) => name.startsWith('etc/containerd')),
    );
    expect(fs.existsSync(host.path('/var/lib/node-ca-trust'))).toBe(false);
  });

  it('undoes everything when its record is lost', async () => {
    put(`${certs}/a.example/hosts.toml`, 'server = "https://a.example"\n');
    await pass([north]);
    fs.rmSync(host.path('/var/lib/node-ca-trust/_runtimes.json'));
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
    expect(text(`${certs}/a.example/hosts.toml`)).toBe('server = "https://a.example"\n');
    expect(fs.existsSync(host.path(link))).toBe(false);
  });

  it('leaves all that another instance needs, until that one goes', async () => {
    await pass([north]);
    await pass([south], { instance: 'lab' });
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
    expect(fs.existsSync(host.path(link))).toBe(true);
    await pass([], { ...removeAll, instance: 'lab' });
    expect(fs.existsSync(host.path(certs))).toBe(false);
  });

  it('says that removed trust lives on in the running process', async () => {
    await pass([north, south]);
    const [state, message] = saidIn(await pass([north]));
    expect([state, message]).toEqual(['revoked-after-restart', expect.stringContaining('until it is restarted')]);
    endProcess(host.root);
    showProcess(host.root, { pid: 91, ticks: 15_000 });
    setUptime(host.root, 200);
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
  });

  it('says so of a removal too, and nothing else', async () => {
    showProcess(host.root, { ticks: 9_000 });
    setUptime(host.root, 80);
    await pass([north]);
    setUptime(host.root, 200);
    expect(saidIn(await pass([], removeAll))[0]).toBe('revoked-after-restart');
  });

  it('changes nothing when told to leave the runtimes alone, and undoes what was done before', async () => {
    expect(await pass([north], { refresh: 'off' })).toMatchObject({ converged: true, runtimes: [], edits: [] });
    expect(fs.existsSync(host.path(link))).toBe(false);
    await pass([north]);
    expect(await pass([north], { refresh: 'off' })).toMatchObject({ converged: true, runtimes: [], edits: [link] });
    expect(fs.existsSync(host.path(link))).toBe(false);
  });

  it.each([
    ['lost', undefined, certs],
    ['broken', '{"ver', certs],
    ['lost, in a directory of its own', undefined, '/srv/certs.d'],
  ])('undoes what was done before also where the record is %s', async (_, record, directory) => {
    configure(`config_path = "${directory}"`);
    put(`${directory}/a.example/hosts.toml`, 'server = "https://a.example"\n');
    await pass([north]);
    if (record === undefined) fs.rmSync(host.path('/var/lib/node-ca-trust/_runtimes.json'));
    else put('/var/lib/node-ca-trust/_runtimes.json', record);
    expect(await pass([north], { refresh: 'off' })).toMatchObject({ converged: true, runtimes: [] });
    expect(fs.readdirSync(host.path(directory), { recursive: true }).sort()).toEqual([
      'a.example',
      'a.example/hosts.toml',
    ]);
    expect(text(`${directory}/a.example/hosts.toml`)).toBe('server = "https://a.example"\n');
    expect(await pass([north], { refresh: 'off' })).toMatchObject({ converged: true, edits: [] });
  });

  it.each(['_backup', '.old'])('takes off what another tool has moved into %s of the directory', async (aside) => {
    const hosts = 'server = "https://a.example"\n[host."https://m.example"]\n';
    put(`${certs}/a.example/hosts.toml`, hosts);
    await pass([north]);
    fs.mkdirSync(host.path(`${certs}/${aside}`));
    const names = ['_default', 'a.example'];
    for (const name of names) fs.renameSync(host.path(`${certs}/${name}`), host.path(`${certs}/${aside}/${name}`));
    put(`${certs}/${aside}/b.example/hosts.toml`, hosts);
    put(`${certs}/${aside}/b.example/node-ca-trust.crt`, 'of somebody else');
    put(`${certs}/_default/hosts.toml`, '[host."https://spegel.example"]\n');
    await pass([north]);
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
    expect(fs.readdirSync(host.path(certs), { recursive: true }).sort()).toEqual(
      [
        '_default',
        '_default/hosts.toml',
        aside,
        `${aside}/a.example`,
        `${aside}/a.example/hosts.toml`,
        `${aside}/b.example`,
        `${aside}/b.example/hosts.toml`,
        `${aside}/b.example/node-ca-trust.crt`,
      ].sort(),
    );
    for (const name of ['a.example', 'b.example']) expect(text(`${certs}/${aside}/${name}/hosts.toml`)).toBe(hosts);
    expect(fs.existsSync(host.path('/var/lib/node-ca-trust'))).toBe(false);
  });

  it('only says what it would do in a dry run', async () => {
    const before = host.snapshot();
    expect(await pass([north], { dryRun: true })).toMatchObject({ edits: [link], runtimes: [{ state: 'incomplete' }] });
    expect(host.snapshot()).toEqual(before);
  });

  it('trusts a bundle without a word about runtimes where none runs', async () => {
    endProcess(host.root);
    expect(await pass([north])).toMatchObject({ converged: true, runtimes: [], edits: [] });
    expect(fs.existsSync(host.path('/etc/containerd/certs.d'))).toBe(false);
  });

  it('passes over a containerd of a container', async () => {
    endProcess(host.root);
    showProcess(host.root, { numbers: [90, 7] });
    expect((await pass([north])).runtimes).toEqual([]);
  });
});

describe.skipIf(process.getuid?.() !== 0)('a runtime that reads no directory', () => {
  beforeEach(() => {
    configure('');
  });

  it('needs a restart, with the command, and by default keeps nobody from being converged', async () => {
    const report = await pass([north]);
    expect(report).toMatchObject({
      converged: true,
      runtimes: [{ way: 'restart', state: 'restart-needed', command: 'systemctl restart containerd.service' }],
    });
    expect(report.runtimes[0]?.message).toContain('config_path');
  });

  it('is a failure where the admin asked for directories', async () => {
    const report = await pass([north], { refresh: 'certs.d' });
    expect(report).toMatchObject({ converged: false, reasons: [expect.stringMatching(/^containerd: .*config_path/)] });
  });

  it('trusts once it was started anew, and needs one again after the next addition', async () => {
    await pass([north]);
    endProcess(host.root);
    showProcess(host.root, { pid: 91, ticks: 15_000 });
    setUptime(host.root, 200);
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
    expect(saidIn(await pass([north, south]))[0]).toBe('restart-needed');
  });

  it('that seems to have been started in time to come is taken for old, and not restarted for that', async () => {
    installBus({ pid: 91, ticks: 60_000 });
    showProcess(host.root, { ticks: 50_000 });
    const report = await pass([north], { refresh: 'restart' });
    expect(saidIn(report)[0]).toBe('restart-needed');
    expect(report.notes).toEqual([expect.stringMatching(/^containerd: when it was started is not known/)]);
    expect(restarts()).toBe(0);
  });

  it('trusts after a reboot', async () => {
    await pass([north]);
    setUptime(host.root, 50, 'the-next-boot');
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
  });

  /** A pass as long after the bundle was published as it takes for that to have been so many seconds after the boot. */
  async function passWherePublished(seconds: number): Promise<Report> {
    const published = fs.statSync(host.path(bundlePath)).ctimeMs;
    const later = { ...clock, now: () => published + (100 - seconds) * 1000 };
    return (await openReconciler(settings({}), () => readings(north), later).pass()).report;
  }

  it.each<[string, () => void | Promise<void>]>([
    [
      'put on the node before it booted',
      async () => {
        await pass([north]);
        fs.rmSync(host.path('/var/lib/node-ca-trust'), { recursive: true });
      },
    ],
    [
      'in a file of another',
      () => {
        put(`${anchorDirectory}/by-hand.crt`, north.pem);
        put(bundlePath, north.pem);
      },
    ],
    [
      'published by another after a pass that could not prove it',
      async () => {
        await pass([north]);
        const path = '/var/lib/node-ca-trust/default.json';
        const ledger = JSON.parse(text(path)) as object;
        put(path, JSON.stringify({ ...ledger, dated: [], added: { boot: 'this-boot', seconds: 1 } }));
      },
    ],
    [
      'published by a pass that was killed then',
      async () => {
        await pass([north]);
        const path = '/var/lib/node-ca-trust/default.json';
        const ledger = JSON.parse(text(path)) as object;
        put(path, JSON.stringify({ ...ledger, announced: [], dated: [], added: { boot: 'this-boot', seconds: 1 } }));
      },
    ],
  ])('is judged by when the bundle was published that had the CA already: %s', async (_, prepare) => {
    // It was started five seconds after the boot.
    for (const [seconds, state] of [
      [-1000, 'trusts'],
      [4.9, 'trusts'],
      [5.1, 'restart-needed'],
      // The clock was set back since.
      [101, 'restart-needed'],
    ] as const) {
      await prepare();
      expect([seconds, saidIn(await passWherePublished(seconds))[0]]).toEqual([seconds, state]);
      expect(saidIn(await pass([north]))[0]).toBe(state);
      await pass([], removeAll);
    }
  });

  it('needs a restart when what another has published lacks one of the CAs', async () => {
    put(`${anchorDirectory}/by-hand.crt`, south.pem);
    put(bundlePath, south.pem);
    expect(saidIn(await pass([north, south]))[0]).toBe('restart-needed');
  });
});

describe.skipIf(process.getuid?.() !== 0)('a containerd that does not say its version', () => {
  const silent = '/run/silent.sock';
  let now = 0;
  const open = (more: Partial<PassSettings> = {}) =>
    openReconciler(settings(more), () => readings(north), { ...clock, steady: () => now });

  beforeEach(() => {
    now = 0;
    configure('');
    showProcess(host.root, { argv: ['/usr/bin/containerd', '--address', silent] });
  });

  it('is asked again a few times, each after a longer while, and no more', async () => {
    const reconciler = open();
    const waits: number[] = [];
    for (;;) {
      const { dueMs } = await reconciler.pass();
      if (dueMs === undefined) break;
      expect(dueMs).toBeGreaterThan(0);
      waits.push(dueMs / 1000);
      // Those in between change nothing of that, not even one shortly before.
      const due = now + dueMs;
      for (const leftMs of [dueMs / 2, 5_000]) {
        now = due - leftMs;
        expect((await reconciler.pass()).dueMs).toBe(leftMs);
      }
      now = due;
    }
    expect(waits).toEqual([30, 60, 120, 240]);
    now += 3_600_000;
    expect((await reconciler.pass()).dueMs).toBeUndefined();
  });

  it('is served as soon as it does', async () => {
    put('/etc/containerd/config.toml', '');
    const reconciler = open();
    const first = await reconciler.pass();
    expect(saidIn(first.report)).toEqual(['restart-needed', expect.stringMatching(/does not say its version/)]);
    await answerVersion(host.root, silent, '2.3.4');
    now += first.dueMs ?? 0;
    const { report, dueMs } = await reconciler.pass();
    expect([saidIn(report)[0], dueMs]).toEqual(['trusts', undefined]);
  });

  it('is not restarted for what it may read all the same', async () => {
    installBus({ pid: 91, ticks: 10_500 });
    const { report } = await open({ refresh: 'restart' }).pass();
    expect(report).toMatchObject({ converged: false, runtimes: [{ pid: 90, state: 'restart-needed' }] });
    expect(restarts()).toBe(0);
  });

  it('is not asked again where any version reads the same directories', async () => {
    configure(`config_path = "${certs}"`);
    const { report, dueMs } = await open().pass();
    expect([saidIn(report)[0], dueMs]).toEqual(['trusts', undefined]);
  });
});

/** A systemd that the bus leads to: told to restart, it starts `next` in the place of the processes that run. */
function installBus(next: Partial<FakeProcess> | undefined, running = '9?'): void {
  if (next !== undefined) showProcess(host.path('/next'), next);
  const uptime = Math.ceil((next?.ticks ?? 0) / 100) + 1;
  const start =
    next === undefined
      ? ''
      : `ln -s /next/proc/${next.pid ?? 0} /proc/${next.pid ?? 0}; echo ${uptime} 1 > /proc/uptime`;
  const state = next === undefined ? 'failed' : 'active';
  put(
    '/usr/bin/busctl',
    `#!/bin/sh
case "$*" in
  *RestartUnit*) echo "$*" >> /restarts; rm -r /proc/${running}; ${start} ;;
  *ActiveState*) echo 's "${state}"' ;;
  *Result*) echo 's "exit-code"' ;;
esac
`,
    0o755,
  );
}

const restarts = (): number =>
  fs.existsSync(host.path('/restarts')) ? text('/restarts').trim().split('\n').length : 0;

describe.skipIf(process.getuid?.() !== 0)('a restart that is permitted', () => {
  beforeEach(() => {
    configure('');
  });

  it('is made once, proven, and on record for whoever comes next', async () => {
    installBus({ pid: 91, ticks: 10_500 });
    const report = await pass([north], { refresh: 'restart' });
    expect(report).toMatchObject({ converged: true, runtimes: [{ pid: 91, state: 'trusts' }] });
    expect(text('/restarts')).toContain('RestartUnit ss containerd.service replace');
    setUptime(host.root, 110);
    const next = await pass([north, south], { refresh: 'restart' });
    expect(next).toMatchObject({ converged: false, runtimes: [{ state: 'restart-needed' }] });
    expect(restarts()).toBe(1);
    setUptime(host.root, 701);
    installBus({ pid: 92, ticks: 70_200 });
    await pass([north, south], { refresh: 'restart' });
    expect(restarts()).toBe(2);
    await pass([], removeAll);
    expect(fs.existsSync(host.path('/var/lib/node-ca-trust'))).toBe(false);
  });

  it('is proven of a containerd that is older than the first version of what the kubelet asks by', async () => {
    await answerVersion(host.root, '/run/old.sock', '1.5.18', /^\/runtime\.v1\./);
    fs.renameSync(host.path('/run/old.sock'), host.path(socket));
    installBus({ pid: 91, ticks: 10_500 });
    const report = await pass([north], { refresh: 'restart' });
    expect(report).toMatchObject({ converged: true, runtimes: [{ pid: 91, version: '1.5.18', state: 'trusts' }] });
  });

  it('is not made where directories are read, nor for a removal', async () => {
    configure(`config_path = "${certs}"`);
    installBus({ pid: 91, ticks: 10_500 });
    await pass([north, south], { refresh: 'restart' });
    expect(saidIn(await pass([north], { refresh: 'restart' }))[0]).toBe('revoked-after-restart');
    expect(restarts()).toBe(0);
  });

  it('of which the runtime does not come back is told, and not made again before it runs', async () => {
    installBus(undefined);
    const report = await pass([north], { refresh: 'restart' });
    expect(report).toMatchObject({
      converged: false,
      reasons: expect.arrayContaining([expect.stringMatching(/containerd\.service is down/)]) as unknown,
    });
    expect(host.trusts(north)).toBe(true);
    const down = {
      converged: false,
      reasons: expect.arrayContaining([expect.stringMatching(/^containerd\.service did not come back/)]) as unknown,
    };
    expect(await pass([north], { refresh: 'restart' })).toMatchObject(down);
    showProcess(host.root, { ticks: 9_000 });
    setUptime(host.root, 5_000);
    const later = await pass([north, south], { refresh: 'restart' });
    expect(later).toMatchObject({ converged: false, runtimes: [{ state: 'restart-failed' }] });
    endProcess(host.root);
    showProcess(host.root, { pid: 95, ticks: 510_000 });
    setUptime(host.root, 6_000);
    expect(await pass([north, south], { refresh: 'restart' })).toMatchObject({
      converged: true,
      runtimes: [{ state: 'trusts' }],
    });
    expect(restarts()).toBe(1);
    installBus({ pid: 96, ticks: 600_500 });
    const again = await pass([north, south, east], { refresh: 'restart' });
    expect(again).toMatchObject({ converged: true, runtimes: [{ pid: 96, state: 'trusts' }] });
    expect(restarts()).toBe(2);
    expect(JSON.parse(text('/var/lib/node-ca-trust/_runtimes.json'))).toMatchObject({ failed: [] });
  });

  it('of which the runtime did not come back is over with the next boot, also where it is gone for good', async () => {
    installBus(undefined);
    await pass([north], { refresh: 'restart' });
    expect((await pass([north])).reasons).toEqual([expect.stringMatching(/^containerd\.service did not come back/)]);
    setUptime(host.root, 50, 'another-boot');
    expect(await pass([north])).toMatchObject({ converged: true, runtimes: [] });
  });

  it('waits in a daemon, and the next pass is due then', async () => {
    installBus({ pid: 91, ticks: 10_500 });
    const reconciler = openReconciler(settings({ refresh: 'restart', jitterMs: 5_000 }), () => readings(north), clock);
    expect((await reconciler.pass()).dueMs).toBe(65_000);
    setUptime(host.root, 164);
    expect((await reconciler.pass()).dueMs).toBe(1_000);
    expect(restarts()).toBe(0);
    setUptime(host.root, 165);
    expect(await reconciler.pass()).toMatchObject({ report: { converged: true }, dueMs: undefined });
    expect(restarts()).toBe(1);
  });

  it('that is due does not hasten the passes after one that failed', async () => {
    const reconciler = openReconciler(settings({ refresh: 'restart', jitterMs: 5_000 }), () => readings(north), clock);
    expect((await reconciler.pass()).dueMs).toBe(65_000);
    fs.renameSync(host.root, `${host.root}.away`);
    const failed = await reconciler.pass();
    fs.renameSync(`${host.root}.away`, host.root);
    expect(failed).toMatchObject({ report: { converged: false }, dueMs: undefined });
  });

  const beside = `version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "${certs}"
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."a.example"]
endpoint = ["https://b.example"]
`;

  it.each([
    ['does not parse', 'version = 2\n[plugins\n', /config\.toml:2: not valid TOML/],
    ['is not there', undefined, /config\.toml is not there/],
    ['has mirrors beside directories', beside, /registry\.mirrors.* take registry\.mirrors out/],
    ['disables what pulls', 'disabled_plugins = ["cri"]\n', /cri is in disabled_plugins/],
  ])('is not made into a configuration that %s, whenever it came to that', async (_, config, why) => {
    showProcess(host.root, { argv: ['/usr/bin/containerd', '--config', '/etc/containerd/config.toml'] });
    installBus({ pid: 91, ticks: 20_000 });
    const reconciler = openReconciler(settings({ refresh: 'restart', jitterMs: 0 }), () => readings(north), clock);
    expect((await reconciler.pass()).report.runtimes).toMatchObject([{ state: 'restart-needed' }]);
    if (config === undefined) fs.rmSync(host.path('/etc/containerd/config.toml'));
    else put('/etc/containerd/config.toml', config);
    setUptime(host.root, 200);
    const { report } = await reconciler.pass();
    expect(report).toMatchObject({ converged: false, runtimes: [{ pid: 90, state: 'restart-needed' }] });
    expect(report.reasons[0]).toMatch(/^containerd: not restarted: its configuration is broken: /);
    expect(report.reasons[0]).toMatch(why);
    // Another agent has not seen it before.
    await pass([north], { refresh: 'restart' });
    expect(restarts()).toBe(0);
    configure('');
    expect((await reconciler.pass()).report).toMatchObject({ converged: true, runtimes: [{ pid: 91 }] });
    expect(restarts()).toBe(1);
  });

  it('is not made because the configuration was touched since', async () => {
    configure(`config_path = "${certs}"`);
    showProcess(host.root, { argv: ['/usr/bin/containerd', '--address', '/run/silent.sock'] });
    installBus({ pid: 91, ticks: 10_500 });
    put('/proc/stat', `btime ${Math.floor(Date.now() / 1000) - 100}\n`);
    const report = await pass([north], { refresh: 'restart' });
    expect(saidIn(report)).toEqual(['restart-needed', expect.stringMatching(/config\.toml was written after/)]);
    expect(restarts()).toBe(0);
  });
});

describe.skipIf(process.getuid?.() !== 0)('bad input', () => {
  it('a configuration that does not parse is named, and the store is right all the same', async () => {
    put('/etc/containerd/config.toml', 'version = 2\n[plugins\n');
    const report = await pass([north]);
    expect(report).toMatchObject({ converged: true, runtimes: [{ state: 'restart-needed' }] });
    expect(report.runtimes[0]?.message).toMatch(/\/etc\/containerd\/config\.toml/);
    expect(host.trusts(north)).toBe(true);
  });

  it('a hosts.toml that does not parse is left alone and named; its registry is served as containerd then does', async () => {
    put(`${certs}/a.example/hosts.toml`, 'server = "https://a.exam');
    const [state, message] = saidIn(await pass([north]));
    expect([state, message]).toEqual(['incomplete', expect.stringContaining(`${certs}/a.example/hosts.toml`)]);
    expect(text(`${certs}/a.example/hosts.toml`)).toBe('server = "https://a.exam');
    expect(fs.readlinkSync(host.path(`${certs}/a.example/node-ca-trust.crt`))).toBe(bundlePath);
  });

  const hostsOf = (more: string): string => `server = "https://a.example"\n${more}\n[host."https://m.example"]\n`;

  it.each([
    ['a capability that there is none of', 'capabilities = ["pull", "resolve", "delete"]'],
    ['a number for a duration', 'dial_timeout = 5'],
    ['a text for a truth', 'override_path = "true"'],
  ])(
    'a hosts.toml that containerd refuses, for %s, is left alone and named; the link beside it counts',
    async (_, line) => {
      put(`${certs}/a.example/hosts.toml`, hostsOf(line));
      const [state, message] = saidIn(await pass([north]));
      expect([state, message]).toEqual(['incomplete', expect.stringContaining(`${certs}/a.example/hosts.toml`)]);
      expect(text(`${certs}/a.example/hosts.toml`)).toBe(hostsOf(line));
      expect(fs.readlinkSync(host.path(`${certs}/a.example/node-ca-trust.crt`))).toBe(bundlePath);
    },
  );

  it.each([
    ['is not UTF-8', Buffer.from(hostsOf('# f\u00fcr uns'), 'latin1'), [expect.stringMatching(/is not UTF-8/)]],
    ['is TOML of version 1.1', Buffer.from(hostsOf('header = {\n  a = "b",\n}')), []],
    ['all versions take', Buffer.from(hostsOf('')), []],
  ])('a hosts.toml that %s is edited, and the link beside it counts where it is refused', async (_, bytes, notes) => {
    const path = host.path(`${certs}/a.example/hosts.toml`);
    put(`${certs}/a.example/hosts.toml`, '');
    fs.writeFileSync(path, bytes);
    const report = await pass([north]);
    expect(saidIn(report)).toEqual(['trusts', 'pulls see the store; it is in 2 of its directories']);
    expect(report.notes).toEqual(notes);
    expect(text(`${certs}/a.example/hosts.toml`).split(bundlePath)).toHaveLength(3);
    expect(fs.readlinkSync(host.path(`${certs}/a.example/node-ca-trust.crt`))).toBe(bundlePath);
    expect(await pass([north])).toMatchObject({ edits: [] });
    await pass([], removeAll);
    expect(fs.readFileSync(path)).toEqual(bytes);
    expect(fs.readdirSync(host.path(`${certs}/a.example`))).toEqual(['hosts.toml']);
  });

  it("what no containerd reads beside a good hosts.toml is nobody's concern", async () => {
    put(`${certs}/a.example/hosts.toml`, hostsOf(''));
    put(`${certs}/a.example/theirs.crt`, 'nothing');
    put(`${certs}/a.example/node-ca-trust.crt`, 'of somebody else');
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
    expect(text(`${certs}/a.example/node-ca-trust.crt`)).toBe('of somebody else');
  });

  it('what stands in the way of one registry keeps no pod waiting; of all, it does', async () => {
    put(`${certs}/a.example/hosts.toml`, 'server = "https://a.exam');
    expect((await pass([north])).runtimes).toMatchObject([{ state: 'incomplete', aside: true }]);
    put(`${certs}/_default/hosts.toml`, 'server = "https://a.exam');
    const [runtime] = (await pass([north])).runtimes;
    expect(runtime?.message).toMatch(/_default.* \(and 1 more\)/);
    expect(runtime).not.toHaveProperty('aside');
  });

  it('a hosts.toml with a byte order mark is served like any other', async () => {
    put(`${certs}/a.example/hosts.toml`, '\uFEFFserver = "https://a.example"\n[host."https://m.example"]\n');
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
    expect(text(`${certs}/a.example/hosts.toml`).split(bundlePath)).toHaveLength(3);
    expect(fs.readlinkSync(host.path(`${certs}/a.example/node-ca-trust.crt`))).toBe(bundlePath);
  });

  it('no edit is told of where the store could not be made', async () => {
    put('/broken', 'it is odd\n');
    const report = await pass([north, south]);
    expect(report).toMatchObject({ converged: false, reasons: [expect.stringContaining('it is odd')], edits: [] });
    expect(fs.existsSync(host.path(link))).toBe(false);
  });

  it('an anchor that cannot be installed keeps no pull from the others', async () => {
    put(`${anchorDirectory}/node-ca-trust-default-${north.fingerprint.slice(0, 16)}.crt`, 'of somebody else');
    const reasons = [expect.stringContaining('not ours')];
    const report = await pass([north, south]);
    expect(report).toMatchObject({ converged: false, reasons, edits: [link], runtimes: [{ state: 'trusts' }] });
    expect(fs.readlinkSync(host.path(link))).toBe(bundlePath);
    expect(await pass([north, south])).toMatchObject({ converged: false, reasons, edits: [], refreshed: [] });
  });

  it('a change that fails keeps no pull from what the store has', async () => {
    await pass([south], { refresh: 'off' });
    put('/broken', 'it is odd\n');
    const failed = { converged: false, added: [], reasons: [expect.stringContaining('it is odd')] };
    const report = await pass([north, south]);
    expect(report).toMatchObject({ ...failed, edits: [link], runtimes: [{ state: 'trusts' }] });
    expect(report).not.toHaveProperty('store');
    expect(await pass([north, south])).toMatchObject({ ...failed, edits: [], runtimes: [{ state: 'trusts' }] });
    put(bundlePath, south.pem.slice(0, 100));
    fs.rmSync(host.path(link));
    expect(await pass([north, south])).toMatchObject({ ...failed, edits: [], runtimes: [] });
    expect(fs.existsSync(host.path(link))).toBe(false);
  });

  it('what others write while the store is made is edited as it is then, and not lost', async () => {
    put(`${certs}/a.example/hosts.toml`, 'server = "https://a.example"\n');
    const runtimes = openRuntimes(openHost(host.root), bundlePath, { ...settings({}), clock });
    const seen = await runtimes.observe(true);
    put(`${certs}/a.example/hosts.toml`, '# another\nserver = "https://b.example"\n');
    expect(runtimes.keep(seen)).toEqual(new Map());
    expect(text(`${certs}/a.example/hosts.toml`)).toMatch(/^# another\nserver = "https:\/\/b\.example"\nca = /);
  });

  it('what cannot be read is named by its path', async () => {
    put(`${certs}/a.example/hosts.toml`, 'server = "https://a.example"\n');
    const real = openHost(host.root);
    const read = (path: string): Buffer | undefined => {
      if (path.endsWith('hosts.toml')) throw new Error('input/output error');
      return real.read(path);
    };
    const runtimes = openRuntimes({ ...real, read }, bundlePath, { ...settings({}), clock });
    const { found } = await runtimes.observe(true);
    expect(found[0]?.survey.ofOthers).toEqual([`${certs}/a.example on the host: input/output error`]);
  });

  it('a file that bears our name and is not ours stays, and is named', async () => {
    put(link, 'of somebody else');
    const [state, message] = saidIn(await pass([north]));
    expect([state, message]).toEqual(['incomplete', expect.stringMatching(/not ours.*move it away/)]);
    await pass([], removeAll);
    expect(text(link)).toBe('of somebody else');
  });

  it('a directory with a name that no registry has is named, and left alone', async () => {
    fs.mkdirSync(host.path(`${certs}/no\u001b registry`), { recursive: true });
    const { notes } = await pass([north]);
    expect(notes.join('\n')).toMatch(/certs\.d\/no\S* registry on the host is no registry's name/);
    expect(fs.readdirSync(host.path(`${certs}/no\u001b registry`))).toEqual([]);
  });

  it('a directory of registries that is a link is followed inside the host', async () => {
    fs.mkdirSync(host.path('/srv/registries'), { recursive: true });
    fs.symlinkSync('/srv/registries', host.path(certs));
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
    expect(fs.existsSync(host.path('/srv/registries/_default/node-ca-trust.crt'))).toBe(true);
  });

  it('a hosts.toml that is a link is left alone and named', async () => {
    put('/srv/a.toml', 'server = "https://a.example"\n');
    fs.mkdirSync(host.path(`${certs}/a.example`), { recursive: true });
    fs.symlinkSync('/srv/a.toml', host.path(`${certs}/a.example/hosts.toml`));
    const [state, message] = saidIn(await pass([north]));
    expect([state, message]).toEqual(['incomplete', expect.stringContaining('hosts.toml on the host is a link')]);
    expect(text('/srv/a.toml')).toBe('server = "https://a.example"\n');
  });

  it('a hosts.toml that became a link after it was edited is restored where it lies, link and rights as they are', async () => {
    const mine = 'server = "https://a.example"\n[host."https://mirror.example"]\n';
    const file = host.path(`${certs}/a.example/hosts.toml`);
    put(`${certs}/a.example/hosts.toml`, mine, 0o640);
    await pass([north]);
    fs.mkdirSync(host.path('/srv'), { recursive: true });
    fs.renameSync(file, host.path('/srv/a.toml'));
    fs.symlinkSync('/srv/a.toml', file);
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
    expect([text('/srv/a.toml'), fs.readlinkSync(file)]).toEqual([mine, '/srv/a.toml']);
    expect(fs.statSync(host.path('/srv/a.toml')).mode & 0o777).toBe(0o640);
  });

  it('what others than root can write is left alone and named', async () => {
    fs.mkdirSync(host.path(`${certs}/open.example`), { recursive: true });
    fs.chmodSync(host.path(`${certs}/open.example`), 0o777);
    put(`${certs}/theirs.example/hosts.toml`, 'server = "https://a.example"\n');
    fs.chownSync(host.path(`${certs}/theirs.example/hosts.toml`), 1000, 0);
    const { runtimes } = await pass([north]);
    expect(runtimes[0]?.message).toMatch(/open\.example on the host can be written by others.* \(and 1 more\)/);
    expect(fs.readdirSync(host.path(`${certs}/open.example`))).toEqual([]);
    expect(text(`${certs}/theirs.example/hosts.toml`)).toBe('server = "https://a.example"\n');
  });

  it('a whole list of directories that others than root can write is left alone and named', async () => {
    fs.mkdirSync(host.path(`${certs}/registry.example`), { recursive: true });
    fs.chmodSync(host.path(certs), 0o777);
    const { runtimes } = await pass([north]);
    expect(runtimes[0]?.message).toContain(`${certs} on the host can be written by others than root`);
    expect(fs.readdirSync(host.path(certs), { recursive: true })).toEqual(['registry.example']);
  });

  it.each([
    ['and is closed since', 0o755],
    ['and still can', 0o777],
  ])('where others than root could write %s, nothing is written where their links lead', async (_, mode) => {
    put('/srv/of-root/hosts.toml', 'server = "https://a.example"\n');
    fs.mkdirSync(host.path(`${certs}/a.example`), { recursive: true });
    const plants = {
      _default: '/srv/of-root',
      'b.example': '/srv/of-root',
      'a.example/hosts.toml': '/srv/of-root/hosts.toml',
      'a.example/node-ca-trust.crt': '/srv/of-root/new',
    };
    for (const [name, target] of Object.entries(plants)) {
      fs.symlinkSync(target, host.path(`${certs}/${name}`));
      fs.lchownSync(host.path(`${certs}/${name}`), 1000, 1000);
    }
    for (const path of [certs, `${certs}/a.example`]) fs.chmodSync(host.path(path), mode);
    expect(saidIn(await pass([north]))[0]).toBe('incomplete');
    expect(fs.readdirSync(host.path('/srv/of-root'))).toEqual(['hosts.toml']);
    expect(text('/srv/of-root/hosts.toml')).toBe('server = "https://a.example"\n');
    for (const [name, target] of Object.entries(plants))
      expect(fs.readlinkSync(host.path(`${certs}/${name}`))).toBe(target);
  });

  it("a process of another user's is no runtime, whatever it is called", async () => {
    endProcess(host.root);
    showProcess(host.root, { user: 1000 });
    expect((await pass([north])).runtimes).toEqual([]);
  });

  it.each([
    ['a file of CAs that is not there', 'server = "https://a.example"\nca = "/no/where.pem"\n'],
    ['a file of CAs without a certificate', 'server = "https://a.example"\nca = ["half.pem"]\n[host."https://m"]\n'],
  ])('a hosts.toml that names %s is named: every pull by it fails', async (_, hosts) => {
    put(`${certs}/a.example/hosts.toml`, hosts);
    put(`${certs}/a.example/half.pem`, '-----BEGIN CERTIFICATE-----\nMIIB\n');
    const [state, message] = saidIn(await pass([north]));
    expect([state, message]).toEqual([
      'incomplete',
      expect.stringMatching(/\.pem on the host is named by .*hosts\.toml/),
    ]);
  });

  it.each<readonly [string, (edited: string) => string]>([
    [
      'into which an admin has put a "ca" beside ours',
      (edited) => edited.replace('[host."https://n.example"]\n', '$&ca = "/etc/x.pem"\n'),
    ],
    [
      'out of which the header of the last host was cut',
      (edited) => edited.replace('[host."https://n.example"]\n', ''),
    ],
  ])('a hosts.toml %s is mended: containerd refuses it as it is', async (_, alter) => {
    put('/etc/x.pem', south.pem);
    const mine = `${hostsOf('')}capabilities = ["pull"]\n[host."https://n.example"]\n`;
    put(`${certs}/a.example/hosts.toml`, mine);
    await pass([north]);
    const altered = alter(text(`${certs}/a.example/hosts.toml`));
    put(`${certs}/a.example/hosts.toml`, altered);
    expect(() => parse(altered)).toThrow(/redefine/);
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
    const { host: hosts = {} } = parse(text(`${certs}/a.example/hosts.toml`)) as {
      host?: Record<string, { ca?: unknown }>;
    };
    for (const { ca } of Object.values(hosts)) expect([ca].flat()).toContain(bundlePath);
    await pass([], removeAll);
    expect(text(`${certs}/a.example/hosts.toml`)).toBe(alter(mine));
  });

  it.each([
    ['named by it', '/etc/large.pem'],
    ['beside the link', `${certs}/a.example/large.crt`],
  ])(
    'a file of CAs that is too large, %s, is named, and keeps no edit of its registry from being made',
    async (_, path) => {
      put(path, '');
      fs.truncateSync(host.path(path), 100 * 2 ** 20);
      if (path.endsWith('.pem')) put(`${certs}/a.example/hosts.toml`, `ca = "${path}"\n[host."https://m.example"]\n`);
      expect(saidIn(await pass([north]))).toEqual(['incomplete', expect.stringContaining(path)]);
      expect(fs.readlinkSync(host.path(`${certs}/a.example/node-ca-trust.crt`))).toBe(bundlePath);
      if (fs.existsSync(hostsPath())) expect(text(`${certs}/a.example/hosts.toml`).split(bundlePath)).toHaveLength(3);
    },
  );

  it.each([
    ['a certificate that is cut off', 'other.crt', '-----BEGIN CERTIFICATE-----\nMIIB'],
    ["a client's certificate without its key", 'client.cert', 'x'],
  ])('%s beside the link is named', async (_, name, content) => {
    put(`${certs}/a.example/${name}`, content);
    expect(saidIn(await pass([north]))).toEqual(['incomplete', expect.stringContaining(name)]);
  });

  it.each<readonly [string, () => unknown]>([
    [
      'huge',
      () => {
        put(`${certs}/a.example/hosts.toml`, '# x\n'.repeat(4_000_000));
      },
    ],
    [
      'full of hosts',
      () => {
        put(`${certs}/a.example/hosts.toml`, hostTables(3_000));
      },
    ],
    [
      'nested without end',
      () => {
        put(`${certs}/a.example/hosts.toml`, `[${'a.'.repeat(32_000)}a]\n`);
      },
    ],
    [
      'a link that runs in a circle',
      () => {
        fs.symlinkSync('hosts.toml', hostsPath());
      },
    ],
    [
      'a link out of the host',
      () => {
        fs.symlinkSync('../../../../../../../etc/hostname', hostsPath());
      },
    ],
    ['a FIFO', () => execFileSync('mkfifo', [hostsPath()])],
  ])('a hosts.toml that is %s is named and left as it is, and the store is served', async (_, plant) => {
    put(`${certs}/a.example/other.txt`, '');
    plant();
    const before = fs.lstatSync(hostsPath()).ino;
    const result = await pass([north]);
    expect(saidIn(result)).toEqual(['incomplete', expect.stringContaining(`${certs}/a.example/hosts.toml`)]);
    expect(result.added).toHaveLength(1);
    expect(fs.lstatSync(hostsPath()).ino).toBe(before);
  });

  it('a hosts.toml that our own lines make long is served as before', async () => {
    put(`${certs}/a.example/hosts.toml`, hostTables(700));
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
    expect(text(`${certs}/a.example/hosts.toml`).length).toBeGreaterThan(64 * 1024);
    expect(await pass([north])).toMatchObject({ converged: true, edits: [] });
    await pass([], removeAll);
    expect(text(`${certs}/a.example/hosts.toml`)).toBe(hostTables(700));
  });

  it.each<readonly [string, () => unknown]>([
    [
      '100 MB',
      () => {
        fs.truncateSync(host.path('/etc/containerd/config.toml'), 100 * 2 ** 20);
      },
    ],
    [
      'of more than it takes',
      () => {
        put('/etc/containerd/config.toml', '# x\n'.repeat(300_000));
      },
    ],
    [
      'nested without end',
      () => {
        put('/etc/containerd/config.toml', `[${'a.'.repeat(200_000)}a]\n`);
      },
    ],
    [
      'in other files without end',
      () => {
        put('/etc/containerd/config.toml', 'imports = ["config.toml", "./*.toml"]\n');
      },
    ],
  ])('a configuration of containerd that is %s is named or passed over, and the store is served', async (_, write) => {
    write();
    const result = await pass([north]);
    expect(result.added).toHaveLength(1);
    expect(saidIn(result)[1]).toContain('/etc/containerd/config.toml');
  });

  it('a directory whose name ends in .crt is none of that', async () => {
    fs.mkdirSync(host.path(`${certs}/a.example/dir.crt`), { recursive: true });
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
  });

  it('a record that is broken is made again by the next pass, and all is undone in the end', async () => {
    put(`${certs}/a.example/hosts.toml`, 'server = "https://a.example"\n');
    await pass([north]);
    put('/var/lib/node-ca-trust/_runtimes.json', '{"ver');
    await pass([north]);
    endProcess(host.root);
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
    expect(fs.readdirSync(host.path(certs))).toEqual(['a.example']);
    expect(text(`${certs}/a.example/hosts.toml`)).toBe('server = "https://a.example"\n');
    expect(fs.existsSync(host.path('/var/lib/node-ca-trust'))).toBe(false);
  });

  it('a record that was lost just before the end, with no runtime running, costs nothing', async () => {
    await pass([north]);
    fs.rmSync(host.path('/var/lib/node-ca-trust/_runtimes.json'));
    endProcess(host.root);
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
    expect(fs.existsSync(host.path(link))).toBe(false);
  });

  it('a record that cannot be read proves nothing', async () => {
    fs.mkdirSync(host.path('/var/lib/node-ca-trust/_runtimes.json'), { recursive: true });
    expect(await pass([north])).toMatchObject({ converged: true, runtimes: [], runtimesUnseen: true });
    expect(await pass([north], { refresh: 'certs.d' })).toMatchObject({ converged: false });
    expect(await pass([], removeAll)).toMatchObject({ converged: false });
  });

  it('a record that names what is not ours leads nowhere', async () => {
    await pass([north]);
    fs.mkdirSync(host.path('/srv/empty'), { recursive: true });
    fs.symlinkSync('/srv', host.path('/srv/node-ca-trust.crt'));
    const path = '/var/lib/node-ca-trust/_runtimes.json';
    const record = JSON.parse(text(path)) as { links: string[]; made: string[] };
    put(path, JSON.stringify({ ...record, links: [...record.links, '/srv/node-ca-trust.crt'], made: ['/srv/empty'] }));
    await pass([], removeAll);
    expect(fs.readdirSync(host.path('/srv')).sort()).toEqual(['empty', 'node-ca-trust.crt']);
  });

  it('a hosts.toml that somebody made a directory does not keep anything from going', async () => {
    put(`${certs}/a.example/hosts.toml`, 'server = "https://a.example"\n');
    await pass([north]);
    fs.rmSync(host.path(`${certs}/a.example/hosts.toml`));
    fs.mkdirSync(host.path(`${certs}/a.example/hosts.toml`));
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
  });

  it('a hosts.toml that others can write by now is named by the removal, until it is mended', async () => {
    const mine = 'server = "https://a.example"\n[host]\n';
    put(`${certs}/a.example/hosts.toml`, mine);
    await pass([north]);
    fs.chownSync(hostsPath(), 0, 34);
    fs.chmodSync(hostsPath(), 0o664);
    for (let passes = 0; passes < 2; passes += 1) {
      const { converged, reasons } = await pass([], removeAll);
      expect([converged, ...reasons]).toEqual([false, expect.stringContaining(`${certs}/a.example/hosts.toml`)]);
    }
    fs.chmodSync(hostsPath(), 0o644);
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
    expect(text(`${certs}/a.example/hosts.toml`)).toBe(mine);
    expect(fs.existsSync(host.path('/var/lib/node-ca-trust'))).toBe(false);
  });

  it('a hosts.toml of others without a line of ours keeps no removal waiting', async () => {
    put(`${certs}/a.example/hosts.toml`, 'server = "https://a.example"\n[host]\n');
    await pass([north]);
    put(`${certs}/a.example/hosts.toml`, 'server = "https://b.example"\n');
    fs.chownSync(hostsPath(), 1000, 34);
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
  });

  it('a file of CAs whose name is not ASCII is found', async () => {
    put('/etc/ssl/f\u00fcr.pem', north.pem);
    put(`${certs}/a.example/hosts.toml`, 'ca = "/etc/ssl/f\u00fcr.pem"\n[host]\n');
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
  });

  it("a client's certificate and key in one file are fine for containerd", async () => {
    put(`${certs}/a.example/client.cert`, `${north.pem}-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n`);
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
    put(`${certs}/a.example/client.cert`, north.pem);
    expect(saidIn(await pass([north]))[0]).toBe('incomplete');
  });

  it("a link of our name that leads elsewhere is somebody's, and stays", async () => {
    fs.mkdirSync(host.path(`${certs}/_default`), { recursive: true });
    fs.symlinkSync('/srv/ca.pem', host.path(link));
    expect(saidIn(await pass([north]))).toEqual(['incomplete', expect.stringMatching(/not ours/)]);
    await pass([], removeAll);
    expect(fs.readlinkSync(host.path(link))).toBe('/srv/ca.pem');
  });

  it('directories that cannot be written are named, and the store is right all the same', async () => {
    fs.mkdirSync(host.path('/etc/containerd'), { recursive: true });
    // In the way, as a read-only file system would be.
    put(certs, '');
    const report = await pass([north]);
    expect(report).toMatchObject({ converged: true, edits: [], runtimes: [{ state: 'incomplete' }] });
    expect(report.runtimes[0]).not.toHaveProperty('aside');
    expect(report.runtimes[0]?.message).toMatch(/certs\.d\/_default/);
    expect(host.trusts(north)).toBe(true);
    expect(await pass([], removeAll)).toMatchObject({ converged: true });
  });

  it('a link that can be spared and cannot be made is noted, keeps pulls from nothing, and is not tried again and again', async () => {
    put(`${certs}/_default/hosts.toml`, `ca = "${bundlePath}"\n[host."http://127.0.0.1:30020"]\n`);
    const directory = host.path(`${certs}/_default`);
    execFileSync('mount', ['--bind', directory, directory]);
    onTestFinished(() => {
      execFileSync('umount', [directory]);
    });
    execFileSync('mount', ['-o', 'remount,bind,ro', directory]);
    const reconciler = openReconciler(settings({}), () => readings(north), clock);
    const notes = [expect.stringMatching(/_default\/node-ca-trust\.crt on the host is needed only where/)];
    const said = { converged: true, edits: [], notes, runtimes: [{ state: 'trusts' }] };
    expect((await reconciler.pass()).report).toMatchObject(said);
    expect((await reconciler.pass()).report).toMatchObject(said);
    const runtimes = openRuntimes(openHost(host.root), bundlePath, { ...settings({}), clock });
    expect([...runtimes.keep(await runtimes.observe(true)).keys()]).toEqual([link]);
    expect((await runtimes.observe(true)).todo).toBe('nothing');
    execFileSync('mount', ['-o', 'remount,bind,rw', directory]);
    // Beside something else.
    fs.mkdirSync(host.path(`${certs}/b.example`));
    await reconciler.pass();
    expect(fs.readlinkSync(host.path(link))).toBe(bundlePath);
    expect((await reconciler.pass()).report).toMatchObject({ ...said, notes: [] });
  });

  it('a link that can be spared and could not be made for want of space is tried again by itself', async () => {
    put(`${certs}/_default/hosts.toml`, '');
    const directory = host.path(`${certs}/_default`);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'nr_inodes=2,mode=755', 'tmpfs', directory]);
    onTestFinished(() => {
      execFileSync('umount', [directory]);
    });
    put(`${certs}/_default/hosts.toml`, `ca = "${bundlePath}"\n[host."http://127.0.0.1:30020"]\n`);
    const reconciler = openReconciler(settings({}), () => readings(north), clock);
    const notes = [expect.stringMatching(/is needed only where .*\(ENOSPC\)$/)];
    expect((await reconciler.pass()).report).toMatchObject({ converged: true, notes, runtimes: [{ state: 'trusts' }] });
    execFileSync('mount', ['-o', 'remount,nr_inodes=20', directory]);
    expect((await reconciler.pass()).report).toMatchObject({ converged: true, notes: [], edits: [link] });
    expect(fs.readlinkSync(host.path(link))).toBe(bundlePath);
  });

  it('a link that runs in a circle costs nobody else anything', async () => {
    fs.mkdirSync(host.path(certs), { recursive: true });
    fs.symlinkSync('circle.example', host.path(`${certs}/circle.example`));
    expect(saidIn(await pass([north]))[0]).toBe('trusts');
    expect(fs.readlinkSync(host.path(link))).toBe(bundlePath);
  });

  it.each([
    [
      'leads nowhere',
      (path: string) => {
        fs.symlinkSync('/no/where', path);
      },
    ],
    [
      'has no certificate',
      (path: string) => {
        fs.writeFileSync(path, 'nothing');
      },
    ],
  ])("another's file of CAs that %s is named: every pull by its directory fails", async (_, make) => {
    fs.mkdirSync(host.path(`${certs}/_default`), { recursive: true });
    make(host.path(`${certs}/_default/theirs.crt`));
    const [state, message] = saidIn(await pass([north]));
    expect([state, message]).toEqual(['incomplete', expect.stringContaining(`${certs}/_default/theirs.crt`)]);
  });

  it('leaves nothing of a removal that was killed', async () => {
    put(`${certs}/a.example/hosts.toml`, 'server = "https://a.example"\n');
    await pass([north]);
    put(`${certs}/a.example/.node-ca-trust.toml.0123abcd.tmp`, 'half');
    await pass([], removeAll);
    expect(fs.readdirSync(host.path(`${certs}/a.example`))).toEqual(['hosts.toml']);
  });

  it('leaves nothing of an edit that was killed', async () => {
    put(`${certs}/_default/.node-ca-trust.crt.0123abcd.tmp`, '');
    put(`${certs}/_default/.node-ca-trust.toml.0123abcd.tmp`, '');
    await pass([north]);
    expect(fs.readdirSync(host.path(`${certs}/_default`))).toEqual(['node-ca-trust.crt']);
  });
});

describe.skipIf(process.getuid?.() !== 0)('dockerd and CRI-O', () => {
  beforeEach(() => {
    endProcess(host.root);
  });

  it.each([
    ['dockerd', 'docker', ['/etc/docker/certs.d']],
    ['crio', 'cri-o', ['/etc/containers/certs.d', '/etc/docker/certs.d']],
  ])('%s has a directory for each registry that was named or is there', async (comm, name, directories) => {
    const [root = ''] = directories;
    showProcess(host.root, { comm, argv: [`/usr/bin/${comm}`], groups: `0::/system.slice/${comm}.service\n` });
    fs.mkdirSync(host.path(`${root}/there.example`), { recursive: true });
    const report = await pass([north], { registries: ['named.example:5000'] });
    expect(report.runtimes).toMatchObject([{ name, state: 'trusts', directories }]);
    for (const registry of ['there.example', 'named.example:5000']) {
      expect(fs.readlinkSync(host.path(`${root}/${registry}/node-ca-trust.crt`))).toBe(bundlePath);
    }
    expect(fs.existsSync(host.path(`${root}/_default`))).toBe(false);
    await pass([], removeAll);
    expect(fs.readdirSync(host.path(root))).toEqual(['there.example']);
  });

  it('CRI-O takes the first root that has a registry, so none is made before one that is there', async () => {
    showProcess(host.root, { comm: 'crio', argv: ['/usr/bin/crio'], groups: '0::/system.slice/crio.service\n' });
    for (const name of ['named.example', 'there.example']) put(`/etc/docker/certs.d/${name}/ca.crt`, north.pem);
    const report = await pass([north], { registries: ['named.example', 'new.example'] });
    expect(report.runtimes).toMatchObject([{ state: 'trusts' }]);
    expect(fs.readdirSync(host.path('/etc/containers/certs.d'))).toEqual(['new.example']);
    for (const name of ['named.example', 'there.example']) {
      expect(fs.readlinkSync(host.path(`/etc/docker/certs.d/${name}/node-ca-trust.crt`))).toBe(bundlePath);
    }
  });

  const startDocker = (): void => {
    showProcess(host.root, {
      comm: 'dockerd',
      argv: ['/usr/bin/dockerd'],
      groups: '0::/system.slice/docker.service\n',
    });
    installBus({ pid: 91, comm: 'dockerd', ticks: 10_500, groups: '0::/system.slice/docker.service\n' });
  };

  it.each([
    ['off', { LiveRestoreEnabled: false }, /^docker: not restarted: .*"live-restore": true/],
    ['not known', undefined, /^docker: not restarted: it did not say whether that would stop its containers/],
  ])('dockerd is not restarted where that would stop its containers: live-restore is %s', async (_, info, said) => {
    startDocker();
    await answerJson(host.root, '/var/run/docker.sock', { '/version': { Version: '20.10.24' }, '/info': info });
    const report = await pass([north], { refresh: 'restart' });
    expect(report).toMatchObject({ converged: false, runtimes: [{ pid: 90, state: 'restart-needed' }] });
    expect(report.reasons[0]).toMatch(said);
    expect(restarts()).toBe(0);
  });

  it("dockerd wants a client's key in a file of its own", async () => {
    startDocker();
    put(
      '/etc/docker/certs.d/a.example/client.cert',
      `${north.pem}-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n`,
    );
    const report = await pass([north], { registries: ['a.example'] });
    expect(saidIn(report)).toEqual(['incomplete', expect.stringContaining('client.cert')]);
  });

  it('dockerd is restarted where its containers stay', async () => {
    startDocker();
    const info = { LiveRestoreEnabled: true };
    await answerJson(host.root, '/var/run/docker.sock', { '/version': { Version: '20.10.24' }, '/info': info });
    expect(await pass([north], { refresh: 'restart' })).toMatchObject({ converged: true, runtimes: [{ pid: 91 }] });
    expect(restarts()).toBe(1);
  });

  it('is restarted though another runtime beside it, which comes first, must not be', async () => {
    configure('');
    showProcess(host.root, { argv: ['/usr/bin/containerd', '--config', '/etc/containerd/config.toml'] });
    const ofDocker = { comm: 'dockerd', argv: ['/usr/bin/dockerd'], groups: '0::/system.slice/docker.service\n' };
    showProcess(host.root, { ...ofDocker, pid: 95 });
    const answers = { '/version': { Version: '20.10.24' }, '/info': { LiveRestoreEnabled: true } };
    await answerJson(host.root, '/var/run/docker.sock', answers);
    installBus({ ...ofDocker, pid: 91, ticks: 20_000 }, '95');
    const reconciler = openReconciler(settings({ refresh: 'restart', jitterMs: 0 }), () => readings(north), clock);
    expect((await reconciler.pass()).report.runtimes).toMatchObject([{ pid: 90 }, { pid: 95 }]);
    put('/etc/containerd/config.toml', 'version = 2\n[plugins\n');
    setUptime(host.root, 200);
    const { report } = await reconciler.pass();
    expect(report.reasons[0]).toMatch(/^containerd: not restarted: its configuration is broken: /);
    expect(text('/restarts')).toMatch(/^[^\n]*docker\.service[^\n]*\n$/);
    expect(report.runtimes).toMatchObject([
      { name: 'containerd', pid: 90, state: 'restart-needed' },
      { name: 'docker', pid: 91, state: 'trusts' },
    ]);
  });

  it('with a registry of those named that cannot be served, keep pods waiting', async () => {
    startDocker();
    fs.mkdirSync(host.path('/etc/docker/certs.d/b.example'), { recursive: true });
    put('/etc/docker/certs.d/a.example/node-ca-trust.crt', 'of somebody else');
    const [runtime] = (await pass([north], { registries: ['a.example'] })).runtimes;
    expect(runtime?.state).toBe('incomplete');
    expect(runtime).not.toHaveProperty('aside');
    const [other] = (await pass([north], { registries: ['b.example'] })).runtimes;
    expect(other).toMatchObject({ state: 'incomplete', aside: true });
  });

  it.each([[[]], [['unrelated.example']]])(
    'need names: without any they need a restart, and say which option helps, whatever else is there: %j',
    async (there) => {
      startDocker();
      for (const name of there) fs.mkdirSync(host.path(`/etc/docker/certs.d/${name}`), { recursive: true });
      const [state, message] = saidIn(await pass([north]));
      expect([state, message]).toEqual(['restart-needed', expect.stringContaining('--registry')]);
      // What is there is served all the same.
      for (const name of there) {
        expect(fs.readlinkSync(host.path(`/etc/docker/certs.d/${name}/node-ca-trust.crt`))).toBe(bundlePath);
      }
      const info = { LiveRestoreEnabled: true };
      await answerJson(host.root, '/var/run/docker.sock', { '/version': { Version: '20.10.24' }, '/info': info });
      const report = await pass([north], { refresh: 'restart' });
      expect(report).toMatchObject({ converged: true, runtimes: [{ pid: 91, state: 'trusts' }] });
      expect(restarts()).toBe(1);
    },
  );
});
