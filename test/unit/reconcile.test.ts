import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Reading } from '../../src/bundle/types.ts';
import type { Clock } from '../../src/host/clock.ts';
import { type PassSettings, type Reconciler, openReconciler } from '../../src/reconcile.ts';
import type { Report } from '../../src/report/report.ts';
import { emptyHost } from './support/directories.ts';
import { diskSteps } from './support/disk-steps.ts';
import { type Fixture, east, leaf, north, south, world } from './support/fixtures.ts';
import { type LittleHost, anchorDirectory, bundlePath, littleHost } from './support/little-host.ts';
import { setUptime } from './support/runtime.ts';

const stateDirectory = '/var/lib/node-ca-trust';
const ledgerPath = `${stateDirectory}/default.json`;

/** Each look at it is a second later, so that a test knows how long a pass took. */
function tickingClock(): Clock {
  let time = Date.now();
  const now = (): number => (time += 1_000);
  return { now, steady: now, sleep: () => Promise.resolve() };
}

const bundle = (...certificates: readonly Fixture[]): readonly Reading[] => [
  {
    files: certificates.map(({ pem, fingerprint }) => ({ source: `/bundle/${fingerprint}`, bytes: Buffer.from(pem) })),
    findings: [],
  },
];
const unreadable: readonly Reading[] = [
  { files: [], findings: [{ code: 'unreadable', severity: 'error', source: '/bundle', message: 'no such directory' }] },
];

const settingsFor = (hostRoot: string, changed: Partial<PassSettings> = {}): PassSettings => ({
  hostRoot,
  instance: 'default',
  rules: { allowLeaf: false, allowEmpty: false, maxCertificates: 100 },
  policy: { strict: false, removeAll: false },
  dryRun: false,
  lockWaitMs: 10_000,
  refresh: 'auto',
  registries: [],
  probes: [],
  ...changed,
});

/** One pass of a process that starts anew. */
async function passOn(
  root: string,
  readings: readonly Reading[],
  changed: Partial<PassSettings> = {},
): Promise<Report> {
  return (await openReconciler(settingsFor(root, changed), () => readings, tickingClock()).pass()).report;
}

const removeAll: Partial<PassSettings> = { policy: { strict: false, removeAll: true } };
const strict: Partial<PassSettings> = { policy: { strict: true, removeAll: false } };
const allowEmpty: Partial<PassSettings> = { rules: { allowLeaf: false, allowEmpty: true, maxCertificates: 100 } };
const nameOf = ({ fingerprint }: Fixture, instance = 'default'): string =>
  `node-ca-trust-${instance}-${fingerprint.slice(0, 16)}.crt`;
const namesOf = (...certificates: readonly Fixture[]): readonly string[] =>
  certificates.map((one) => nameOf(one)).sort();
const sortedPrints = (...certificates: readonly Fixture[]): readonly string[] =>
  certificates.map(({ fingerprint }) => fingerprint).sort();

function put(host: LittleHost, path: string, text: string): void {
  fs.mkdirSync(dirname(host.path(path)), { recursive: true });
  fs.writeFileSync(host.path(path), text);
}

const fileOf = (host: LittleHost, certificate: Fixture): string =>
  host.path(`${anchorDirectory}/${nameOf(certificate)}`);
const ledgerOf = (
  host: LittleHost,
): { readonly files: readonly { readonly name: string }[]; readonly announced: unknown } =>
  JSON.parse(fs.readFileSync(host.path(ledgerPath), 'utf8')) as ReturnType<typeof ledgerOf>;

const always = [
  'added',
  'anchors',
  'converged',
  'digest',
  'dryRun',
  'edits',
  'findings',
  'heldBack',
  'instance',
  'milliseconds',
  'notes',
  'probes',
  'reasons',
  'refreshed',
  'removed',
  'repaired',
  'runtimes',
  'stillTrusted',
].sort();

describe('a pass that cannot look at the host', () => {
  it.each([
    ['is not there', '/no/such/root', /no such directory/],
    ['is no root file system', '/proc/self/fdinfo', /not a root file system/],
  ])('says that it %s, and does not throw', async (_, root, reason) => {
    const report = await passOn(root, bundle(north));
    expect(report).toMatchObject({
      converged: false,
      added: [],
      anchors: [north.fingerprint],
      reasons: [expect.stringMatching(reason)],
    });
    expect(Object.keys(report).sort()).toEqual(always);
  });

  it('says that the distribution is not known, and still judges the bundle', async () => {
    const host = emptyHost();
    const report = await passOn(host.root, bundle(north, leaf));
    expect(report.reasons).toEqual([expect.stringMatching(/os-release/)]);
    expect(report.findings).toMatchObject([{ code: 'not-a-ca', severity: 'error' }]);
    expect(report.store).toBeUndefined();
  });

  it('finds the host once it is there', async () => {
    const host = emptyHost();
    const reconciler = openReconciler(settingsFor(host.root, { dryRun: true }), () => bundle(), tickingClock());
    await reconciler.pass();
    expect(reconciler.watched()).toEqual([]);
    for (const path of ['/etc/ssl/certs', '/usr/bin/flock', '/usr/bin/openssl', '/usr/sbin/update-ca-certificates']) {
      host.makeDirectory(path);
    }
    host.write('/etc/os-release', 'ID=debian\n');
    expect((await reconciler.pass()).report.store?.family).toBe('debian');
    const paths = reconciler.watched().map(({ path }) => path);
    expect(paths).toContain(`${host.root}/etc/ssl/certs`);
    expect(paths.filter((path) => !path.startsWith(`${host.root}/`))).toEqual([]);
  });
});

describe('a dry run', () => {
  it('changes nothing, and says what would change', async () => {
    const host = littleHost();
    const before = host.snapshot();
    const report = await passOn(host.root, bundle(north, leaf), { dryRun: true });
    expect(report).toMatchObject({
      converged: false,
      dryRun: true,
      added: [north.fingerprint],
      refreshed: ['1 to install'],
      store: { family: 'debian', bundle: bundlePath },
    });
    expect(host.snapshot()).toEqual(before);
    expect(host.runs()).toBe(0);
  });

  it('has nothing to say on a host without anything of ours when all is to be removed', async () => {
    const report = await passOn(littleHost().root, [], { dryRun: true, ...removeAll });
    expect(report).toMatchObject({ converged: true, removed: [], refreshed: [], reasons: [] });
  });
});

describe.skipIf(process.getuid?.() !== 0)('a pass', () => {
  it('installs the bundle and proves it', async () => {
    const host = littleHost();
    const report = await passOn(host.root, bundle(north, south));
    expect(report).toMatchObject({
      converged: true,
      added: sortedPrints(north, south),
      repaired: [],
      removed: [],
      refreshed: ['2 to install'],
      reasons: [],
    });
    expect(host.anchors()).toEqual(namesOf(north, south));
    expect([host.trusts(north), host.trusts(south), host.trusts(world)]).toEqual([true, true, true]);
    expect(fs.readFileSync(fileOf(host, north), 'latin1')).toBe(north.pem);
  });

  it('reports the same keys for scripts always, and how long it took', async () => {
    const host = littleHost();
    for (const report of [await passOn(host.root, bundle(north)), await passOn(host.root, bundle(north))]) {
      expect(Object.keys(report).sort()).toEqual([...always, 'store'].sort());
      expect(report.store).toEqual({ family: 'debian', bundle: bundlePath });
      expect(report.milliseconds).toBeGreaterThanOrEqual(1_000);
      expect(report.digest).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  it('writes nothing and starts no process when there is nothing to do', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    const before = host.snapshot();
    fs.rmSync(host.path('/usr/bin/flock'));
    fs.writeFileSync(host.path('/usr/bin/flock'), '');
    const report = await passOn(host.root, bundle(north));
    expect(report).toMatchObject({ converged: true, added: [], refreshed: [] });
    expect([host.runs(), host.snapshot()]).toEqual([1, before]);
  });

  it('rotates in one run of the refresh command', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    const report = await passOn(host.root, bundle(south));
    expect(report).toMatchObject({ converged: true, added: [south.fingerprint], removed: [north.fingerprint] });
    expect(host.anchors()).toEqual(namesOf(south));
    expect([host.trusts(north), host.trusts(south), host.runs()]).toEqual([false, true, 2]);
  });

  it('rotates without a moment at which a look-up by hash finds neither certificate', async () => {
    const host = littleHost();
    const link = ({ subjectHash }: Fixture): string => `certs/${subjectHash}.0`;
    for (const [from, to] of [
      [north, south],
      [south, north],
    ] as const) {
      await passOn(host.root, bundle(from));
      const steps = diskSteps();
      await passOn(host.root, bundle(to));
      const [made, gone] = [`link ${link(to)}`, `remove ${link(from)}`];
      expect(steps.filter((step) => step === made || step === gone)).toEqual([made, gone]);
    }
  });

  it('leaves the host as it was when all is removed', async () => {
    const host = littleHost();
    const before = host.snapshot();
    await passOn(host.root, bundle(north, south));
    const report = await passOn(host.root, [], removeAll);
    expect(report).toMatchObject({ converged: true, removed: sortedPrints(north, south), anchors: [], reasons: [] });
    const after = new Map(host.snapshot());
    after.delete('etc/ssl/certs/world.pem'); // the tool's own link, which it makes in any run
    expect(after).toEqual(before);
    expect(await passOn(host.root, [], removeAll)).toMatchObject({ converged: true, removed: [], refreshed: [] });
  });

  it('leaves no directory behind that was not there before it', async () => {
    const host = littleHost();
    fs.rmSync(host.path('/usr/local'), { recursive: true });
    const before = host.snapshot();
    await passOn(host.root, bundle(north));
    expect(host.anchors()).toEqual(namesOf(north));
    await passOn(host.root, [], removeAll);
    expect(fs.existsSync(host.path('/usr/local'))).toBe(false);
    expect([...before.keys()].filter((path) => !host.snapshot().has(path))).toEqual([]);
  });

  it('leaves an empty directory alone that the ledger names and nobody made for it', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    fs.mkdirSync(host.path('/srv/empty'), { recursive: true });
    put(host, ledgerPath, JSON.stringify({ ...ledgerOf(host), made: ['/srv/empty'] }));
    await passOn(host.root, [], removeAll);
    expect(fs.existsSync(host.path('/srv/empty'))).toBe(true);
  });

  it.each(['lost', 'broken'])('leaves nothing behind when all is removed with a ledger that is %s', async (how) => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    if (how === 'lost') fs.rmSync(host.path(stateDirectory), { recursive: true });
    else put(host, ledgerPath, '{');
    expect(await passOn(host.root, [], removeAll)).toMatchObject({ converged: true, removed: [north.fingerprint] });
    expect(host.anchors()).toEqual([]);
    expect(fs.existsSync(host.path(stateDirectory))).toBe(false);
  });

  it('installs the good one beside a broken one, and holds removals back', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    const report = await passOn(host.root, bundle(south, leaf));
    expect(report).toMatchObject({
      converged: false,
      added: [south.fingerprint],
      removed: [],
      heldBack: [north.fingerprint],
    });
    expect(report.reasons).toEqual([expect.stringMatching(/^not-a-ca: .*removal/)]);
    expect(host.anchors()).toEqual(namesOf(north, south));
  });

  it.each([
    ['empty', bundle()],
    ['unreadable', unreadable],
  ])('removes nothing while the bundle is %s', async (_, readings) => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    const report = await passOn(host.root, readings);
    expect(report).toMatchObject({ converged: false, removed: [], heldBack: [north.fingerprint] });
    expect([host.trusts(north), host.runs()]).toEqual([true, 1]);
  });

  it('removes with an empty bundle when that is allowed', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    expect(await passOn(host.root, bundle(), allowEmpty)).toMatchObject({
      converged: true,
      removed: [north.fingerprint],
    });
  });

  it('changes nothing when it is strict and the bundle has an error', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    const report = await passOn(host.root, bundle(north, south, leaf), strict);
    expect(report).toMatchObject({ converged: false, added: [], removed: [], heldBack: [north.fingerprint] });
    expect(host.anchors()).toEqual(namesOf(north));
  });

  it.each<[string, (host: LittleHost) => void]>([
    [
      'the file of an anchor',
      (host) => {
        fs.rmSync(fileOf(host, north));
      },
    ],
    [
      'what is in it',
      (host) => {
        fs.writeFileSync(fileOf(host, north), east.pem);
      },
    ],
    [
      'its end',
      (host) => {
        fs.truncateSync(fileOf(host, north), 100);
      },
    ],
    [
      'its hash link',
      (host) => {
        fs.rmSync(host.path(`/etc/ssl/certs/${north.subjectHash}.0`));
      },
    ],
    [
      'its link',
      (host) => {
        fs.rmSync(host.path(`/etc/ssl/certs/${nameOf(north).replace('.crt', '.pem')}`));
      },
    ],
    [
      'its place in the bundle',
      (host) => {
        fs.writeFileSync(host.path(bundlePath), world.pem);
      },
    ],
    [
      'the end of the bundle',
      (host) => {
        fs.truncateSync(host.path(bundlePath), fs.statSync(host.path(bundlePath)).size - 100);
      },
    ],
    [
      'the bundle',
      (host) => {
        fs.rmSync(host.path(bundlePath));
      },
    ],
  ])('repairs %s', async (_, harm) => {
    const host = littleHost();
    await passOn(host.root, bundle(north, south));
    harm(host);
    const report = await passOn(host.root, bundle(north, south));
    expect(report).toMatchObject({ converged: true, added: [], removed: [], reasons: [] });
    expect(report.repaired).toContain(north.fingerprint);
    expect([host.trusts(north), host.trusts(south), host.trusts(east)]).toEqual([true, true, false]);
    expect(await passOn(host.root, bundle(north, south))).toMatchObject({ converged: true, refreshed: [] });
  });

  it.each(['lost', 'broken'])('finds its files again when the ledger is %s', async (how) => {
    const host = littleHost();
    await passOn(host.root, bundle(north, south));
    if (how === 'lost') fs.rmSync(host.path(ledgerPath));
    else put(host, ledgerPath, '\0'.repeat(100));
    const report = await passOn(host.root, bundle(south));
    expect(report).toMatchObject({ converged: true, removed: [north.fingerprint] });
    expect(host.anchors()).toEqual(namesOf(south));
    expect(ledgerOf(host)).toMatchObject({ files: [{ name: nameOf(south) }], announced: [nameOf(south)] });
  });

  it('leaves the files of another instance, and of others, alone', async () => {
    const host = littleHost();
    put(host, `${anchorDirectory}/by-hand.crt`, east.pem);
    await passOn(host.root, bundle(north), { instance: 'pool-a' });
    await passOn(host.root, bundle(north, south));
    expect(await passOn(host.root, [], removeAll)).toMatchObject({ converged: true });
    expect(host.anchors()).toEqual(['by-hand.crt', nameOf(north, 'pool-a')]);
    expect([host.trusts(east), host.trusts(north), host.trusts(south)]).toEqual([true, true, false]);
  });

  it('says which file of another still carries what it removed', async () => {
    const host = littleHost();
    put(host, `${anchorDirectory}/by-hand.crt`, north.pem);
    await passOn(host.root, bundle(north));
    const report = await passOn(host.root, [], removeAll);
    expect(report).toMatchObject({
      converged: true,
      stillTrusted: [{ fingerprint: north.fingerprint, file: `${anchorDirectory}/by-hand.crt` }],
    });
  });

  it('goes on where a killed pass stopped', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    // Killed after the intent was written, half of the files were moved, and the tool had begun.
    const ledger = ledgerOf(host);
    put(
      host,
      ledgerPath,
      JSON.stringify({ ...ledger, files: [...ledger.files, { name: nameOf(south), fingerprint: south.fingerprint }] }),
    );
    fs.rmSync(fileOf(host, north));
    put(host, `${anchorDirectory}/.${nameOf(south)}.0123abcd.tmp`, south.pem.slice(0, 50));
    put(host, '/etc/ssl/.node-ca-trust-default/bundle.crt.new', world.pem.slice(0, 100));
    put(host, `${stateDirectory}/default.work/ca-certificates.conf`, '');
    const report = await passOn(host.root, bundle(south));
    expect(report).toMatchObject({ converged: true, removed: [north.fingerprint], added: [south.fingerprint] });
    expect(fs.readdirSync(host.path(anchorDirectory))).toEqual([nameOf(south)]);
    expect(fs.readdirSync(host.path('/etc/ssl'))).toEqual(['certs']);
    expect(fs.readdirSync(host.path(stateDirectory))).toEqual(['default.json']);
    expect(host.trusts(north)).toBe(false);
  });

  it('takes off the directories that a killed pass left, whatever somebody put in, and refreshes once more', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    for (const path of ['/etc/ssl/.node-ca-trust-default', `${stateDirectory}/default.work/by-hand`]) {
      fs.mkdirSync(host.path(path), { recursive: true });
    }
    const refreshed = ['an earlier pass was ended before it was done'];
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true, refreshed });
    expect(fs.readdirSync(host.path('/etc/ssl'))).toEqual(['certs']);
    expect(fs.readdirSync(host.path(stateDirectory))).toEqual(['default.json']);
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true, refreshed: [] });
    expect(host.runs()).toBe(2);
  });

  it('refreshes once more where that mended nothing, and then says what is wrong', async () => {
    const host = littleHost();
    fs.mkdirSync(host.path(`/etc/ssl/certs/${nameOf(north).replace('.crt', '.pem')}`));
    const reasons = [expect.stringMatching(/North Root.* is not found by its hash link/)];
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: false, reasons });
    expect(host.runs()).toBe(2);
  });

  it('says why the refresh failed, leaves the bundle as it was, and succeeds once that is mended', async () => {
    const host = littleHost();
    put(host, '/broken', 'line one\nthe disk is odd\u001b[31m\u202e\n');
    const report = await passOn(host.root, bundle(north));
    expect(report).toMatchObject({
      converged: false,
      added: [],
      reasons: [expect.stringMatching(/update-ca-certificates .*the disk is odd\\u\{1b\}\[31m\\u\{202e\}/)],
    });
    expect([host.trusts(north), host.trusts(world)]).toEqual([false, true]);
    fs.rmSync(host.path('/broken'));
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true });
    expect(fs.readdirSync(host.path('/etc/ssl'))).toEqual(['certs']);
  });

  it('ends a refresh that hangs after three minutes, leaves the bundle as it was, and succeeds once that is mended', async () => {
    const host = littleHost();
    const tool = host.path('/usr/sbin/update-ca-certificates');
    const before = [fs.readFileSync(tool, 'utf8'), fs.readFileSync(host.path(bundlePath), 'utf8')];
    fs.writeFileSync(tool, '#!/bin/sh\necho run >> /runs\nexec sleep 1000\n');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const passing = passOn(host.root, bundle(north));
    await vi.waitUntil(() => host.runs() === 1, { timeout: 20_000 });
    await vi.advanceTimersByTimeAsync(180_000);
    expect(await passing).toMatchObject({
      converged: false,
      added: [],
      reasons: [expect.stringMatching(/^update-ca-certificates on the host took too long and was ended and wrote no/)],
    });
    expect([host.runs(), fs.readFileSync(host.path(bundlePath), 'utf8')]).toEqual([1, before[1]]);
    vi.useRealTimers();
    fs.writeFileSync(tool, before[0] ?? '');
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true, added: [north.fingerprint] });
  });

  it.each(['/usr/sbin/update-ca-certificates', '/usr/bin/flock'])(
    'says what to install when %s is lost',
    async (tool) => {
      const host = littleHost();
      const reconciler = openReconciler(settingsFor(host.root), () => bundle(north), tickingClock());
      await reconciler.pass();
      const before = host.snapshot();
      fs.renameSync(host.path(tool), host.path('/away'));
      fs.rmSync(fileOf(host, north));
      const { report } = await reconciler.pass();
      expect(report.reasons).toEqual([expect.stringMatching(`has no ${tool}; install the package `)]);
      fs.renameSync(host.path('/away'), host.path(tool));
      expect((await reconciler.pass()).report).toMatchObject({ converged: true, repaired: [north.fingerprint] });
      expect(host.snapshot()).toEqual(before);
    },
  );

  it('serves a host whose certificate directory is a link to another place', async () => {
    const host = littleHost();
    fs.mkdirSync(host.path('/var/lib/tls'), { recursive: true });
    fs.renameSync(host.path('/etc/ssl/certs'), host.path('/var/lib/tls/certs'));
    fs.symlinkSync('/var/lib/tls/certs', host.path('/etc/ssl/certs'));
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true, added: [north.fingerprint] });
    expect(fs.readdirSync(host.path('/var/lib/tls'))).toEqual(['certs']);
    expect(await passOn(host.root, [], removeAll)).toMatchObject({ converged: true, removed: [north.fingerprint] });
  });

  it('says that the host cannot be locked', async () => {
    const host = littleHost();
    fs.rmSync(host.path('/usr/bin/flock'));
    put(host, '/usr/bin/flock', 'no program\n');
    const report = await passOn(host.root, bundle(north));
    expect(report.reasons).toEqual([expect.stringMatching(/^cannot lock \/var\/lib\/node-ca-trust on the host: /)]);
    expect(host.anchors()).toEqual([]);
  });

  it('proves a removal again that an earlier pass could not prove', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north, south));
    put(host, '/broken', 'odd\n');
    expect(await passOn(host.root, bundle(south))).toMatchObject({ converged: false });
    expect(host.trusts(north)).toBe(true);
    fs.rmSync(host.path('/broken'));
    expect(await passOn(host.root, bundle(south))).toMatchObject({ converged: true, removed: [north.fingerprint] });
    expect(host.trusts(north)).toBe(false);
  });

  it('goes on although somebody selects a directory as a certificate', async () => {
    const host = littleHost();
    fs.mkdirSync(host.path('/usr/share/ca-certificates/mozilla'));
    put(host, '/etc/ca-certificates.conf', 'world.crt\nmozilla\n');
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true, reasons: [] });
  });

  it('keeps broken blocks of another out of the bundle, and names the file', async () => {
    const host = littleHost();
    const key = '-----BEGIN PRIVATE KEY-----\nAAECAwQFBgcICQoLDA0ODw==\n-----END PRIVATE KEY-----\n';
    put(host, `${anchorDirectory}/by-hand.crt`, key + east.pem + south.pem.slice(0, 200));
    const report = await passOn(host.root, bundle(north));
    expect(report).toMatchObject({ converged: true, reasons: [] });
    expect(report.notes).toEqual([expect.stringMatching(/by-hand\.crt on the host.*broken/) as unknown]);
    expect([host.trusts(north), host.trusts(east), host.trusts(world)]).toEqual([true, true, true]);
    expect(fs.readFileSync(host.path(bundlePath), 'latin1')).not.toContain('PRIVATE KEY');
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true, refreshed: [] });
  });

  it.each([
    ['was left behind', 3_600, false],
    ['somebody may still write to', 0, true],
  ])('knows a temporary bundle that %s', async (_, age, stays) => {
    const host = littleHost();
    const temporary = `${bundlePath}.new`;
    put(host, temporary, world.pem);
    const then = Date.now() / 1_000 - age;
    fs.utimesSync(host.path(temporary), then, then);
    await passOn(host.root, bundle(), allowEmpty);
    expect(fs.existsSync(host.path(temporary))).toBe(stays);
  });

  it.each([
    ['a name that Go does not know', (pem: string) => pem.replaceAll('CERTIFICATE', 'X509 CERTIFICATE')],
    ['lines that end as on old Macs', (pem: string) => `${pem.replaceAll('\n', '\r')}\n`],
    ['headers', (pem: string) => pem.replace('\n', '\nName: north\n\n')],
  ])('takes a certificate with %s for none that all programs trust, and mends it in one pass', async (_, change) => {
    const host = littleHost();
    await passOn(host.root, bundle(north));
    fs.writeFileSync(host.path(bundlePath), world.pem + change(north.pem));
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true, repaired: [north.fingerprint] });
    expect(host.trusts(north)).toBe(true);
    fs.writeFileSync(fileOf(host, north), change(north.pem));
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true, repaired: [north.fingerprint] });
    // In a file of another it has no end: it is read by some, and ours is there beside it.
    put(host, `${anchorDirectory}/corp.crt`, change(north.pem));
    fs.writeFileSync(host.path(bundlePath), world.pem + change(north.pem));
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true, repaired: [north.fingerprint] });
    expect(host.trusts(north)).toBe(true);
    expect(await passOn(host.root, bundle(north))).toMatchObject({ converged: true, refreshed: [] });
  });

  it('tells the hooks of each addition and removal once', async () => {
    const host = littleHost();
    put(
      host,
      '/etc/ca-certificates/update.d/tell',
      '#!/bin/sh\nwhile read -r line; do echo "$line" >> /told; done\nexit 0\n',
    );
    fs.chmodSync(host.path('/etc/ca-certificates/update.d/tell'), 0o755);
    const linkOf = (certificate: Fixture): string => `/etc/ssl/certs/${nameOf(certificate).replace('.crt', '.pem')}`;
    await passOn(host.root, bundle(north));
    await passOn(host.root, bundle(south));
    const told = fs.readFileSync(host.path('/told'), 'utf8').split('\n');
    expect(told.filter((line) => line.includes('node-ca-trust'))).toEqual([
      `+${linkOf(north)}`,
      `+${linkOf(south)}`,
      `-${linkOf(north)}`,
    ]);
  });
});

describe.skipIf(process.getuid?.() !== 0)('a file of another that bears a name of ours', () => {
  /** Somebody's own certificate under the name that north would have. */
  function occupied(): LittleHost {
    const host = littleHost();
    put(host, `${anchorDirectory}/${nameOf(north)}`, east.pem);
    fs.writeFileSync(host.path(bundlePath), world.pem + east.pem);
    return host;
  }

  it('is named, and the other anchors are installed', async () => {
    const host = occupied();
    const report = await passOn(host.root, bundle(north, south));
    expect(report.converged).toBe(false);
    expect(report.reasons).toContainEqual(expect.stringMatching(new RegExp(`^${nameOf(north)} .*move it away`)));
    expect([host.trusts(south), host.trusts(east)]).toEqual([true, true]);
  });

  it('is never adopted, however many passes are made', async () => {
    const host = occupied();
    for (let round = 0; round < 3; round += 1) await passOn(host.root, bundle(north, south));
    expect(fs.readFileSync(fileOf(host, north), 'latin1')).toBe(east.pem);
    await passOn(host.root, bundle(south));
    await passOn(host.root, [], removeAll);
    expect(fs.readFileSync(fileOf(host, north), 'latin1')).toBe(east.pem);
  });

  it('stays where it is a link by way of a neighbour to where the agent sees nothing', async () => {
    const host = littleHost();
    const neighbour = host.path(`${anchorDirectory}/corp.pem`);
    fs.mkdirSync(dirname(neighbour), { recursive: true });
    fs.symlinkSync('/opt/corp/ca.pem', neighbour);
    fs.symlinkSync('corp.pem', fileOf(host, north));
    const report = await passOn(host.root, bundle(north, south));
    expect(report.reasons).toEqual([expect.stringMatching(new RegExp(`^${nameOf(north)} .*move it away`))]);
    expect(host.trusts(south)).toBe(true);
    await passOn(host.root, [], removeAll);
    expect(fs.readlinkSync(fileOf(host, north))).toBe('corp.pem');
  });

  it('keeps no removal from being finished', async () => {
    const host = littleHost();
    setUptime(host.root, 100);
    await passOn(host.root, bundle(south, east));
    put(host, `${anchorDirectory}/${nameOf(north)}`, 'of somebody else');
    const removal = await passOn(host.root, bundle(north, south));
    expect(removal).toMatchObject({ converged: false, removed: [east.fingerprint], refreshed: ['1 to remove'] });
    const ledger = ledgerOf(host);
    expect(ledger).toMatchObject({ files: [{ name: nameOf(south) }], removed: { seconds: 100 } });
    setUptime(host.root, 200);
    expect(await passOn(host.root, bundle(north, south))).toMatchObject({ removed: [], refreshed: [] });
    expect([ledgerOf(host), host.runs()]).toEqual([ledger, 2]);
  });

  it('does not make every pass run the refresh command', async () => {
    const host = occupied();
    await passOn(host.root, bundle(north, south));
    const runs = host.runs();
    await passOn(host.root, bundle(north, south));
    expect(host.runs()).toBe(runs);
  });
});

describe.skipIf(process.getuid?.() !== 0)('a removal that is held back', () => {
  const mount: readonly Reading[] = bundle(south).map((reading) => ({
    ...reading,
    provisional: { why: 'not read yet', soon: false },
  }));

  it.each<[string, readonly Reading[], Partial<PassSettings>, boolean]>([
    ['is empty', bundle(), {}, false],
    ['has an error', bundle(south, leaf), {}, false],
    ['has an error, and it is strict', bundle(north, south, leaf), strict, false],
    [
      'has too many',
      bundle(south, east),
      { rules: { allowLeaf: false, allowEmpty: false, maxCertificates: 1 } },
      false,
    ],
    ['may be out of date', mount, {}, true],
  ])('leaves what the host trusts to be repaired while the bundle %s', async (_, readings, changed, converged) => {
    const host = littleHost();
    await passOn(host.root, bundle(north, south));
    fs.writeFileSync(host.path(bundlePath), world.pem);
    const repaired = { converged, repaired: sortedPrints(north, south), removed: [] };
    expect(await passOn(host.root, readings, changed)).toMatchObject(repaired);
    expect([host.trusts(north), host.trusts(south)]).toEqual([true, true]);
    fs.rmSync(host.path(`/etc/ssl/certs/${north.subjectHash}.0`));
    expect(await passOn(host.root, readings, changed)).toMatchObject({ converged, repaired: [north.fingerprint] });
    expect(fs.readdirSync(host.path('/etc/ssl/certs'))).toContain(`${north.subjectHash}.0`);
    const runs = host.runs();
    expect(await passOn(host.root, readings, changed)).toMatchObject({ converged, repaired: [], refreshed: [] });
    expect(host.runs()).toBe(runs);
  });

  it('leaves what the host trusts to be proven', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north, south));
    fs.writeFileSync(host.path(bundlePath), world.pem + south.pem);
    const { converged, reasons } = await passOn(host.root, mount, { dryRun: true });
    expect([converged, reasons]).toEqual([false, [expect.stringContaining(north.fingerprint.slice(0, 16))]]);
  });

  it('is made once the bundle is valid, though somebody altered the file meanwhile', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north, south));
    fs.writeFileSync(fileOf(host, north), north.pem + east.pem);
    await passOn(host.root, bundle(south, leaf));
    await passOn(host.root, bundle(south));
    expect(host.anchors()).toEqual(namesOf(south));
    expect(host.trusts(north)).toBe(false);
  });

  it('is made once the bundle is valid, though somebody deleted the file meanwhile', async () => {
    const host = littleHost();
    await passOn(host.root, bundle(north, south));
    fs.rmSync(fileOf(host, north));
    await passOn(host.root, bundle(south, leaf));
    expect(await passOn(host.root, bundle(south))).toMatchObject({ converged: true });
    expect(host.trusts(north)).toBe(false);
  });
});

describe.skipIf(process.getuid?.() !== 0)('a reconciler that goes on', () => {
  it('sees what changes between its passes', async () => {
    const host = littleHost();
    let readings = bundle(north);
    const reconciler: Reconciler = openReconciler(settingsFor(host.root), () => readings, tickingClock());
    const pass = async (): Promise<Report> => (await reconciler.pass()).report;
    expect(await pass()).toMatchObject({ converged: true, added: [north.fingerprint] });
    expect(await pass()).toMatchObject({ converged: true, refreshed: [] });
    fs.writeFileSync(host.path(bundlePath), world.pem);
    expect(await pass()).toMatchObject({ converged: true, repaired: [north.fingerprint] });
    readings = bundle(south);
    expect(await pass()).toMatchObject({ converged: true, added: [south.fingerprint], removed: [north.fingerprint] });
  });

  it('tells hooks that failed again every ten minutes, and only what is still so', async () => {
    const host = littleHost();
    const [hook, byHand] = [host.path('/etc/ca-certificates/update.d/hook'), `${anchorDirectory}/by-hand.crt`];
    for (const path of [hook, host.path(byHand)]) fs.mkdirSync(dirname(path), { recursive: true });
    fs.writeFileSync(hook, '#!/bin/sh\n{ echo told; cat; } >> /heard\nexit 1\n', { mode: 0o755 });
    fs.writeFileSync(host.path(byHand), east.pem);
    const heard = (): readonly string[] => {
      const text = fs.readFileSync(host.path('/heard'), 'utf8');
      fs.writeFileSync(host.path('/heard'), '');
      return text.split('\n').filter((line) => line !== '');
    };
    let minutes = 0;
    const clock = { ...tickingClock(), steady: () => minutes * 60_000 };
    const reconciler = openReconciler(settingsFor(host.root), () => bundle(north), clock);
    const ours = `+/etc/ssl/certs/${nameOf(north).replace('.crt', '.pem')}`;
    const distribution = '+/etc/ssl/certs/world.pem';

    await reconciler.pass();
    expect(heard()).toEqual(['told', '+/etc/ssl/certs/by-hand.pem', distribution, ours]);
    fs.rmSync(host.path(byHand));
    fs.rmSync(host.path('/etc/ssl/certs/by-hand.pem'));
    minutes = 9;
    await reconciler.pass();
    expect(heard()).toEqual([]);
    minutes = 10;
    await reconciler.pass();
    expect(heard()).toEqual(['told', distribution, ours]);
    minutes = 19;
    await reconciler.pass();
    expect(heard()).toEqual([]);
  });
});
