// A host that is not as it must be: one clear line, the right exit code, the old bundle in place, and healed as soon as
// the cause is gone.
import { execa } from 'execa';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { agent, type PassOutcome } from './harness/agent.ts';
import { makeThree } from './harness/certs.ts';
import { cleanEnvironment } from './harness/environment.ts';
import {
  anchors,
  bundle,
  certs,
  danglingLinks,
  everywhere,
  nowhere,
  scene,
  smallWorld,
  state,
  trust,
  wholeWorld,
} from './harness/host.ts';
import { leaveOut } from './harness/leave-out.ts';
import { mountSecret } from './harness/secret-mount.ts';
import { shell } from './harness/shell.ts';
import { changedPaths } from './harness/snapshot.ts';
import type { Undo, World } from './harness/world.ts';

const [kept, old, next] = await makeThree();

/** One line for a person, no stack trace. */
function oneLine(stderr: string): string {
  expect(stderr).toMatch(/^node-ca-trust: [^\n]{1,600}\n$/);
  return stderr;
}

/** A rotation on a host that is not as it must be, and again once it is. */
async function rotateThrough(harm: (world: World) => Promise<Undo>): Promise<PassOutcome> {
  const { world, secret } = await scene({ 'kept.crt': kept.pem, 'ca.crt': old.pem });
  const { apply } = agent(world);
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  const before = await readFile(world.path(bundle));
  await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': next.pem });

  await using harmed = await harm(world);
  const outcome = await apply(secret.directory);
  expect(outcome).toMatchObject({ code: 1, report: { converged: false, reasons: [expect.any(String)] } });
  expect((await readFile(world.path(bundle))).equals(before)).toBe(true);
  // Again and again does no more harm than once.
  expect(await apply(secret.directory)).toMatchObject({ code: 1, report: { reasons: outcome.report.reasons } });
  expect((await readFile(world.path(bundle))).equals(before)).toBe(true);
  expect((await trust(world, kept)).bundle).toBe(true);

  await harmed.undo();
  expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { converged: true, reasons: [] } });
  for (const ca of [kept, next]) expect(await trust(world, ca)).toEqual(everywhere);
  expect(await trust(world, old)).toEqual(nowhere);
  expect(await danglingLinks(world)).toEqual([]);
  return outcome;
}

/** A full disk of its own under a directory. */
async function full(world: World, directory: string): Promise<Undo> {
  await using undo = new AsyncDisposableStack();
  undo.use(await world.limitSpace(directory, 4 * 2 ** 20));
  const filled = undo.use(await world.fill(directory));
  // The limit stays until the end of the world: what was written under it would vanish with it.
  undo.move();
  return filled;
}

describe('a full disk keeps the old bundle in place, says so, and heals by itself', () => {
  test.each(['/etc/ssl', anchors, state])('under %s', async (directory) => {
    const { stderr } = await rotateThrough((world) => full(world, directory));
    expect(oneLine(stderr)).toMatch(/no space left/i);
  });
});

describe('a read-only directory keeps the old bundle in place, says so, and heals by itself', () => {
  test.each(['/etc/ssl', anchors, state, '/var/lib'])('%s', async (directory) => {
    const { stderr } = await rotateThrough((world) => world.readOnly(directory));
    expect(oneLine(stderr)).toMatch(/read-only file system|the file system is read-only/i);
  });
});

test('a bundle that is a mount of its own is named, and left as it is', async () => {
  const { stderr } = await rotateThrough((world) => world.readOnly(bundle));
  expect(oneLine(stderr)).toContain(bundle);
  expect(stderr).toContain('EBUSY');
});

test('a certificate directory that is a mount of its own is named, and left as it is', async () => {
  const { stderr } = await rotateThrough((world) => world.limitSpace(certs, 4 * 2 ** 20));
  expect(oneLine(stderr)).toContain(bundle);
  expect(stderr).toContain('EXDEV');
});

test('the directory of the records that was removed behind its mount is named, and nothing is changed', async () => {
  const { world, secret } = await scene({ 'ca.crt': next.pem });
  const { apply } = agent(world);
  const harm = 'mkdir -m 700 -p "$1" "$2"; mount --bind "$1" "$2"; rmdir "$1"';
  await shell(harm, world.path('/var/lib/of-another'), world.path(state));
  const before = await world.snapshot();
  const { code, stderr } = await apply(secret.directory);
  expect(code).toBe(1);
  expect(oneLine(stderr)).toContain(`${state} was removed on the host`);
  expect(changedPaths(before, await world.snapshot())).toEqual([]);

  await shell('umount -l "$1"', world.path(state));
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  expect(await trust(world, next)).toEqual(everywhere);
});

describe('a host that cannot be served is left as it is', () => {
  const remove = async (world: World, ...paths: string[]): Promise<void> => {
    for (const path of paths) await rm(world.path(path), { recursive: true });
  };
  const release = async (world: World, text: string): Promise<void> => {
    await remove(world, '/etc/os-release');
    await writeFile(world.path('/etc/os-release'), text);
  };
  const hosts: Record<string, { harm: (world: World) => Promise<void>; line: RegExp }> = {
    'without openssl': {
      harm: (world) => remove(world, '/usr/bin/openssl'),
      line: /\/usr\/bin\/openssl; install the package openssl/,
    },
    'without update-ca-certificates': {
      harm: (world) => remove(world, '/usr/sbin/update-ca-certificates'),
      line: /\/usr\/sbin\/update-ca-certificates; install the package ca-certificates/,
    },
    'without flock': {
      harm: (world) => remove(world, '/usr/bin/flock'),
      line: /\/usr\/bin\/flock; install the package util-linux/,
    },
    'without a certificate directory': { harm: (world) => remove(world, certs), line: /\/etc\/ssl\/certs/ },
    'of an unknown distribution': {
      harm: (world) => release(world, 'ID=plan9\nPRETTY_NAME="Plan 9 from Bell Labs"\n'),
      line: /Plan 9 from Bell Labs.*supported: /,
    },
    'whose root is read-only by design': {
      harm: (world) => release(world, "ID=talos\nPRETTY_NAME='Talos (v1.9)'\n"),
      line: /Talos \(v1\.9\): its root is read-only/,
    },
    'with an empty os-release': { harm: (world) => release(world, ''), line: /unknown.*supported: / },
    'without os-release': {
      harm: (world) => remove(world, '/etc/os-release', '/usr/lib/os-release'),
      line: /no \/etc\/os-release.*--host-root/,
    },
  };

  test.for(Object.entries(hosts))('%s', async ([, { harm, line }], context) => {
    await using world = await wholeWorld(context);
    await using secret = await mountSecret({ 'ca.crt': next.pem });
    await harm(world);
    const before = await world.snapshot();
    for (const pass of [() => agent(world).apply(secret.directory), () => agent(world).remove()]) {
      const { code, stderr, report } = await pass();
      expect(code).toBe(1);
      expect(oneLine(stderr)).toMatch(line);
      expect(report).toMatchObject({ converged: false, added: [], removed: [] });
    }
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });

  test('another file than Debian’s own is read for the distribution when the first is missing', async (context) => {
    await using world = await wholeWorld(context);
    await using secret = await mountSecret({ 'ca.crt': next.pem });
    await remove(world, '/etc/os-release');
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
  });

  test('a derivative is known by what it is like', async (context) => {
    await using world = await wholeWorld(context);
    await using secret = await mountSecret({ 'ca.crt': next.pem });
    await release(world, 'NAME=Mint\nID=linuxmint\nID_LIKE="ubuntu debian"\n');
    expect(await agent(world).apply(secret.directory)).toMatchObject({
      code: 0,
      report: { store: { family: 'debian' } },
    });
  });
});

describe('wrong usage is one line and exit code 2, and changes nothing', () => {
  const usages: Record<string, { words: (root: string, good: string) => string[]; line: RegExp }> = {
    'no command': { words: () => [], line: /no command/ },
    'an unknown command': { words: () => ['frobnicate'], line: /frobnicate/ },
    'an unknown option': { words: (root, good) => apply(root, good, '--frobnicate'), line: /--frobnicate/ },
    'an option without its value': { words: (root, good) => apply(root, good, '--instance'), line: /--instance/ },
    'a bad instance': { words: (root, good) => apply(root, good, '--instance', '../x'), line: /--instance.*\.\.\/x/ },
    'a bad count': { words: (root, good) => apply(root, good, '--max-certificates', '-1'), line: /--max-certificates/ },
    'a bad format': { words: (root, good) => apply(root, good, '--output', 'xml'), line: /--output.*xml/ },
    'no bundle': { words: (root) => ['apply', '--host-root', root], line: /--bundle/ },
    'a bundle that is not there': {
      words: (root, good) => apply(root, `${good}/missing`),
      line: /--bundle .*\/missing: no such file/,
    },
    'a host root that is not there': {
      words: (root, good) => apply(`${root}/missing`, good),
      line: /--host-root .*\/missing: no such directory/,
    },
    'a host root that is no root': {
      words: (_, good) => apply(good, good),
      line: /--host-root .*: not a root file system/,
    },
    'a host root that is a file': {
      words: (root, good) => apply(`${root}/etc/passwd`, good),
      line: /--host-root .*: not a root file system/,
    },
    'a relative host root': { words: (_, good) => apply('host', good), line: /--host-root.*absolute/ },
    'a removal from a host root that is not there': {
      words: (root) => ['remove', '--host-root', `${root}/missing`],
      line: /--host-root .*\/missing: no such directory/,
    },
    'a daemon with an unknown option': {
      words: (root, good) => ['run', '--bundle', good, '--host-root', root, '--frobnicate'],
      line: /--frobnicate/,
    },
    'a daemon without a bundle': { words: (root) => ['run', '--host-root', root], line: /--bundle/ },
    'a daemon with a bad address': {
      words: (root, good) => ['run', '--bundle', good, '--host-root', root, '--listen', '9641'],
      line: /--listen/,
    },
    'a daemon with a bad interval': {
      words: (root, good) => ['run', '--bundle', good, '--host-root', root, '--resync', '10'],
      line: /--resync/,
    },
  };
  const apply = (root: string, bundlePath: string, ...options: string[]): string[] => [
    ...['apply', '--host-root', root, '--bundle', bundlePath, ...options],
  ];

  test.each(Object.entries(usages))('%s', async (_, { words, line }) => {
    const { world, secret } = await scene({ 'ca.crt': next.pem });
    const before = await world.snapshot();
    const { code, stdout, stderr } = await agent(world).cli(...words(world.root, secret.directory));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(oneLine(stderr)).toMatch(line);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });
});

describe('without the rights it needs', () => {
  const source = (name: string): string => JSON.stringify(new URL(`../../src/${name}`, import.meta.url).href);

  /** Every module is loaded before the rights go: an ordinary user need not be able to read this project. */
  const asNobody = `
    import { main } from ${source('cli.ts')};
    await import(${source('commands/apply.ts')});
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    process.exitCode = await main(process.argv.slice(1), {}, process, new AbortController().signal);`;

  const run = async (command: readonly string[], words: readonly string[]) => {
    const [file = '', ...args] = [...command, ...words];
    const options = { env: cleanEnvironment, extendEnv: false, reject: false } as const;
    const { exitCode, stderr } = await execa(file, args, options);
    return { code: exitCode, stderr: `${stderr}\n` };
  };

  test('an ordinary user is told so, and nothing changes', async (context) => {
    const map = await readFile('/proc/self/uid_map', 'utf8');
    if (Number(map.trim().split(/\s+/)[2]) < 65_536) leaveOut(context, 'this user namespace has one user only');
    await using world = await smallWorld();
    await chmod(dirname(world.root), 0o755);
    const directory = await mkdtemp(join(tmpdir(), 'readable-'));
    await chmod(directory, 0o755);
    await writeFile(join(directory, 'ca.crt'), next.pem);
    const before = await world.snapshot();
    const node = [process.execPath, '--input-type=module', '--eval', asNobody];
    const { code, stderr } = await run(node, [
      'apply',
      '--host-root',
      world.root,
      '--bundle',
      directory,
      '--output',
      'json',
    ]);
    await rm(directory, { recursive: true });
    expect(code).toBe(1);
    expect(oneLine(stderr)).toMatch(/permission denied|not permitted/);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });

  test('root that may not chroot is told so, and nothing changes', async () => {
    const { world, secret } = await scene({ 'ca.crt': next.pem });
    const before = await world.snapshot();
    const program = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
    const node = ['setpriv', '--bounding-set=-sys_chroot', '--inh-caps=-sys_chroot', process.execPath, program];
    const options = ['--host-root', world.root, '--bundle', secret.directory, '--output', 'json'];
    const { code, stderr } = await run(node, ['apply', ...options]);
    expect(code).toBe(1);
    expect(oneLine(stderr)).toMatch(/not permitted/);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });
});
