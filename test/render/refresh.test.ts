// The script that refreshes a store where no agent may: run with Debian's real tools in a world, and what it must not do.
import { existsSync } from 'node:fs';
import { readFile, readdir, readlink, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { agent } from '../sandbox/harness/agent.ts';
import { makeCert, makeThree, type Cert } from '../sandbox/harness/certs.ts';
import {
  anchors,
  bundle,
  certs,
  danglingLinks,
  everywhere,
  fileOf,
  holdLock,
  inBundle,
  installHook,
  nameOf,
  nowhere,
  ourFiles,
  plainTemporary,
  smallWorld,
  state,
  trust,
} from '../sandbox/harness/host.ts';
import { changedPaths } from '../sandbox/harness/snapshot.ts';
import type { ExecResult, World } from '../sandbox/harness/world.ts';

const [one, two, three] = await makeThree();
const script = '/etc/node-ca-trust/refresh.sh';
const request = `${state}/_refresh`;

/** What `render systemd` prints for a bundle, run in a world. */
async function install(world: World, ...certs: readonly Cert[]): Promise<ExecResult> {
  const file = world.path('/tmp/bundle.pem');
  await writeFile(file, certs.map(({ pem }) => pem).join(''));
  const rendered = await agent(world).cli('render', 'systemd', '--allow-leaf', ...(certs.length === 0 ? [] : [file]));
  expect(rendered.code).toBe(0);
  await rm(file);
  return world.exec('sh', [], { input: rendered.stdout });
}

function refresh(world: World): Promise<ExecResult> {
  return world.exec('sh', [script]);
}

const done = { code: 0, stdout: '', stderr: '' };

describe('the refresh script', () => {
  test('brings what was rendered into the store, under the names by which the agent takes it over', async () => {
    await using world = await smallWorld();
    const before = await inBundle(world);

    expect(await install(world, one, two)).toEqual(done);

    expect(await ourFiles(world)).toEqual([nameOf(one), nameOf(two)].sort());
    expect(await readFile(world.path(fileOf(one)), 'utf8')).toBe(one.pem);
    for (const ca of [one, two]) expect(await trust(world, ca)).toEqual(everywhere);
    expect(await inBundle(world)).toEqual(new Set([...before, one.fingerprint, two.fingerprint]));
    expect(await readdir(world.path('/etc/node-ca-trust'))).toEqual(['anchors', 'refresh.sh']);
    expect(await readdir(world.path('/etc/node-ca-trust/anchors'))).toEqual([]);
  });

  test('takes what stores of other families would drop', async () => {
    await using world = await smallWorld();
    const leaf = await makeCert({ ca: false });
    expect(await install(world, one, leaf)).toEqual(done);
    expect(await ourFiles(world)).toEqual([nameOf(one), nameOf(leaf)].sort());
    expect(await inBundle(world)).toContain(leaf.fingerprint);
  });

  test('leaves the agent nothing to add, and lets it rotate', async () => {
    await using world = await smallWorld();
    await install(world, one, two);
    const file = world.path('/tmp/new.pem');
    await writeFile(file, one.pem + two.pem);

    const first = await agent(world).apply(file);
    expect(first.report).toMatchObject({ converged: true, added: [], repaired: [], removed: [], edits: [] });

    await writeFile(file, two.pem + three.pem);
    const { report } = await agent(world).apply(file);
    expect(report).toMatchObject({ converged: true, added: [three.fingerprint], removed: [one.fingerprint] });
    expect(await refresh(world)).toEqual(done);
    expect(await ourFiles(world)).toEqual([nameOf(two), nameOf(three)].sort());
    expect(await trust(world, one)).toEqual(nowhere);
  });

  test('mends what somebody did to the store, and else leaves it as it is', async () => {
    await using world = await smallWorld();
    await install(world, one);
    const before = await world.snapshot();
    await world.exec('sh', ['-c', `mkdir -p ${state} && touch ${request}`]);
    await rm(world.path(`/etc/ssl/certs/${one.subjectHash}.0`));
    await writeFile(world.path(bundle), two.pem);

    expect(await refresh(world)).toEqual(done);

    expect(changedPaths(before, await world.snapshot())).toEqual([]);
    expect(existsSync(world.path(request))).toBe(false);
  });

  test('takes a removed anchor out of bundle and links, and tells the hooks of both once they can see it', async () => {
    await using world = await smallWorld();
    const hook = await installHook(world, 3);
    const failure = 'node-ca-trust-refresh: /etc/ca-certificates/update.d/recorder ended with exit code 3\n';
    expect(await install(world, one, two)).toEqual({ ...done, stdout: expect.any(String) as string, stderr: failure });
    await rm(world.path(fileOf(one)));
    await writeFile(world.path(fileOf(three)), three.pem);

    expect(await refresh(world)).toMatchObject({ code: 0, stderr: failure });

    expect(await trust(world, one)).toEqual(nowhere);
    for (const ca of [two, three]) expect(await trust(world, ca)).toEqual(everywhere);
    expect(await danglingLinks(world)).toEqual([]);
    const link = (sign: string, cert: Cert): string => `${sign}/etc/ssl/certs/${nameOf(cert, '.pem')}`;
    const calls = await hook.calls();
    expect(calls.map(({ lines }) => lines)).toEqual([
      [link('+', one), link('+', two)].sort(),
      [link('+', three), link('-', one)],
    ]);
    expect(calls.at(-1)?.held).toEqual(await inBundle(world));
  });

  test('takes off a link by hash that leads nowhere, at which the look-up of another of that name would end', async () => {
    await using world = await smallWorld();
    const makeOne = () => makeCert({ subject: '/CN=Rolled over' });
    const [first, second] = await Promise.all([makeOne(), makeOne()]);
    await install(world, first, second);
    const links = [0, 1].map((suffix) => world.path(`${certs}/${first.subjectHash}.${suffix}`)) as [string, string];
    const gone = (await readlink(links[0])) === nameOf(first, '.pem') ? first : second;
    const kept = gone === first ? second : first;
    for (const path of [fileOf(gone), `${certs}/${nameOf(gone, '.pem')}`]) await rm(world.path(path));
    expect(await refresh(world)).toEqual(done);
    expect(await danglingLinks(world)).toEqual([]);
    expect(await trust(world, kept)).toEqual(everywhere);
  });

  test('sees what goes while it runs', async () => {
    await using world = await smallWorld();
    await install(world, one);
    await installHook(world);
    // A hook is what runs last: it takes the file of the other one away.
    await world.exec('sh', ['-c', `echo 'rm -f ${fileOf(two)}' >> /etc/ca-certificates/update.d/recorder`]);
    await world.exec('sed', ['-i', '/^exit/d', '/etc/ca-certificates/update.d/recorder']);
    for (const cert of [two, three]) await writeFile(world.path(fileOf(cert)), cert.pem);

    expect(await refresh(world)).toMatchObject({ code: 0, stderr: '' });

    expect(await trust(world, two)).toEqual(nowhere);
    for (const cert of [one, three]) expect(await trust(world, cert)).toEqual(everywhere);
    expect(await danglingLinks(world)).toEqual([]);
  });

  test('refreshes all the same where a link leads to itself', async () => {
    await using world = await smallWorld();
    await install(world, one);
    await symlink('self', world.path(`${anchors}/self`));
    await symlink('self.crt', world.path(`${anchors}/self.crt`));
    await symlink('0a0a0a0a.0', world.path(`${certs}/0a0a0a0a.0`));
    await writeFile(world.path(fileOf(two)), two.pem);

    expect(await refresh(world)).toMatchObject({ code: 0 });

    for (const cert of [one, two]) expect(await trust(world, cert)).toEqual(everywhere);
    expect(await readlink(world.path(`${anchors}/self`))).toBe('self');
  });

  test('publishes nothing that is broken or holds a key, and names the file', async () => {
    await using world = await smallWorld();
    await install(world, one);
    const before = await inBundle(world);
    await writeFile(world.path(`${anchors}/half.crt`), two.pem.slice(0, two.pem.length / 2));
    await writeFile(world.path(`${anchors}/with-key.crt`), three.pem + three.key);

    const { code, stderr } = await refresh(world);

    expect(code).toBe(1);
    expect(stderr).toContain(`${anchors}/half.crt is broken: mend or remove it`);
    expect(stderr).toContain(`${anchors}/with-key.crt holds a private key: take it out`);
    expect(stderr).not.toContain(`${fileOf(one)} `);
    expect(stderr).toMatch(/: the bundle is left as it was\n$/);
    expect(await inBundle(world)).toEqual(before);
    const holders = await world.exec('grep', [
      '-rls',
      '--',
      '-----BEGIN PRIVATE KEY',
      '/etc/ssl',
      '/etc/node-ca-trust',
      anchors,
    ]);
    expect(holders.stdout.split('\n').filter((path) => !path.startsWith('/etc/ssl/private/'))).toEqual([
      // The link that the tool has made leads to the file itself.
      `${anchors}/with-key.crt`,
      '',
    ]);
  });

  test('lets nothing but certificates into the bundle, which all may read', async () => {
    await using world = await smallWorld();
    await install(world, one);
    // Where the anchor directory is another's, root reads whatever a link in it leads to.
    await writeFile(world.path('/etc/secret'), 'a password\n', { mode: 0o600 });
    await symlink('/etc/secret', world.path(`${anchors}/leads-to-a-secret.crt`));
    await writeFile(world.path(`${anchors}/with-mark.crt`), `\uFEFFsome words\n\uFEFF${two.pem}`);

    // openssl passes over a first line like this, and over all that follows it.
    await writeFile(world.path(`${anchors}/a1.crt`), '-----BEGIN CERTIFICATE-----x\n');
    await symlink('/etc/secret', world.path(`${anchors}/a2.crt`));
    await writeFile(world.path(`${anchors}/a3.crt`), '-----END x\n');

    expect(await refresh(world)).toEqual(done);

    const text = await readFile(world.path(bundle), 'latin1');
    expect(text).not.toMatch(/a password|some words|\xef/);
    expect(text.replace(/-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n/g, '')).toBe('');
    expect((await inBundle(world)).has(two.fingerprint)).toBe(true);
  });

  test('takes what another file has in the form that only OpenSSL reads, too', async () => {
    await using world = await smallWorld();
    await install(world);
    await writeFile(world.path('/tmp/plain.pem'), two.pem);
    const trusted = ['x509', '-in', '/tmp/plain.pem', '-addtrust', 'serverAuth', '-trustout'];
    const { stdout } = await world.exec('openssl', trusted);
    expect(stdout).toContain('-----BEGIN TRUSTED CERTIFICATE-----');
    await writeFile(world.path(`${anchors}/theirs.crt`), stdout);

    expect(await install(world, one)).toEqual(done);

    expect(await trust(world, one)).toEqual(everywhere);
    expect([...(await inBundle(world))]).toEqual(expect.arrayContaining([one.fingerprint, two.fingerprint]));
  });

  test('does not write through what another has put in its way', async () => {
    await using world = await smallWorld();
    await install(world);
    await writeFile(world.path('/etc/precious'), 'as it was\n');
    await symlink('/etc/precious', world.path(`${anchors}/.${nameOf(one)}.00000000.tmp`));
    await symlink('/etc/precious', world.path(fileOf(one)));

    expect(await install(world, one)).toEqual(done);

    expect(await readFile(world.path('/etc/precious'), 'utf8')).toBe('as it was\n');
    expect(await readFile(world.path(fileOf(one)), 'utf8')).toBe(one.pem);
  });

  test('writes to no device that another puts in its way at the last moment', async () => {
    await using world = await smallWorld();
    await install(world);
    // Whatever is removed from the anchors is a link to a device at once.
    await world.exec('mv', ['/usr/bin/rm', '/usr/bin/rm.real']);
    const plant = `#!/bin/sh
rm.real "$@"
for path; do case $path in ${anchors}/*) ln -s /dev/null "$path";; esac; done
`;
    await writeFile(world.path('/usr/bin/rm'), plant, { mode: 0o755 });

    expect(await install(world, one)).toEqual(done);

    expect(await readFile(world.path(fileOf(one)), 'utf8')).toBe(one.pem);
    expect(await ourFiles(world)).toEqual([nameOf(one)]);
  });

  test('moves nothing into a directory to which a link leads', async () => {
    await using world = await smallWorld();
    await install(world);
    await symlink('/etc/default', world.path(fileOf(one)));
    const before = await readdir(world.path('/etc/default'));

    expect(await install(world, one)).toEqual(done);

    expect(await readdir(world.path('/etc/default'))).toEqual(before);
    expect(await readFile(world.path(fileOf(one)), 'utf8')).toBe(one.pem);
  });

  test('leaves the store as it is while there is a file that is too large to be read', async () => {
    await using world = await smallWorld();
    await install(world, one);
    const before = await inBundle(world);
    await writeFile(world.path(fileOf(two)), two.pem);
    await writeFile(world.path('/etc/sparse'), '');
    await truncate(world.path('/etc/sparse'), 8 * 1024 * 1024 + 1);
    await symlink('/etc/sparse', world.path(`${anchors}/huge.crt`));

    expect(await refresh(world)).toMatchObject({
      code: 1,
      stderr: `node-ca-trust-refresh: too large for a certificate, over 8388608 bytes; remove it: ${anchors}/huge.crt\n`,
    });

    expect(await inBundle(world)).toEqual(before);
    await rm(world.path(`${anchors}/huge.crt`));
    expect(await refresh(world)).toEqual(done);
    expect(await trust(world, two)).toEqual(everywhere);
  });

  test('does not let what a killed run of the tool left bring a CA back', async () => {
    await using world = await smallWorld();
    await install(world, one);
    await writeFile(world.path(plainTemporary), two.pem);
    const old = new Date(Date.now() - 120_000);
    await utimes(world.path(plainTemporary), old, old);
    await writeFile(world.path(fileOf(three)), three.pem);

    expect(await refresh(world)).toEqual(done);

    expect(existsSync(world.path(plainTemporary))).toBe(false);
    expect(await trust(world, two)).toEqual(nowhere);
    expect(await trust(world, three)).toEqual(everywhere);
  });

  test('waits for whoever holds the lock, and runs beside plain runs of the tool without a bad bundle', async () => {
    await using world = await smallWorld();
    await install(world, one);
    await writeFile(world.path(fileOf(two)), two.pem);
    const lock = await holdLock(world);
    const waiting = refresh(world);
    await world.exec('sh', ['-c', 'until pgrep -f "^timeout 100 flock 9$" > /dev/null; do :; done']);
    expect(await trust(world, two)).toEqual(nowhere);
    await lock.undo();
    expect(await waiting).toEqual(done);
    expect(await trust(world, two)).toEqual(everywhere);

    const times = (what: string): Promise<ExecResult> =>
      world.exec('sh', ['-c', `for run in 1 2 3 4 5 6 7 8; do ${what} || exit 1; done`]);
    const before = await inBundle(world);
    const ours = times(`mkdir -p ${state}; touch ${request}; sh ${script}`);
    const both = Promise.all([ours, times('update-ca-certificates')]);
    const short: number[] = [];
    let reads = 0;
    for (let over = false; !over; reads += 1) {
      over = await Promise.race([both.then(() => true), new Promise<boolean>((next) => setImmediate(next, false))]);
      const held = await inBundle(world);
      if (held.size !== before.size) short.push(held.size);
    }
    expect((await both).map(({ code }) => code)).toEqual([0, 0]);
    expect({ short, many: reads > 100 }).toEqual({ short: [], many: true });
  });

  test.each([
    ['an unknown system', 'ID=plan9\n', /the trust store of plan9 is not known here/],
    ['a system without its tool', 'ID=fedora\n', /update-ca-trust extract is not there: install ca-certificates/],
  ])('says in a line why it cannot serve %s', async (_, release, message) => {
    await using world = await smallWorld();
    await install(world);
    await rm(world.path('/etc/os-release'));
    await writeFile(world.path('/etc/os-release'), release);
    const { code, stderr } = await refresh(world);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^node-ca-trust-refresh: [^\n]+\n$/);
    expect(stderr).toMatch(message);
  });
});
