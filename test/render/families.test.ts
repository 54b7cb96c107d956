// The refresh script on the other families. Their tools are not to be had here: a stand-in for each takes all files of
// the anchor directory into the bundle. What is shown is where the script puts and looks for things, and what it makes of
// a tool that says that all is well.
import { copyFile, chmod, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { makeThree } from '../sandbox/harness/certs.ts';
import { inBundle, nameOf, smallWorld } from '../sandbox/harness/host.ts';
import type { World } from '../sandbox/harness/world.ts';
import { rendered } from './node.ts';

const [one, two, three] = await makeThree();

const families = [
  {
    release: 'ID="rocky"\nID_LIKE="rhel centos fedora"\n',
    tool: '/usr/bin/update-ca-trust',
    anchors: '/etc/pki/ca-trust/source/anchors',
    bundle: '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
    extension: '.crt',
  },
  {
    release: 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n',
    tool: '/usr/sbin/update-ca-certificates',
    anchors: '/etc/pki/trust/anchors',
    bundle: '/var/lib/ca-certificates/ca-bundle.pem',
    extension: '.crt',
  },
  {
    release: 'ID=alpine\n',
    tool: '/usr/sbin/update-ca-certificates',
    anchors: '/usr/local/share/ca-certificates',
    bundle: '/etc/ssl/certs/ca-certificates.crt',
    extension: '.crt',
  },
  {
    release: 'ID=flatcar\nID_LIKE=coreos\n',
    tool: '/usr/sbin/update-ca-certificates',
    anchors: '/etc/ssl/certs',
    bundle: '/etc/ssl/certs/ca-certificates.crt',
    extension: '.pem',
  },
] as const;

type Family = (typeof families)[number];

/** A world of that family, as far as the script can see. */
async function become(world: World, { release, tool, anchors, bundle }: Family, leaveOut = ''): Promise<void> {
  const put = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(world.path(path)), { recursive: true });
    await rm(world.path(path), { force: true });
    await writeFile(world.path(path), text);
    await chmod(world.path(path), 0o755);
  };
  for (const name of await readdir(world.path('/etc/ssl/certs'))) await rm(world.path(`/etc/ssl/certs/${name}`));
  await put('/etc/os-release', release);
  await put(
    tool,
    `#!/bin/sh\nset -- $(ls -d ${anchors}/*node-ca-trust* | grep -v '${leaveOut || 'nothing'}')\ncat "$@" > ${bundle}.tmp; mv ${bundle}.tmp ${bundle}\n`,
  );
  await put(bundle, '');
}

/** BusyBox in place of as many of the usual programs as it has. */
async function useBusyBox(world: World): Promise<readonly string[]> {
  await copyFile(inject('busybox'), world.path('/bin/busybox'));
  const { stdout } = await world.exec('busybox', ['--list']);
  const wanted =
    'sh awk basename cat chmod cmp comm cp cut dirname find flock grep ls mkdir mv printf rm rmdir sed sleep sort stat tail timeout touch tr xargs';
  const names = wanted.split(' ').filter((name) => stdout.split('\n').includes(name));
  await world.exec('busybox', [
    'sh',
    '-c',
    `for name in ${names.join(' ')}; do busybox ln -sf /bin/busybox "/usr/bin/$name"; done`,
  ]);
  return names;
}

describe('the refresh script', () => {
  test.each(families)('serves $release', async (family) => {
    await using world = await smallWorld({ view: 'overlay' });
    await become(world, family);
    expect(await world.exec('sh', [], { input: await rendered('systemd', one, two) })).toMatchObject({
      code: 0,
      stderr: '',
    });

    expect(await inBundle(world, family.bundle)).toEqual(new Set([one.fingerprint, two.fingerprint]));
    const ours = (await readdir(world.path(family.anchors))).filter((name) => name.includes('node-ca-trust'));
    expect(ours).toEqual([one, two].map((cert) => nameOf(cert, family.extension)).sort());
    expect(await readFile(world.path(`${family.anchors}/${nameOf(one, family.extension)}`), 'utf8')).toBe(one.pem);

    await rm(world.path(`${family.anchors}/${nameOf(one, family.extension)}`));
    expect(await world.exec('sh', ['/etc/node-ca-trust/refresh.sh'])).toMatchObject({ code: 0, stderr: '' });
    expect(await inBundle(world, family.bundle)).toEqual(new Set([two.fingerprint]));
  });

  test.each(families)('does not believe the tool of $release', async (family) => {
    await using world = await smallWorld({ view: 'overlay' });
    await become(world, family, nameOf(three, ''));
    const { code, stderr } = await world.exec('sh', [], { input: await rendered('systemd', one, three) });
    expect(code).toBe(1);
    expect(stderr).toContain(`${family.bundle} does not hold ${family.anchors}/${nameOf(three, family.extension)}`);
    expect(stderr).not.toContain(nameOf(one, ''));
  });

  test('runs with nothing but BusyBox', async () => {
    await using world = await smallWorld({ view: 'overlay' });
    const [, , alpine] = families;
    await become(world, alpine);
    console.log(`BusyBox: ${(await useBusyBox(world)).join(' ')}`);
    expect(await world.exec('busybox', ['sh'], { input: await rendered('systemd', one, two) })).toMatchObject({
      code: 0,
      stderr: '',
    });
    expect(await inBundle(world)).toEqual(new Set([one.fingerprint, two.fingerprint]));
  });
});
