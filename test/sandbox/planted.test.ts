// What somebody plants who is not root and may write where the agent writes: Debian's group staff owns /usr/local. Nothing
// of it may lead root's hand, give away what only root can read, or keep a CA from being trusted.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, expect, test, type TestContext } from 'vitest';
import { agent } from './harness/agent.ts';
import { makeThree } from './harness/certs.ts';
import { anchors, bundle, everywhere, fileOf, inBundle, nameOf, state, trust, wholeWorld } from './harness/host.ts';
import { leaveOut } from './harness/leave-out.ts';
import { mountSecret } from './harness/secret-mount.ts';
import { changedPaths } from './harness/snapshot.ts';
import type { World } from './harness/world.ts';

const [one, two, other] = await makeThree();

const secret = 'root:$y$j9T$only-for-root:20000:0:99999:7:::\nc2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=\n';
const secretFile = '/var/secret';
const above = '/usr/local/share';

/** A world in which the group staff may write to /usr/local, as on Debian, and a file that root alone can read. */
async function staffWorld(context: TestContext): Promise<World> {
  const map = await readFile('/proc/self/uid_map', 'utf8');
  if (Number(map.trim().split(/\s+/)[2]) < 65_536) leaveOut(context, 'this user namespace has one user only');
  const world = await wholeWorld(context);
  await world.exec('sh', ['-ec', `chgrp staff ${above} ${anchors}; chmod 2775 ${above} ${anchors}`]);
  await writeFile(world.path(secretFile), secret, { mode: 0o600 });
  return world;
}

/** `/a/b` and `/a` of `/a/b/c`. */
function directoriesAbove(path: string): readonly string[] {
  const parent = dirname(path);
  return parent === '/' ? [] : [parent, ...directoriesAbove(parent)];
}

const staff = ['--reuid=1000', '--regid=staff', '--clear-groups'];

/** Shell, run in the anchor directory as a user of that group. */
async function plant(world: World, script: string): Promise<void> {
  const result = await world.exec('setpriv', [...staff, 'sh', '-ec', `cd ${anchors}; ${script}`]);
  expect(result).toMatchObject({ code: 0, stderr: '' });
}

describe('among the anchors', () => {
  const plants: Record<string, string> = {
    'a link to a file of root’s': `ln -s ${secretFile} x.crt`,
    'a link to that, by way of another': `ln -s ${secretFile} y; ln -s y x.crt`,
    'links in a circle': 'ln -s y.crt x.crt; ln -s x.crt y.crt',
    'a link to nowhere': 'ln -s /no/such x.crt',
    'a link to a file of the kernel’s that has no end': 'ln -s /proc/self/pagemap x.crt',
    'links that lead back, many times over': 'for n in a b c d e f g h i j k l; do ln -s . $n; done',
    'a link with a name that is too long': 'ln -s $(printf %0300d 0) x.crt',
    'links in links, each with thousands of steps':
      'dots=$(printf "./%.0s" $(seq 2000)); for n in $(seq 20); do ln -s L$((n + 1)).crt/$dots L$n.crt; done; mkdir L21.crt',
    'a FIFO': 'mkfifo x.crt',
    'a FIFO under a name of ours that is unfinished': `mkfifo .${nameOf(one)}.0123abcd.tmp`,
    'a directory under a name of ours that is unfinished': `mkdir -p .${nameOf(one)}.0123abcd.tmp/x; touch .${nameOf(one)}.0123abcd.tmp/x/y`,
    'a sparse file of a terabyte': 'truncate -s 1T x.crt',
    'a link to a file that even root cannot read': 'ln -s /proc/self/mem x.crt',
    'a file with odd characters in its name': `printf x > "$(printf 'a\\033[31m\\nb.crt')"`,
  };

  test.for(Object.entries(plants))(
    '%s: CAs come and go as ever, and nobody reads more than before',
    async ([, script], context) => {
      await using world = await staffWorld(context);
      await plant(world, script);
      const names = (): Promise<string[]> => readdir(world.path(anchors));
      const planted = await names();
      await using mounted = await mountSecret({ 'a.crt': one.pem });
      const { apply, remove } = agent(world);
      expect(await apply(mounted.directory)).toMatchObject({ code: 0, report: { reasons: [] } });
      await mounted.swap({ 'b.crt': two.pem });
      expect(await apply(mounted.directory)).toMatchObject({
        code: 0,
        report: { reasons: [], removed: [one.fingerprint] },
      });
      expect(await trust(world, two)).toEqual(everywhere);
      expect(await readFile(world.path(bundle), 'latin1')).not.toContain('only-for-root');
      expect(await readFile(world.path(bundle), 'latin1')).not.toContain('c2VjcmV0');
      expect(await remove()).toMatchObject({ code: 0 });
      expect(await names()).toEqual(planted);
      expect(await readFile(world.path(secretFile), 'utf8')).toBe(secret);
    },
  );

  // The kernel keeps a user from this, unless fs.protected_hardlinks is off.
  test.for(['x.crt', nameOf(one)])('a hard link to a file of root’s as %s', async (name, context) => {
    await using world = await staffWorld(context);
    await world.exec('ln', [secretFile, `${anchors}/${name}`]);
    await using mounted = await mountSecret({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { code, report } = await agent(world).apply(mounted.directory);
    const strange = `${nameOf(one)} on the host is not ours, though it bears our name; move it away`;
    expect([code, report.reasons]).toEqual(name === 'x.crt' ? [0, []] : [1, [strange]]);
    expect(await readFile(world.path(bundle), 'latin1')).not.toMatch(/only-for-root|c2VjcmV0/);
    expect(await trust(world, two)).toEqual(everywhere);
    expect((await world.exec('stat', ['-c', '%a %h', secretFile])).stdout).toBe('600 2\n');
    expect(await readFile(world.path(secretFile), 'utf8')).toBe(secret);
  });

  test('a good certificate with a secret around it: the certificate is trusted, the rest stays where it is', async (context) => {
    await using world = await staffWorld(context);
    await writeFile(world.path(`${anchors}/x.crt`), `${secret}${other.pem}${secret}`, { mode: 0o600 });
    await using mounted = await mountSecret({ 'a.crt': one.pem });
    expect(await agent(world).apply(mounted.directory)).toMatchObject({ code: 0 });
    expect(await readFile(world.path(bundle), 'latin1')).not.toMatch(/only-for-root|c2VjcmV0/);
    for (const ca of [one, other]) expect((await inBundle(world)).has(ca.fingerprint)).toBe(true);
  });

  test('a certificate in as many bytes as a bundle may have: all others come and go', async (context) => {
    await using world = await staffWorld(context);
    const blank = Buffer.alloc(8 * 1024 * 1024 - other.pem.length - 1, '\n');
    await writeFile(world.path(`${anchors}/x.crt`), Buffer.concat([Buffer.from(other.pem), blank]));
    await using mounted = await mountSecret({ 'a.crt': one.pem });
    expect(await agent(world).apply(mounted.directory)).toMatchObject({ code: 0, report: { reasons: [] } });
    for (const ca of [one, other]) expect((await inBundle(world)).has(ca.fingerprint)).toBe(true);
    expect((await readFile(world.path(bundle))).length).toBeLessThan(1024 * 1024);
  });

  test('a directory under the name of an installed anchor is named, and all others come and go', async (context) => {
    await using world = await staffWorld(context);
    await using mounted = await mountSecret({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    expect(await apply(mounted.directory)).toMatchObject({ code: 0 });
    await plant(world, `rm -f ${nameOf(one)}; mkdir ${nameOf(one)}`);
    await mounted.swap({ 'a.crt': one.pem, 'c.crt': other.pem });
    const { code, report } = await apply(mounted.directory);
    expect([code, report.removed, report.added]).toEqual([1, [two.fingerprint], [other.fingerprint]]);
    expect(report.reasons).toEqual([
      `${nameOf(one)} on the host is not ours, though it bears our name; move it away`,
      ...report.reasons.slice(1),
    ]);
    expect(await trust(world, other)).toEqual(everywhere);
    await plant(world, `rmdir ${nameOf(one)}`);
    expect(await apply(mounted.directory)).toMatchObject({ code: 0, report: { reasons: [] } });
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test.for([
    ['a link to the host’s root', 'ln -s / x'],
    ['a huge file under many directories', 'd=x$(printf "/d%.0s" $(seq 40)); mkdir -p $d; truncate -s 1T $d/x.crt'],
  ] as const)('%s is named, and nothing is written for it', async ([, script], context) => {
    await using world = await staffWorld(context);
    await plant(world, script);
    const before = await readFile(world.path(bundle), 'latin1');
    await using mounted = await mountSecret({ 'a.crt': one.pem });
    const { code, report } = await agent(world).apply(mounted.directory);
    expect([code, report.reasons]).toEqual([1, [expect.stringContaining(anchors)]]);
    expect(await readFile(world.path(bundle), 'latin1')).toBe(before);
    await plant(world, 'rm -r x');
    expect(await agent(world).apply(mounted.directory)).toMatchObject({ code: 0 });
  });
});

describe('in the place of the anchor directory', () => {
  const away = `cd ${above}; mv ca-certificates mine;`;

  test.for([`${away} ln -s /etc/cron.d ca-certificates`, `${away} ln -s /etc/nologin ca-certificates`])(
    '%s: root writes nothing there, and says why',
    async (script, context) => {
      await using world = await staffWorld(context);
      const list = async (): Promise<string> => (await world.exec('find', ['/etc/cron.d', '/etc/nologin'])).stdout;
      const before = await list();
      await plant(world, script);
      await using mounted = await mountSecret({ 'a.crt': one.pem });
      const { code, report } = await agent(world).apply(mounted.directory);
      expect([code, report.reasons.join('\n')]).toEqual([
        1,
        expect.stringMatching(/ca-certificates is a link of user 1000's/),
      ]);
      expect(await list()).toBe(before);
      await world.exec('sh', ['-ec', `cd ${above}; rm ca-certificates; mv mine ca-certificates`]);
      expect(await agent(world).apply(mounted.directory)).toMatchObject({ code: 0 });
      expect(await trust(world, one)).toEqual(everywhere);
    },
  );
});

test('no directory that a pass writes to can be written by others, but for the anchors and what they lie in', async (context) => {
  await using world = await staffWorld(context);
  await using mounted = await mountSecret({ 'a.crt': one.pem });
  const before = await world.snapshot();
  expect(await agent(world).apply(mounted.directory)).toMatchObject({ code: 0 });
  const written = changedPaths(before, await world.snapshot());
  const parents = new Set(written.flatMap(directoriesAbove));
  const open: string[] = [];
  for (const path of parents) {
    const { uid, mode } = await stat(world.path(path));
    if (uid !== 0 || (mode & 0o022) !== 0) open.push(path);
  }
  expect(open.sort()).toEqual([above, anchors]);
  expect([...parents]).toEqual(expect.arrayContaining([dirname(bundle), state]));
});

test('programs in /usr/local stand for none of the system’s', async (context) => {
  await using world = await staffWorld(context);
  await world.exec('sh', ['-ec', 'mkdir -p /usr/local/sbin; chgrp staff /usr/local/sbin; chmod 2775 /usr/local/sbin']);
  for (const name of ['flock', 'update-ca-certificates', 'openssl', 'run-parts', 'sed']) {
    const path = `/usr/local/sbin/${name}`;
    await plant(world, `printf '#!/bin/sh\\ntouch /var/led; exit 1\\n' > ${path}`);
    await chmod(world.path(path), 0o755);
  }
  await using mounted = await mountSecret({ 'a.crt': one.pem });
  expect(await agent(world).apply(mounted.directory)).toMatchObject({ code: 0 });
  expect(await world.exec('ls', ['/var/led'])).toMatchObject({ code: 2 });
  expect(await readFile(world.path(fileOf(one)), 'utf8')).toBe(one.pem);
});

test('a user who locks every directory that he can open keeps no pass waiting', async (context) => {
  await using world = await staffWorld(context);
  await using mounted = await mountSecret({ 'a.crt': one.pem });
  expect(await agent(world).apply(mounted.directory)).toMatchObject({ code: 0 });
  const places = ['/etc/ssl', '/etc/ca-certificates', '/usr/share/ca-certificates', anchors, state].map((path) =>
    world.path(path),
  );
  const script = `for place in $(find ${places.join(' ')} -type d); do
    [ ! -r "$place" ] || set -- "$@" flock -x "$place"
  done
  exec "$@" sh -c 'echo locked; exec cat'`;
  // It ends with its standard input, however this process does.
  const holder = spawn('setpriv', [...staff, 'sh', '-c', script], { stdio: ['pipe', 'pipe', 'ignore'] });
  const ended = once(holder, 'exit');
  await once(holder.stdout, 'data');
  await mounted.swap({ 'a.crt': two.pem });
  expect(await agent(world).apply(mounted.directory)).toMatchObject({ code: 0 });
  expect(holder.exitCode).toBeNull();
  holder.stdin.end();
  await ended;
});
