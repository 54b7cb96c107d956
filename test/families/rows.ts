// The rows of the table: what is tried on every family, with the agent as it is and the judges that are real everywhere,
// openssl and Go's crypto/x509.
import { copyFile, mkdir, readFile, readdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { openHost } from '../../src/host/host.ts';
import { agent } from '../sandbox/harness/agent.ts';
import { makeCert, makeServerCert, makeThree, type Cert } from '../sandbox/harness/certs.ts';
import { chooseSeed, killRotations, randomFrom, unfinishedIn } from '../sandbox/harness/chaos.ts';
import { readBundle } from '../sandbox/harness/classify.ts';
import { inBundle, ledger, state } from '../sandbox/harness/host.ts';
import { mountSecret, type SecretFiles, type SecretMount } from '../sandbox/harness/secret-mount.ts';
import { opensslTrusts } from '../sandbox/harness/tls-server.ts';
import { watchBundle } from '../sandbox/harness/watcher.ts';
import { createWorld, type World } from '../sandbox/harness/world.ts';
import { put } from './systems/p11-kit.ts';
import type { System } from './system.ts';

/** How many sudden deaths; fifty with NODE_CA_TRUST_FULL=1. */
const kills = process.env['NODE_CA_TRUST_FULL'] === '1' ? 50 : 10;

/** Whether anchors lie among the links by hash, in the directory that holds the bundle. */
const isAmongLinks = ({ anchors, hashed }: System): boolean => hashed.includes(anchors);

interface Scene {
  readonly world: World;
  readonly secret: SecretMount;
  readonly apply: ReturnType<typeof agent>['apply'];
  readonly remove: ReturnType<typeof agent>['remove'];
}

const [kept, old, next] = await makeThree();

/** The system laid out on a view of the machine, and a mounted Secret. They end with the test. */
export async function scene(system: System, files: SecretFiles = {}): Promise<Scene> {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  const world = stack.use(await createWorld({ view: 'overlay' }));
  await put(world, '/etc/os-release', system.release);
  await copyFile(inject('goverify'), world.path('/usr/local/bin/goverify'));
  await system.build(world);
  const secret = stack.use(await mountSecret(files));
  const { apply, remove } = agent(world);
  return { world, secret, remove, apply: (bundle, ...more) => apply(bundle, '--runtime-refresh', 'off', ...more) };
}

interface Trust {
  readonly bundle: boolean;
  /** By every hashed directory. */
  readonly hashed: boolean;
  readonly go: boolean;
}

export const everywhere: Trust = { bundle: true, hashed: true, go: true };
export const nowhere: Trust = { bundle: false, hashed: false, go: false };

/** Who trusts a self-signed CA. Where nothing is looked up by hash, that is as the bundle says. */
export async function trust(
  { bundle: path, hashed: directories }: System,
  world: World,
  { pem }: Cert,
): Promise<Trust> {
  const bundle = (await opensslTrusts(world, pem, { cafile: path })).trusted;
  const byHash = await Promise.all(directories.map((capath) => opensslTrusts(world, pem, { capath })));
  const { stdout } = await world.exec('goverify', [], { input: pem });
  const hashed = byHash.length === 0 ? bundle : byHash.every(({ trusted }) => trusted);
  const isInAny = byHash.some(({ trusted }) => trusted);
  return { bundle, hashed: bundle ? hashed : isInAny, go: stdout.trim() === 'trusted' };
}

/** The same without a process: in the bundle, and found by hash as OpenSSL looks. */
async function readTrust(system: System, world: World, { fingerprint, subjectHash }: Cert) {
  const host = openHost(world.root);
  const found = (directory: string): boolean => {
    for (let suffix = 0; ; suffix += 1) {
      const pem = host.read(`${directory}/${subjectHash}.${suffix}`)?.toString('latin1');
      if (pem === undefined) return false;
      if (readBundle(pem).fingerprints.has(fingerprint)) return true;
    }
  };
  const bundle = (await inBundle(world, system.bundle)).has(fingerprint);
  const byHash = system.hashed.map(found);
  return { bundle, hashed: bundle ? byHash.every(Boolean) : byHash.some(Boolean) };
}

/** What should not be there once a pass has ended. */
function leftovers({ anchors, disk }: System, world: World): Promise<readonly string[]> {
  return unfinishedIn(world, anchors, disk, state);
}

/** One line for a person, no stack trace. */
export function oneLine(stderr: string): string {
  expect(stderr).toMatch(/^node-ca-trust: [^\n]{1,700}\n$/);
  return stderr;
}

const rows: Readonly<Record<string, (system: System) => Promise<void>>> = {
  async detect(system) {
    const { world, secret, apply } = await scene(system, { 'ca.crt': kept.pem });
    const about = async (): Promise<string> => (await apply(secret.directory, '--dry-run')).report.reasons.join('; ');
    const { report } = await apply(secret.directory, '--dry-run');
    expect(report.store).toEqual({ family: system.family, bundle: system.bundle });
    // A link that leads out of the root, were it followed there.
    await rename(world.path('/etc/os-release'), world.path('/usr/lib/os-release'));
    await symlink('/../../../../../../usr/lib/os-release', world.path('/etc/os-release'));
    expect((await apply(secret.directory, '--dry-run')).report.store?.family).toBe(system.family);
    // What another family has beside it does not count.
    const other = system.family === 'debian' ? '/etc/pki/trust/anchors' : '/usr/share/ca-certificates';
    await mkdir(world.path(other), { recursive: true });
    expect((await apply(secret.directory, '--dry-run')).report.store?.family).toBe(system.family);
    await put(
      world,
      '/usr/lib/os-release',
      `ID=${system.family === 'debian' ? 'fedora' : 'debian'}\nPRETTY_NAME="A Lie"\n`,
    );
    expect(await about()).toMatch(/A Lie.*(trust store is that of|has no)/);
    await rm(world.path('/usr/lib/os-release'));
    expect(await about()).toMatch(/has no \/etc\/os-release/);
    await put(world, '/usr/lib/os-release', system.release);
    const [path, pack] = system.needed;
    await unlink(world.path(path));
    expect(await about()).toContain(`has no ${path}; install the package ${pack}`);
  },

  async install(system) {
    const bytes = { 'ca.der': kept.der, 'ca.txt': `\uFEFFsome text\r\n${old.pem.replaceAll('\n', '\r\n')}` };
    const { world, secret, apply } = await scene(system, bytes);
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { converged: true, notes: [] } });
    for (const ca of [kept, old]) expect(await trust(system, world, ca)).toEqual(everywhere);
    expect(await trust(system, world, next)).toEqual(nowhere);
    // With nothing to do nothing is done.
    const before = await readFile(world.path(ledger));
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [], added: [] } });
    expect((await readFile(world.path(ledger))).equals(before)).toBe(true);
    expect(await leftovers(system, world)).toEqual([]);
  },

  async rotate(system) {
    const { world, secret, apply } = await scene(system, { 'kept.crt': kept.pem, 'ca.crt': old.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    const all = [...(await inBundle(world, system.bundle))].filter((print) => print !== old.fingerprint);
    const expectation = { all, any: [old.fingerprint, next.fingerprint] };
    await using watcher = await watchBundle(world, expectation, system.bundle);
    for (const [ca, other] of [
      [next, old],
      [old, next],
    ] as const) {
      await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': ca.pem });
      expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { converged: true } });
      for (const one of [kept, ca]) expect(await trust(system, world, one)).toEqual(everywhere);
      expect(await trust(system, world, other)).toEqual(nowhere);
    }
    expect((await watcher.stop()).firstBad).toEqual({});
  },

  async remove(system) {
    const { world, secret, apply, remove } = await scene(system, { 'ca.crt': `${kept.pem}${old.pem}` });
    const before = await inBundle(world, system.bundle);
    if (!isAmongLinks(system)) await rm(world.path(system.anchors), { recursive: true });
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await remove()).toMatchObject({ code: 0, report: { converged: true, stillTrusted: [] } });
    for (const ca of [kept, old]) expect(await trust(system, world, ca)).toEqual(nowhere);
    expect(await inBundle(world, system.bundle)).toEqual(before);
    if (!isAmongLinks(system)) await expect(readdir(world.path(system.anchors))).rejects.toThrow('ENOENT');
    await expect(readdir(world.path(state))).rejects.toThrow('ENOENT');
    expect(await leftovers(system, world)).toEqual([]);
  },

  async 'parallel refresh'(system) {
    const { world, secret, apply } = await scene(system, { 'kept.crt': kept.pem, 'ca.crt': old.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    const all = [...(await inBundle(world, system.bundle))].filter((print) => print !== old.fingerprint);
    const second = await makeCert();
    const ours = { all, any: [old.fingerprint, next.fingerprint] };
    const expectation = system.ignores === true ? { all: all.filter((print) => print !== kept.fingerprint) } : ours;
    await using watcher = await watchBundle(world, expectation, system.bundle);
    const others = (async () => {
      for (let run = 0; run < 10; run += 1) await world.exec(...twoParts(system.refresh));
    })();
    await using another = await mountSecret({ 'second.crt': second.pem });
    const failures: string[] = [];
    for (const ca of [next, old, next]) {
      await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': ca.pem });
      const passes = [apply(secret.directory), apply(another.directory, '--instance', 'second')];
      const reasons = (await Promise.all(passes)).flatMap(({ report }) => report.reasons);
      failures.push(...reasons.filter((reason) => system.unlinks !== true || !reason.endsWith('by its hash link')));
      if (!(await inBundle(world, system.bundle)).has(ca.fingerprint)) failures.push('said to be trusted, and is not');
    }
    await others;
    // A program that takes our anchors out may do so between the end of a pass and a look.
    if (system.ignores !== true) expect(failures).toEqual([]);
    expect((await watcher.stop()).firstBad).toEqual({});
    for (const pass of [apply(secret.directory), apply(another.directory, '--instance', 'second')]) {
      expect(await pass).toMatchObject({ code: 0, report: { converged: true } });
    }
    for (const ca of [kept, next, second]) expect(await trust(system, world, ca)).toEqual(everywhere);
    expect(await trust(system, world, old)).toEqual(nowhere);
  },

  async 'killed at many moments'(system) {
    const { world } = await scene(system);
    const seed = chooseSeed();
    const watched = {
      bundle: system.bundle,
      trust: (one: World, cert: Cert) => readTrust(system, one, cert),
      leftovers: (one: World) => leftovers(system, one),
    };
    const { underWay, failures } = await killRotations(world, kills, randomFrom(seed), watched);
    expect(failures, `seed ${seed} (NODE_CA_TRUST_SEED=${seed} repeats it)`).toEqual([]);
    // A pass that starts no program has ended before some of them.
    expect(underWay).toBeGreaterThan(kills / 4);
  },

  async 'full disk'(system) {
    const { world, secret, apply } = await scene(system, { 'kept.crt': kept.pem, 'ca.crt': old.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    const before = await readFile(world.path(system.bundle));
    await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': next.pem });
    await using undo = new AsyncDisposableStack();
    undo.use(await world.limitSpace(system.disk, 4 * 2 ** 20));
    const filled = undo.use(await world.fill(system.disk));
    for (let run = 0; run < 2; run += 1) {
      const { code, stderr } = await apply(secret.directory);
      expect(code).toBe(1);
      expect(oneLine(stderr)).toMatch(/no space left/i);
    }
    expect((await readFile(world.path(system.bundle))).equals(before)).toBe(true);
    expect(await trust(system, world, kept)).toEqual(everywhere);
    await filled.undo();
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { converged: true } });
    for (const ca of [kept, next]) expect(await trust(system, world, ca)).toEqual(everywhere);
    expect(await trust(system, world, old)).toEqual(nowhere);
  },

  async 'BOM and hostile input'(system) {
    const leaf = await makeServerCert(kept, ['leaf.example']);
    const hostile = {
      'bom.crt': `\uFEFF${kept.pem}`,
      'utf16.crt': Buffer.from(old.pem, 'utf16le'),
      'half.crt': old.pem.slice(0, old.pem.length / 2),
      'key.pem': `${next.pem}${next.key}`,
      'leaf.crt': leaf.pem,
      'noise.crt': Buffer.from([0, 1, 2, 0xff]),
    };
    const { world, secret, apply } = await scene(system, hostile);
    const before = await inBundle(world, system.bundle);
    const { code, report } = await apply(secret.directory);
    expect(code).toBe(1);
    expect(report.findings.map(({ code: what }) => what)).toEqual(expect.arrayContaining(['private-key', 'not-a-ca']));
    expect(await trust(system, world, kept)).toEqual(everywhere);
    const held = await inBundle(world, system.bundle);
    for (const fingerprint of [...before, kept.fingerprint]) expect(held).toContain(fingerprint);
    for (const ca of [next, leaf]) expect(held).not.toContain(ca.fingerprint);
  },

  async "another's broken file"(system) {
    const { world, secret, apply } = await scene(system, { 'ca.crt': kept.pem });
    const before = await inBundle(world, system.bundle);
    await put(world, `${system.anchors}/half.crt`, old.pem.slice(0, old.pem.length / 2));
    await put(world, `${system.anchors}/key.crt`, `${next.key}${next.pem}`);
    const { code, report } = await apply(secret.directory);
    expect({ code, reasons: report.reasons }).toEqual({ code: 0, reasons: [] });
    expect(report.notes.join('\n')).toContain(`${system.anchors}/half.crt on the host, not ours, is broken`);
    expect(await trust(system, world, kept)).toEqual(everywhere);
    // `inBundle` throws at a broken block and at a private key.
    const held = await inBundle(world, system.bundle);
    for (const fingerprint of before) expect(held).toContain(fingerprint);
    for (const name of ['half.crt', 'key.crt']) await readFile(world.path(`${system.anchors}/${name}`));
  },

  async 'anchors behind a link, or a mount'(system) {
    const { world, secret, apply, remove } = await scene(system, { 'ca.crt': kept.pem });
    await rm(world.path('/srv'), { recursive: true });
    await mkdir(world.path('/srv'));
    await world.exec('cp', ['-a', system.anchors, '/srv/anchors']);
    await mkdir(world.path('/srv/anchors'), { recursive: true });
    const theirs = await readdir(world.path('/srv/anchors'));
    await rm(world.path(system.anchors), { recursive: true, force: true });
    await symlink('/srv/anchors', world.path(system.anchors));
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await trust(system, world, kept)).toEqual(everywhere);
    expect(await remove()).toMatchObject({ code: 0 });
    expect(await readdir(world.path('/srv/anchors'))).toEqual(theirs);
    // The bundle is built beside that directory, and cannot be moved from one mount into another.
    const mount = isAmongLinks(system) ? '/srv' : '/srv/anchors';
    await using mounted = await world.limitSpace(mount, 2 ** 20);
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await trust(system, world, kept)).toEqual(everywhere);
    await using readOnly = await world.readOnly(mount);
    await secret.swap({ 'ca.crt': old.pem });
    expect(oneLine((await apply(secret.directory)).stderr)).toMatch(/read-only/i);
    await readOnly.undo();
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await trust(system, world, kept)).toEqual(nowhere);
    expect(mounted).toBeDefined();
  },

  async 'what the tool drops'(system) {
    const [leaf, bare, client] = await Promise.all([
      makeCert({ ca: false }),
      makeCert({ ca: 'absent' }),
      makeCert({ usage: 'clientAuth' }),
    ]);
    const takes = await Promise.all([
      makeCert({ v1: true }),
      makeCert({ usage: 'serverAuth,clientAuth' }),
      makeCert({ usage: 'anyExtendedKeyUsage' }),
      makeCert({ notAfter: new Date(Date.now() - 3_600_000) }),
    ]);
    const refusable = { 'leaf.crt': leaf.pem, 'bare.crt': bare.pem, 'client.crt': client.pem };
    const files = { 'ca.crt': [kept, ...takes].map(({ pem }) => pem).join(''), ...refusable };
    const { world, secret, apply } = await scene(system, files);
    const { code, report } = await apply(secret.directory, '--allow-leaf');
    expect({ code, reasons: report.reasons }).toEqual({ code: 0, reasons: [] });
    const dropped = report.findings.filter(({ code: what }) => what === 'unsupported-by-store');
    expect(dropped.map(({ source, severity }) => [source.split('/').at(-1), severity])).toEqual(
      system.drops ? ['bare.crt', 'client.crt', 'leaf.crt'].map((name) => [name, 'warning']) : [],
    );
    const held = await inBundle(world, system.bundle);
    for (const one of takes) expect(held).toContain(one.fingerprint);
    for (const one of [leaf, bare, client]) expect(held.has(one.fingerprint)).toBe(!system.drops);
    expect(await trust(system, world, kept)).toEqual(everywhere);
    if (!system.drops) return;
    // Nothing of the new bundle can be installed: what is there stays.
    await secret.swap({ 'leaf.crt': leaf.pem });
    expect(await apply(secret.directory, '--allow-leaf')).toMatchObject({ code: 1 });
    expect(await trust(system, world, kept)).toEqual(everywhere);
  },

  async proof(system) {
    const { world, secret, apply } = await scene(system, { 'kept.crt': kept.pem, 'ca.crt': old.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    // Somebody takes a CA of the distribution out of the bundle.
    const whole = await readFile(world.path(system.bundle), 'latin1');
    const blocks = whole.split(/(?<=-----END CERTIFICATE-----\n)/);
    const isOurs = (block: string): boolean =>
      [kept, old].some(({ fingerprint }) =>
        readBundle(block.slice(block.indexOf('-----'))).fingerprints.has(fingerprint),
      );
    const [first] = blocks.filter((block) => !isOurs(block));
    await put(world, system.bundle, blocks.filter((block) => block !== first).join(''));
    const mended = await apply(secret.directory);
    expect(mended.report).toMatchObject({ converged: true });
    expect(mended.report.refreshed).not.toEqual([]);
    expect((await inBundle(world, system.bundle)).size).toBe(blocks.length - (blocks.at(-1)?.trim() === '' ? 1 : 0));
    // Somebody removes a hash link.
    const [directory] = system.hashed;
    if (directory !== undefined) {
      await rm(world.path(`${directory}/${kept.subjectHash}.0`));
      expect(await apply(secret.directory)).toMatchObject({ code: 0 });
      expect(await trust(system, world, kept)).toEqual(everywhere);
    }
    // A tool that does nothing, and says that all is well.
    await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': next.pem });
    if (system.isDirect !== true) {
      const [path] = system.needed;
      const tool = await readFile(world.path(path));
      await put(world, path, '#!/bin/sh\nexit 0\n', 0o755);
      const { code, report, stderr } = await apply(secret.directory);
      expect({ code, converged: report.converged }).toEqual({ code: 1, converged: false });
      expect(oneLine(stderr)).toMatch(/exit code 0/);
      await writeFile(world.path(path), tool);
    }
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { converged: true } });
    expect(await trust(system, world, old)).toEqual(nowhere);
    // What another file of the host carries stays trusted, and that file is named.
    await put(world, `${system.anchors}/theirs.crt`, next.pem);
    await secret.swap({ 'kept.crt': kept.pem });
    expect((await apply(secret.directory)).report).toMatchObject({
      converged: true,
      stillTrusted: [{ fingerprint: next.fingerprint, file: `${system.anchors}/theirs.crt` }],
    });
  },

  async 'SELinux labels'(system) {
    const { world, secret, apply } = await scene(system, { 'ca.crt': kept.pem });
    await put(world, '/usr/sbin/restorecon', '#!/bin/sh\nprintf "%s\\n" "$@" >> /restored\n', 0o755);
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    const restored = (await readFile(world.path('/restored'), 'utf8')).trim().split('\n');
    expect(restored.some((path) => path === system.bundle || path.startsWith(`${system.anchors}/`))).toBe(true);
  },
};

/** What is emulated in a row whatever the system. */
const alwaysEmulated: Readonly<Record<string, string>> = {
  'SELinux labels': 'no SELinux here: a restorecon that only notes what it is called with',
};

const twoParts = ([command, ...args]: readonly [string, ...string[]]): [string, string[]] => [command, args];

/** Tries every row on a system. */
export function tryFamily(system: System): void {
  describe(system.name, () => {
    for (const [row, attempt] of Object.entries(rows)) {
      test(row, async ({ task }) => {
        task.meta.family = system.name;
        task.meta.emulated = [system.emulated, alwaysEmulated[row] ?? ''].filter(Boolean).join('; ');
        await attempt(system);
      });
    }
  });
}
