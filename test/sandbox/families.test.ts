// The families whose anchors or whose program differ from Debian's, one after the other, each on its own layout.
import { lstat, mkdir, readFile, readdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { describe, expect, onTestFinished, test, type TestContext } from 'vitest';
import { agent, eventually } from './harness/agent.ts';
import { makeCert, makeServerCert, makeThree, type Cert } from './harness/certs.ts';
import { bundle, certs, danglingLinks, everywhere, inBundle, ledger, nameOf, nowhere, trust } from './harness/host.ts';
import { wholeView } from './harness/leave-out.ts';
import { mountSecret, type SecretFiles, type SecretMount } from './harness/secret-mount.ts';
import { changedPaths } from './harness/snapshot.ts';
import type { World } from './harness/world.ts';
import type { System } from '../families/system.ts';
import { alpine } from '../families/systems/alpine.ts';
import { cos, seal, startAnew } from '../families/systems/cos.ts';
import { flatcar } from '../families/systems/flatcar.ts';
import { put, runOnce } from '../families/systems/p11-kit.ts';

const [one, two, three] = await makeThree();

interface Scene {
  readonly world: World;
  readonly secret: SecretMount;
  /** What the bundle held before us. */
  readonly own: readonly string[];
}

/** What each family's program calls a bundle that it has not finished, and that file's mode. */
const unfinished: Readonly<Record<string, readonly [name: string, mode: number]>> = {
  alpine: ['bundleOBcnEf', 0o644],
  flatcar: ['ca-certificates.crt.Xy12Ab34Cd', 0o600],
  cos: ['ca-certificates.crt.new', 0o644],
};

/** Lays out the system, what is read-only on it included, on a view of the machine. */
async function build(context: TestContext, system: System): Promise<World> {
  const world = await wholeView(context);
  await put(world, '/etc/os-release', system.release);
  await system.build(world);
  if (system === flatcar) await world.readOnly('/usr');
  if (system === cos) await seal(world);
  return world;
}

/** The system and a mounted Secret, until the test ends; without an overlay of the root, as for an ordinary user, none. */
async function open(context: TestContext, system: System, files: SecretFiles = {}): Promise<Scene> {
  const world = await build(context, system);
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  stack.use(world);
  const own = [...(await inBundle(world))];
  expect(own).toHaveLength(6);
  return { world, secret: stack.use(await mountSecret(files)), own };
}

/** What readers find: the bundle, and by hash. */
async function look(world: World): Promise<{ readonly held: readonly string[]; readonly links: readonly string[] }> {
  const { stdout } = await world.exec('sh', [
    '-c',
    `cd ${certs} && for l in *.[0-9]; do echo $l $(readlink -f $l); done`,
  ]);
  return { held: [...(await inBundle(world))].sort(), links: stdout.split('\n') };
}

describe.each([alpine, flatcar, cos])('$name', (system) => {
  const { anchors } = system;
  const extension = system === alpine ? '.crt' : '.pem';
  const fileOf = (ca: Cert): string => `${anchors}/${nameOf(ca, extension)}`;
  const isThere = async (world: World, path: string): Promise<boolean> =>
    (await lstat(world.path(path)).catch(() => undefined)) !== undefined;

  test('installs, rotates and removes; the own program, run after each, finds nothing to change', async (context) => {
    const { world, secret, own } = await open(context, system, { 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply, remove } = agent(world);
    const before = await world.snapshot();

    expect(await apply(secret.directory)).toMatchObject({
      code: 0,
      report: { store: { family: system.family, bundle } },
    });
    for (const ca of [one, two]) expect(await trust(world, ca)).toEqual(everywhere);
    expect(await readFile(world.path(fileOf(one)), 'utf8')).toBe(one.pem);
    expect(await inBundle(world)).toEqual(new Set([...own, one.fingerprint, two.fingerprint]));
    const installed = await look(world);
    if (system !== cos) {
      await runOnce(world, system.refresh);
      // OpenSSL's c_rehash makes links by the hash of old as well.
      expect(await look(world)).toEqual({
        ...installed,
        links: expect.arrayContaining([...installed.links]) as unknown,
      });
    }
    expect(await apply(secret.directory)).toMatchObject({
      code: 0,
      report: { added: [], repaired: [], refreshed: [] },
    });

    await secret.swap({ 'b.crt': two.pem, 'c.crt': three.pem });
    expect(await apply(secret.directory)).toMatchObject({
      code: 0,
      report: { added: [three.fingerprint], removed: [one.fingerprint], repaired: [], stillTrusted: [] },
    });
    for (const ca of [two, three]) expect(await trust(world, ca)).toEqual(everywhere);
    expect(await trust(world, one)).toEqual(nowhere);

    expect(await remove()).toMatchObject({
      code: 0,
      report: { removed: expect.arrayContaining([two.fingerprint]) as unknown },
    });
    for (const ca of [one, two, three]) expect(await trust(world, ca)).toEqual(nowhere);
    expect(await inBundle(world)).toEqual(new Set(own));
    expect(await danglingLinks(world)).toEqual([]);
    const changed = changedPaths(before, await world.snapshot());
    // Other links by hash are of the own program's making.
    expect(changed.filter((path) => path !== bundle && !/\/[0-9a-f]{8}\.\d$/.test(path))).toEqual([]);
  });

  test('a CA that is renewed under its name is found by its hash, and so is the old one until it goes', async (context) => {
    const { world, secret } = await open(context, system);
    const old = await makeCert({ subject: '/CN=Renewed' });
    const renewed = await makeCert({ subject: '/CN=Renewed' });
    const { apply } = agent(world);
    await secret.swap({ 'a.crt': old.pem });
    await apply(secret.directory);
    await secret.swap({ 'a.crt': old.pem, 'b.crt': renewed.pem });
    await apply(secret.directory);
    const issued = await makeServerCert(renewed, ['registry.example']);
    for (const cert of [issued, await makeServerCert(old, ['registry.example'])]) {
      expect(await trust(world, cert)).toEqual(everywhere);
    }
    await secret.swap({ 'b.crt': renewed.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { stillTrusted: [] } });
    expect(await trust(world, issued)).toEqual(everywhere);
    expect(await isThere(world, `${certs}/${old.subjectHash}.1`)).toBe(false);
  });

  test("another's broken file, or one with a private key, is named and reaches no reader", async (context) => {
    const { world, secret, own } = await open(context, system, { 'a.crt': one.pem });
    await writeFile(world.path(`${anchors}/theirs${extension}`), two.pem + two.key);
    await world.exec('openssl', ['rehash', certs]);
    await symlink(`${anchors}/theirs${extension}`, world.path(`${certs}/${two.subjectHash}.9`));
    const { code, report } = await agent(world).apply(secret.directory);
    expect({ code, notes: report.notes.join() }).toEqual({
      code: 0,
      notes: expect.stringContaining('private key') as string,
    });
    expect(await readFile(world.path(bundle), 'utf8')).not.toContain('PRIVATE KEY');
    expect(await inBundle(world)).toEqual(new Set([...own, one.fingerprint, two.fingerprint]));
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test('what somebody undid is found and mended, also without the ledger', async (context) => {
    const { world, secret } = await open(context, system, { 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    for (const path of [fileOf(one), `${certs}/${one.subjectHash}.0`, bundle]) {
      await rm(world.path(path));
      const { code, report } = await apply(secret.directory);
      expect({ path, code, reasons: report.reasons }).toEqual({ path, code: 0, reasons: [] });
      for (const ca of [one, two]) expect({ path, ...(await trust(world, ca)) }).toEqual({ path, ...everywhere });
    }
    await rm(world.path(fileOf(one)));
    expect((await apply(secret.directory)).report).toMatchObject({ repaired: [one.fingerprint], added: [] });
    await rm(world.path(ledger));
    await secret.swap({ 'b.crt': two.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { removed: [one.fingerprint] } });
    expect(await trust(world, one)).toEqual(nowhere);
    expect(await danglingLinks(world)).toEqual([]);
  });

  test("another's link that leads nowhere does not hide ours behind it", async (context) => {
    const { world, secret } = await open(context, system, { 'a.crt': one.pem });
    await symlink('nowhere.pem', world.path(`${certs}/${one.subjectHash}.0`));
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test('a removed file whose links are left is cleaned up', async (context) => {
    const { world, secret } = await open(context, system, { 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await rm(world.path(fileOf(one)));
    await rm(world.path(ledger));
    await secret.swap({ 'b.crt': two.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await danglingLinks(world)).toEqual([]);
    expect(await trust(world, one)).toEqual(nowhere);
    expect(await trust(world, two)).toEqual(everywhere);
  });

  test('copies that others keep beside the bundle stay', async (context) => {
    const { world, secret } = await open(context, system, { 'a.crt': one.pem });
    const past = new Date(Date.now() - 120_000);
    for (const name of ['bundlebackup', 'bundle202611', 'bundlecopied', 'ca-certificates.crt.backup2026']) {
      await writeFile(world.path(`${certs}/${name}`), three.pem, { mode: 0o644 });
      await utimes(world.path(`${certs}/${name}`), past, past);
    }
    const names = (await readdir(world.path(certs))).filter((name) => /bundle|backup/.test(name));
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await readdir(world.path(certs))).toEqual(expect.arrayContaining(names));
  });

  describe('an unfinished bundle of the own program', () => {
    const [name = '', mode = 0] = unfinished[system.name] ?? [];
    const path = `${certs}/${name}`;

    test('that is old goes; one that is alive is waited for, and what it undoes is done again', async (context) => {
      const { world, secret, own } = await open(context, system, { 'a.crt': one.pem });
      await writeFile(world.path(path), three.pem, { mode });
      const past = new Date(Date.now() - 120_000);
      await utimes(world.path(path), past, past);
      const { apply } = agent(world);
      expect(await apply(secret.directory)).toMatchObject({ code: 0 });
      expect(await isThere(world, path)).toBe(false);

      const stale = await readFile(world.path(bundle));
      await secret.swap({ 'a.crt': one.pem, 'b.crt': two.pem });
      await writeFile(world.path(path), stale, { mode });
      const applied = apply(secret.directory);
      await eventually(async () => {
        expect(await inBundle(world)).toContain(two.fingerprint);
      });
      await rename(world.path(path), world.path(bundle));
      expect(await applied).toMatchObject({ code: 0, report: { converged: true } });
      expect(await inBundle(world)).toEqual(new Set([...own, one.fingerprint, two.fingerprint]));
    });
  });

  describe.each([
    ['at once', 0],
    ['once the new file is there', 4_096],
    ['in the middle of the bundle', 8_192],
  ])('a disk that is full %s', (_, spare) => {
    test('is one clear line, leaves the bundle as it was, and the next pass goes on', async (context) => {
      const { world, secret } = await open(context, system, { 'a.crt': one.pem });
      const { apply } = agent(world);
      await apply(secret.directory);
      const before = await readFile(world.path(bundle));
      await secret.swap({ 'a.crt': one.pem, 'b.crt': two.pem });
      await using limited = await world.limitSpace('/etc/ssl', 1 << 20);
      await using full = await world.fill('/etc/ssl', spare);
      const { code, report, stderr } = await apply(secret.directory);
      expect({ code, reasons: report.reasons }).toEqual({
        code: 1,
        reasons: [expect.stringContaining('no space left on the device') as string],
      });
      expect(stderr.trimEnd().split('\n')).toHaveLength(1);
      expect((await readFile(world.path(bundle))).equals(before)).toBe(true);
      await full.undo();
      expect(await apply(secret.directory)).toMatchObject({ code: 0 });
      for (const ca of [one, two]) expect(await trust(world, ca)).toEqual(everywhere);
      expect((await readdir(world.path('/etc/ssl'))).filter((name) => name.startsWith('.'))).toEqual(
        ['.filler'].slice(1),
      );
      await limited.undo();
    });
  });

  test('a certificate directory that is a mount of its own is one clear line where the bundle cannot be moved into it', async (context) => {
    const { world, secret } = await open(context, system, { 'a.crt': one.pem });
    const before = await readFile(world.path(bundle));
    await using limited = await world.limitSpace(certs, 1 << 20);
    const { code, report } = await agent(world).apply(secret.directory);
    expect({ code, reasons: report.reasons }).toEqual({
      code: 1,
      reasons: [expect.stringContaining('on different mounts; mount their common directory as one') as string],
    });
    expect((await readFile(world.path(bundle))).equals(before)).toBe(true);
    await limited.undo();
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
  });

  test('a link of ours that a kill left without its name goes', async (context) => {
    const { world, secret } = await open(context, system, { 'a.crt': one.pem });
    const unnamed = `${certs}/.${one.subjectHash}.0.0123abcd.tmp`;
    await symlink(nameOf(one, '.pem'), world.path(unnamed));
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await isThere(world, unnamed)).toBe(false);
  });

  test('a directory in the place of a file that goes is left alone, and the removal is proven', async (context) => {
    const { world, secret } = await open(context, system, { 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    await rm(world.path(fileOf(one)));
    await mkdir(world.path(fileOf(one)));
    await secret.swap({ 'b.crt': two.pem });
    const again = await apply(secret.directory);
    expect([again.code, again.report.removed, again.report.reasons]).toEqual([0, [one.fingerprint], []]);
    expect(await trust(world, one)).toEqual(nowhere);
    expect((await lstat(world.path(fileOf(one)))).isDirectory()).toBe(true);
  });

  test('is found by hash through the file of another that carries it, once ours is gone', async (context) => {
    const { world, secret } = await open(context, system, { 'a.crt': one.pem });
    const { apply, remove } = agent(world);
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    // The program links one file for each certificate, and ours comes first.
    await writeFile(world.path(`${anchors}/z-corp${extension}`), one.pem);
    if (system === alpine) await symlink(`${anchors}/z-corp.crt`, world.path(`${certs}/ca-cert-z-corp.pem`));
    const { code, report } = await remove();
    expect([code, report.stillTrusted]).toEqual([
      0,
      [{ fingerprint: one.fingerprint, file: `${anchors}/z-corp${extension}` }],
    ]);
    expect(await trust(world, one)).toEqual(everywhere);
    expect(await danglingLinks(world)).toEqual([]);
  });

  test("is found by hash through another's file in the certificate directory, whatever the ending, once ours is gone", async (context) => {
    const [again, other] = [await makeCert({ subject: '/CN=Ending' }), await makeCert({ subject: '/CN=Ending' })];
    const { world, secret } = await open(context, system, { 'a.crt': again.pem + one.pem });
    const { apply } = agent(world);
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    await writeFile(world.path(`${certs}/z-corp.cer`), one.pem);
    // A file that is itself a look-up by hash stays within reach, unless the system's own hook makes all links anew.
    await writeFile(world.path(`${certs}/${other.subjectHash}.1`), other.pem);
    await secret.swap({ 'b.crt': two.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    expect((await trust(world, one)).hashed).toBe(true);
    expect((await trust(world, await makeServerCert(other, ['other.example']))).hashed).toBe(system !== alpine);
    expect((await trust(world, await makeServerCert(again, ['again.example']))).hashed).toBe(false);
  });

  test('a link to the bundle beside it does not keep in it what goes', async (context) => {
    const { world, secret, own } = await open(context, system, { 'a.crt': one.pem });
    await symlink('ca-certificates.crt', world.path(`${certs}/ca-bundle.crt`));
    const { apply } = agent(world);
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    await secret.swap({ 'b.crt': two.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { stillTrusted: [] } });
    const text = await readFile(world.path(bundle), 'latin1');
    expect(text.match(/-----BEGIN/g)).toHaveLength(own.length + 1);
    expect(await inBundle(world)).toEqual(new Set([...own, two.fingerprint]));
  });

  test('where no file carries what the bundle holds, nothing is published', async (context) => {
    const { world, secret, own } = await open(context, system, { 'a.crt': one.pem });
    for (const name of await readdir(world.path(certs))) {
      if (name.endsWith('.pem')) await rm(world.path(`${certs}/${name}`));
    }
    if (system === alpine) await writeFile(world.path('/etc/ca-certificates.conf'), '');
    const { code, report } = await agent(world).apply(secret.directory);
    expect({ code, reasons: report.reasons }).toEqual({
      code: 1,
      reasons: [
        expect.stringMatching(/holds 6 certificates of others that no file which counts there carries/) as string,
      ],
    });
    expect(await inBundle(world)).toEqual(new Set(own));
  });
});

describe("Flatcar's bundle", () => {
  test('is a link into the read-only /usr until the first change, and is replaced, not followed', async (context) => {
    const { world, secret } = await open(context, flatcar, { 'a.crt': one.pem });
    expect((await lstat(world.path(bundle))).isSymbolicLink()).toBe(true);
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    expect((await lstat(world.path(bundle))).isFile()).toBe(true);
    // What the next start of the machine does.
    await runOnce(world, ['update-ca-certificates', '--skip-rehash']);
    expect(await trust(world, one)).toEqual(everywhere);
  });
});

describe('Container-Optimized OS, started anew with its /etc as in the image', () => {
  /** The machine is started anew: the kernel gives the run another name, in the ledger's eyes. */
  async function restart(world: World): Promise<void> {
    await startAnew(world);
    const text = await readFile(world.path(ledger), 'utf8');
    await writeFile(world.path(ledger), text.replace(/"boot": "[^"]+"/g, '"boot": "an earlier one"'));
  }

  test('is given back all that is wanted, as new and not as a repair, and nothing that is not', async (context) => {
    const { world, secret, own } = await open(context, cos, { 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await restart(world);
    expect(await inBundle(world)).toEqual(new Set(own));
    await secret.swap({ 'b.crt': two.pem, 'c.crt': three.pem });
    expect(await apply(secret.directory)).toMatchObject({
      code: 0,
      report: {
        repaired: [],
        removed: [],
        added: expect.arrayContaining([two.fingerprint, three.fingerprint]) as unknown,
      },
    });
    for (const ca of [two, three]) expect(await trust(world, ca)).toEqual(everywhere);
    expect(await trust(world, one)).toEqual(nowhere);
    expect(await apply(secret.directory)).toMatchObject({
      code: 0,
      report: { added: [], repaired: [], refreshed: [] },
    });
    await rm(world.path(`${certs}/${nameOf(two, '.pem')}`));
    expect(await apply(secret.directory)).toMatchObject({
      code: 0,
      report: { added: [], repaired: [two.fingerprint] },
    });
  });

  test('keeps what it had where /etc was kept, and takes off what went meanwhile', async (context) => {
    const { world, secret } = await open(context, cos, { 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    const text = await readFile(world.path(ledger), 'utf8');
    await writeFile(world.path(ledger), text.replace(/"boot": "[^"]+"/g, '"boot": "an earlier one"'));
    await secret.swap({ 'b.crt': two.pem });
    expect(await apply(secret.directory)).toMatchObject({
      code: 0,
      report: { repaired: [], removed: [one.fingerprint] },
    });
    expect(await trust(world, one)).toEqual(nowhere);
    expect(await trust(world, two)).toEqual(everywhere);
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [] } });
  });

  test('is clean after a removal that comes first', async (context) => {
    const { world, secret } = await open(context, cos, { 'a.crt': one.pem });
    await agent(world).apply(secret.directory);
    await restart(world);
    expect(await agent(world).remove()).toMatchObject({ code: 0, report: { removed: [], repaired: [] } });
    expect(await lstat(world.path(ledger)).catch(() => 'gone')).toBe('gone');
  });
});
