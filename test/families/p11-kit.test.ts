// What only stores have that p11-kit makes.
import { existsSync } from 'node:fs';
import { lstat, mkdir, readFile, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { agent } from '../sandbox/harness/agent.ts';
import { makeCert, makeThree } from '../sandbox/harness/certs.ts';
import { inBundle, nameOf } from '../sandbox/harness/host.ts';
import { watchBundle } from '../sandbox/harness/watcher.ts';
import { blocksOf, textOf } from '../unit/docs/pages.ts';
import { everywhere, nowhere, oneLine, scene, trust } from './rows.ts';
import { put } from './systems/p11-kit.ts';
import { fedora, rhel } from './systems/rhel.ts';
import { suse } from './systems/suse.ts';

const [kept, old, next] = await makeThree();

test('an anchor on the blocklist of the host is an error: nothing is removed for it, and others come', async () => {
  const { world, secret, apply } = await scene(rhel, { 'ca.crt': old.pem });
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  await put(world, '/etc/pki/ca-trust/source/blocklist/bad.pem', next.pem);
  await secret.swap({ 'ca.crt': next.pem });
  const before = await readFile(world.path(rhel.bundle));
  const { code, stderr } = await apply(secret.directory);
  expect(code).toBe(1);
  expect(oneLine(stderr)).toMatch(/leaves out 1 anchors.*blocklist/);
  // What it was to replace is trusted still, also after a run of the tool by another.
  await world.exec('update-ca-trust');
  expect(await trust(rhel, world, old)).toEqual(everywhere);
  expect((await readFile(world.path(rhel.bundle))).equals(before)).toBe(true);

  // Another one does not wait for it.
  await secret.swap({ 'ca.crt': `${next.pem}${kept.pem}` });
  const others = { code: 1, report: { added: [kept.fingerprint], removed: [] } };
  expect(await apply(secret.directory)).toMatchObject(others);
  for (const ca of [old, kept]) expect(await trust(rhel, world, ca)).toEqual(everywhere);
  const published = await lstat(world.path(rhel.bundle));
  expect(await apply(secret.directory)).toMatchObject({ code: 1, report: { added: [], removed: [] } });
  expect((await lstat(world.path(rhel.bundle))).ctimeMs).toBe(published.ctimeMs);

  await rm(world.path('/etc/pki/ca-trust/source/blocklist/bad.pem'));
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  for (const ca of [next, kept]) expect(await trust(rhel, world, ca)).toEqual(everywhere);
  expect(await trust(rhel, world, old)).toEqual(nowhere);
});

test('sources that have lost most of their CAs are not published', async () => {
  const { world, secret, apply } = await scene(rhel, { 'ca.crt': kept.pem });
  const before = await readFile(world.path(rhel.bundle));
  const source = world.path('/usr/share/pki/ca-trust-source/ca-bundle.trust.p11-kit');
  const whole = await readFile(source);
  await writeFile(source, whole.subarray(0, whole.length / 2));
  const { code, stderr } = await apply(secret.directory);
  expect(code).toBe(1);
  expect(oneLine(stderr)).toMatch(/finds only 1 of 6 certificates/);
  expect((await readFile(world.path(rhel.bundle))).equals(before)).toBe(true);
  await writeFile(source, whole);
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
});

test('what a killed write left is taken for an anchor by the tool, so it goes, and the bundle is made anew', async () => {
  const { world, secret, apply } = await scene(rhel, { 'ca.crt': kept.pem });
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  await put(world, `${rhel.anchors}/.${nameOf(old)}.0123abcd.tmp`, old.pem);
  await world.exec('update-ca-trust');
  expect(await trust(rhel, world, old)).toEqual(everywhere);
  expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { converged: true } });
  expect(await trust(rhel, world, old)).toEqual(nowhere);
});

test('a removed CA that another file carries in DER stays trusted, and that file is named', async () => {
  const { world, secret, apply } = await scene(rhel, { 'ca.crt': `${kept.pem}${old.pem}` });
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  await writeFile(world.path(`${rhel.anchors}/theirs.cer`), old.der);
  await secret.swap({ 'ca.crt': kept.pem });
  expect((await apply(secret.directory)).report).toMatchObject({
    converged: true,
    stillTrusted: [{ fingerprint: old.fingerprint, file: `${rhel.anchors}/theirs.cer` }],
    notes: [],
  });
});

test('a bundle of its own where Go programs look first is named', async () => {
  const { world, secret, apply } = await scene(rhel, { 'ca.crt': kept.pem });
  const first = '/etc/pki/tls/certs/ca-bundle.crt';
  const frozen = await readFile(world.path(rhel.bundle));
  await rm(world.path(first));
  await writeFile(world.path(first), frozen);
  const { code, report } = await apply(secret.directory);
  expect(code).toBe(0);
  expect(report.notes).toEqual([
    expect.stringMatching(new RegExp(`^${first} on the host is a file of its own.*kubelet`)),
  ]);
  expect((await trust(rhel, world, kept)).go).toBe(false);
});

test.each([rhel, fedora, suse])('a read-only /usr ($name) is no hindrance', async (system) => {
  const { world, secret, apply, remove } = await scene(system, { 'ca.crt': kept.pem });
  await using readOnly = await world.readOnly('/usr');
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  expect(await trust(system, world, kept)).toEqual(everywhere);
  expect(await remove()).toMatchObject({ code: 0 });
  await readOnly.undo();
});

test('hash links that a killed run of the tool has taken away are made again', async () => {
  const { world, secret, apply } = await scene(fedora, { 'ca.crt': kept.pem });
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  await world.exec('find', ['/etc/pki/tls/certs', '-type', 'l', '-delete']);
  expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [expect.any(String)] } });
  expect(await trust(fedora, world, kept)).toEqual(everywhere);
});

test('what a run of the tool that ended with its pass had not come to is made', async () => {
  const { world, secret, apply } = await scene(fedora, { 'ca.crt': kept.pem });
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  const links = async (): Promise<readonly string[]> => readdir(world.path('/etc/pki/tls/certs'));
  const all = await links();
  // Its links are the last that it makes: the distribution's are not there yet, nor is Java's store.
  const theirs = all.filter((name) => !name.startsWith(kept.subjectHash));
  for (const name of theirs) await rm(world.path(`/etc/pki/tls/certs/${name}`));
  await rm(world.path('/etc/pki/ca-trust/extracted/java/cacerts'));
  await mkdir(world.path('/etc/pki/ca-trust/extracted/.node-ca-trust-default'));
  expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { converged: true } });
  expect(await links()).toEqual(all);
  expect(await readdir(world.path('/etc/pki/ca-trust/extracted/java'))).toEqual(['cacerts']);
  expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [] } });
});

test.each([rhel, suse])(
  'what others keep beside the bundle of $name stays, and nobody waits for it',
  async (system) => {
    const { world, secret, apply } = await scene(system, { 'ca.crt': old.pem });
    const past = new Date(Date.now() - 3_600_000);
    const kinds: Readonly<Record<string, Date>> = { backup: past, rpmnew: past, cOpied: new Date() };
    for (const [name, time] of Object.entries(kinds)) {
      await put(world, `${system.bundle}.${name}`, kept.pem, name === 'rpmnew' ? 0o644 : 0o444);
      await utimes(world.path(`${system.bundle}.${name}`), time, time);
    }
    await put(world, `${system.bundle}.202611/kept.pem`, kept.pem, 0o600);
    await utimes(world.path(`${system.bundle}.202611`), past, past);
    const killed = `${system.bundle}.Ab3dEf`;
    await put(world, killed, kept.pem, 0o600);
    await utimes(world.path(killed), past, past);
    const { code, report } = await apply(secret.directory);
    expect(code).toBe(0);
    // As long as a run of another would be waited for.
    expect(report.milliseconds).toBeLessThan(60_000);
    for (const name of [...Object.keys(kinds), '202611/kept.pem'])
      expect(await readFile(world.path(`${system.bundle}.${name}`), 'utf8')).toBe(kept.pem);
    expect(existsSync(world.path(killed))).toBe(false);
  },
);

test("an admin's own look-up by hash of a removed CA is named, and no failure of the tool", async () => {
  const { world, secret, apply } = await scene(fedora, { 'ca.crt': `${kept.pem}${old.pem}` });
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  const name = `${old.subjectHash}.7`;
  await put(world, `/etc/pki/tls/certs/${name}`, old.pem);
  await secret.swap({ 'ca.crt': kept.pem });
  expect((await apply(secret.directory)).report).toMatchObject({
    converged: true,
    stillTrusted: [{ fingerprint: old.fingerprint, file: `/etc/ssl/certs/${name}` }],
  });
});

test("a removed CA that a failed step of SUSE's tool leaves among the look-ups by hash is taken off", async () => {
  const { world, secret, apply } = await scene(suse, { 'ca.crt': `${kept.pem}${old.pem}` });
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  await rename(world.path('/usr/bin/trust'), world.path('/usr/bin/trust.own'));
  const fail = `case "$*" in */var/lib/ca-certificates/pem) [ ! -e /tmp/fails ] || { rm /tmp/fails; exit 1; } ;; esac`;
  await put(world, '/usr/bin/trust', `#!/bin/sh\n${fail}\nexec /usr/bin/trust.own "$@"\n`, 0o755);
  await put(world, '/tmp/fails', '');
  await secret.swap({ 'ca.crt': kept.pem });
  expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { converged: true, stillTrusted: [] } });
  expect(existsSync(world.path('/tmp/fails'))).toBe(false);
  expect(await trust(suse, world, old)).toEqual(nowhere);
  expect(await trust(suse, world, kept)).toEqual(everywhere);
});

test("SUSE's tool, which takes a lock of its own and may be started by systemd at any time, is waited for", async () => {
  const { world, secret, apply } = await scene(suse, { 'ca.crt': kept.pem });
  const second = await makeCert();
  const all = [...(await inBundle(world, suse.bundle))];
  await using watcher = await watchBundle(world, { all }, suse.bundle);
  await mkdir(world.path(suse.anchors), { recursive: true });
  await put(world, `${suse.anchors}/theirs.pem`, second.pem);
  const [{ code }] = await Promise.all([apply(secret.directory), world.exec('update-ca-certificates')]);
  expect(code).toBe(0);
  for (const ca of [kept, second]) expect(await trust(suse, world, ca)).toEqual(everywhere);
  expect((await watcher.stop()).firstBad).toEqual({});
});

test.each([rhel, fedora, suse])(
  'what was rendered comes into the store of $name but for what that drops',
  async (system) => {
    const { world, secret, apply } = await scene(system);
    const dropped = await Promise.all([makeCert({ ca: false }), makeCert({ usage: 'clientAuth' })]);
    const files = { 'ca.crt': kept.pem, 'other.crt': dropped.map(({ pem }) => pem).join('') };
    await secret.swap(files);
    const { stdout } = await agent(world).cli('render', 'systemd', '--allow-leaf', secret.directory);

    const installed = await world.exec('sh', [], { input: stdout });

    const names = dropped.map((cert) => nameOf(cert)).sort();
    const line = (name: string): string =>
      `node-ca-trust-refresh: ${name} is left out: this system's trust store drops what is no CA that may issue for TLS servers\n`;
    expect(installed).toMatchObject({ code: 0, stderr: names.map(line).join('') });
    expect((await readdir(world.path(system.anchors))).sort()).toEqual([nameOf(kept)]);
    expect(await trust(system, world, kept)).toEqual(everywhere);
    // The agent finds what it would have made.
    const { report } = await apply(secret.directory, '--allow-leaf');
    expect(report).toMatchObject({ converged: true, added: [], removed: [], repaired: [] });
    expect(report.findings.filter(({ code }) => code === 'unsupported-by-store')).toHaveLength(2);
  },
);

test.each([
  ['RHEL', rhel, 'update-ca-trust'],
  ['Fedora', fedora, 'update-ca-trust'],
  ['SUSE', suse, 'update-ca-certificates'],
])(
  "a shell loop's copies go as docs/migration.md says, and no reader misses a CA meanwhile (%s)",
  async (_, system, tool) => {
    const copy = `${system.anchors}/FILE-OF-THE-LOOP.crt`;
    const commands = blocksOf(textOf('docs/migration.md')).filter((block) => block.startsWith(`rm ${copy}\n${tool}`));
    expect(commands).toHaveLength(1);
    const { world, secret, apply } = await scene(system, { 'ca.crt': kept.pem });
    await put(world, copy.replace('FILE-OF-THE-LOOP', 'kept'), kept.pem);
    await put(world, copy.replace('FILE-OF-THE-LOOP', 'old'), old.pem);
    await world.exec(tool);
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    expect([await trust(system, world, kept), await trust(system, world, old)]).toEqual([everywhere, everywhere]);

    const lasting = system.unlinks === true ? [] : system.hashed;
    const places = [system.bundle, ...lasting.map((directory) => `${directory}/${kept.subjectHash}.0`)];
    const watchers = await Promise.all(places.map((path) => watchBundle(world, { all: [kept.fingerprint] }, path)));
    for (const name of ['kept', 'old']) {
      const { code } = await world.exec('sh', ['-euc', (commands[0] ?? '').replaceAll('FILE-OF-THE-LOOP', name)]);
      expect(code).toBe(0);
    }
    for (const watcher of watchers) expect((await watcher.stop()).firstBad).toEqual({});
    expect(await trust(system, world, kept)).toEqual(everywhere);
    // That one is in no Secret.
    expect(await trust(system, world, old)).toEqual(nowhere);
  },
);
