import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/host/clock.ts';
import type { Host } from '../../../src/host/host.ts';
import { Problem } from '../../../src/host/problem.ts';
import { openStore } from '../../../src/stores/detect.ts';
import { emptyHost } from '../support/directories.ts';

const clock: Clock = { now: () => 0, steady: () => 0, sleep: () => Promise.resolve() };
const needed = ['/usr/sbin/update-ca-certificates', '/usr/bin/openssl', '/usr/bin/flock', '/etc/ssl/certs'] as const;

function put(host: Host, path: string, text = ''): void {
  mkdirSync(dirname(join(host.root, path)), { recursive: true });
  writeFileSync(join(host.root, path), text);
}

/** What is there on each family's systems. */
const systems = {
  debian: [...needed, '/etc/ca-certificates.conf', '/usr/share/ca-certificates/world.crt', '/var/lib/dpkg/status'],
  rhel: [
    '/usr/bin/update-ca-trust',
    '/usr/bin/trust',
    '/usr/bin/flock',
    '/etc/pki/ca-trust/source/README',
    '/etc/pki/ca-trust/extracted/pem/README',
  ],
  suse: [
    '/usr/sbin/update-ca-certificates',
    '/usr/bin/trust',
    '/usr/bin/flock',
    '/etc/pki/trust/anchors/README',
    '/usr/lib/ca-certificates/update.d/80etc_ssl.run',
    '/var/lib/ca-certificates/ca-bundle.pem',
  ],
  alpine: [
    '/usr/sbin/update-ca-certificates',
    '/usr/bin/flock',
    '/etc/ssl/certs',
    '/etc/apk/world',
    '/etc/ca-certificates.conf',
    '/usr/share/ca-certificates/world.crt',
  ],
  flatcar: ['/usr/bin/flock', '/etc/ssl/certs', '/usr/share/flatcar/release'],
  cos: ['/usr/bin/flock', '/etc/ssl/certs', '/mnt/stateful_partition/dev_image'],
} as const;
type System = keyof typeof systems;
const kinds = Object.keys(systems) as System[];

/** A host with all tools of these systems, and this os-release. */
function hostWith(release?: string, path = '/etc/os-release', ...kinds: readonly System[]): Host {
  const host = emptyHost();
  for (const file of kinds.length === 0 ? needed : kinds.flatMap((kind) => systems[kind])) put(host, file);
  if (release !== undefined) put(host, path, release);
  return host;
}

const familyOf = (host: Host): string => openStore(host, 'default', clock).family;

describe('openStore', () => {
  it('refuses in one line a host whose /usr alone is seen, and does not have all programs', () => {
    const host = hostWith('ID=debian\nPRETTY_NAME="Debian GNU/Linux 10 (buster)"\n');
    symlinkSync('usr/bin', join(host.root, 'bin'));
    const line =
      /^the host runs Debian GNU\/Linux 10 \(buster\), whose programs are not all below \/usr, .*; use deploy\/base there/;
    expect(() => familyOf(host)).toThrow(line);
    expect(() => familyOf(host)).toThrow(Problem);
    put(host, '/usr/bin/sh');
    expect(familyOf(host)).toBe('debian');
  });

  it.each([
    ['Debian', 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n'],
    ['Ubuntu', 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nNAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n'],
    ['Raspbian', 'ID=raspbian\nID_LIKE=debian\n'],
    ['Kali', 'ID=kali\nID_LIKE=debian\n'],
    ['Linux Mint', 'ID=linuxmint\nID_LIKE="ubuntu debian"\n'],
    ['Pop!_OS', 'ID=pop\nID_LIKE="ubuntu debian"\n'],
    ['Proxmox VE, which says Debian', 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'],
    ['Devuan', 'ID=devuan\nID_LIKE=debian\n'],
    ['Garden Linux', 'ID=gardenlinux\nID_LIKE=debian\n'],
    ['a derivative of a derivative', "ID=house\nID_LIKE='something ubuntu'\n"],
    ['quoted values', 'ID="debian"\n'],
    ['values in single quotes', "ID='ubuntu'\n"],
    ['comments and blanks', '# a comment\n\nID=debian   \n'],
    ['Windows line ends', 'NAME="x"\r\nID=debian\r\n'],
    ['no final newline', 'ID=debian'],
  ])('knows %s', (_, release) => {
    expect(familyOf(hostWith(release))).toBe('debian');
  });

  it.each([
    ['rhel', 'RHEL', 'ID="rhel"\nID_LIKE="fedora"\n'],
    ['rhel', 'Rocky', 'ID="rocky"\nID_LIKE="rhel centos fedora"\n'],
    ['rhel', 'Fedora CoreOS', 'ID=fedora\nVARIANT_ID=coreos\n'],
    ['rhel', 'RHEL CoreOS', 'ID="rhcos"\nID_LIKE="rhel fedora"\n'],
    ['rhel', 'Amazon Linux 2', 'ID="amzn"\nID_LIKE="centos rhel fedora"\n'],
    ['rhel', 'Azure Linux', 'ID=azurelinux\n'],
    ['rhel', 'Mariner', 'ID=mariner\n'],
    ['suse', 'SLES', 'ID="sles"\nID_LIKE="suse"\n'],
    ['suse', 'Leap', 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n'],
    ['suse', 'MicroOS', 'ID="opensuse-microos"\nID_LIKE="suse opensuse opensuse-tumbleweed"\n'],
    ['alpine', 'Alpine', 'ID=alpine\nVERSION_ID=3.22.1\n'],
    ['alpine', 'postmarketOS', 'ID="postmarketos"\nID_LIKE="alpine"\n'],
    ['flatcar', 'Flatcar', 'ID=flatcar\nID_LIKE=coreos\n'],
    ['cos', 'Container-Optimized OS', 'ID=cos\nPRETTY_NAME="Container-Optimized OS from Google"\n'],
  ] as const)('knows %s: %s', (family, _, release) => {
    expect(familyOf(hostWith(release, '/etc/os-release', family))).toBe(family);
  });

  it.each([
    ['debian', 'ID=debian\n'],
    ['rhel', 'ID=rocky\n'],
    ['suse', 'ID=sles\n'],
    ['alpine', 'ID=alpine\n'],
    ['flatcar', 'ID=flatcar\n'],
    ['cos', 'ID=cos\n'],
  ])("is decided by os-release where several families' tools are there: %s", (family, release) => {
    expect(familyOf(hostWith(release, '/etc/os-release', ...kinds))).toBe(family);
  });

  it.each([
    ['debian', 'ID=fedora', 'Debian and Ubuntu'],
    ['debian', 'ID=sles', 'Debian and Ubuntu'],
    ['rhel', 'ID=ubuntu', 'RHEL'],
    ['suse', 'ID=debian', 'SUSE'],
    ['alpine', 'ID=debian', 'Alpine'],
    ['debian', 'ID=alpine', 'Debian and Ubuntu'],
    ['flatcar', 'ID=ubuntu', 'Flatcar'],
    ['cos', 'ID=debian', 'Container-Optimized OS'],
  ] as const)('refuses a host of %s that says %s', (family, release, name) => {
    const host = hostWith(`${release}\nPRETTY_NAME="A Lie"\n`, '/etc/os-release', family);
    const line = new RegExp(`^the host's os-release says A Lie, but its trust store is that of ${name}[^\\n]*$`);
    expect(() => openStore(host, 'default', clock)).toThrow(line);
  });

  it('names the package of Azure Linux that brings the tool', () => {
    const host = hostWith('ID=azurelinux\n', '/etc/os-release', 'rhel');
    rmSync(join(host.root, '/usr/bin/update-ca-trust'));
    expect(() => openStore(host, 'default', clock)).toThrow('install the package ca-certificates-tools');
  });

  it('prints a strange name on one line', () => {
    const host = hostWith('ID=x\nPRETTY_NAME="a\u001b[2Jb"\n');
    expect(() => openStore(host, 'default', clock)).toThrow(/^the host runs a\\u\{1b\}\[2Jb, whose/);
  });

  it('reads /usr/lib/os-release where there is no other', () => {
    expect(familyOf(hostWith('ID=debian\n', '/usr/lib/os-release'))).toBe('debian');
  });

  it("follows the host's own link", () => {
    const host = hostWith('ID=ubuntu\n', '/usr/lib/os-release');
    symlinkSync('../usr/lib/os-release', join(host.root, 'etc/os-release'));
    expect(familyOf(host)).toBe('debian');
  });

  it('follows no link out of the root', () => {
    const host = hostWith();
    writeFileSync(`${host.root}-outside`, 'ID=debian\n');
    symlinkSync(`../../${basename(host.root)}-outside`, join(host.root, 'etc/os-release'));
    expect(() => familyOf(host)).toThrow(/has no \/etc\/os-release/);
    rmSync(`${host.root}-outside`);
  });

  it('prefers /etc/os-release', () => {
    const host = hostWith('ID=debian\n');
    put(host, '/usr/lib/os-release', 'ID=talos\n');
    expect(familyOf(host)).toBe('debian');
  });

  it.each([
    ['Talos', 'NAME="Talos"\nID=talos\nPRETTY_NAME="Talos (v1.9.0)"\n', /Talos \(v1\.9\.0\).*read-only.*render talos/],
    [
      'Bottlerocket',
      'ID=bottlerocket\nPRETTY_NAME="Bottlerocket OS 1.30"\n',
      /Bottlerocket OS 1\.30.*read-only.*render bottlerocket/,
    ],
    ['NixOS', 'ID=nixos\nPRETTY_NAME="NixOS 25.05"\n', /NixOS 25\.05.*security\.pki\.certificateFiles/],
    ['Ubuntu Core', 'ID=ubuntu-core\nID_LIKE="ubuntu debian"\n', /ubuntu-core.*read-only/],
    ['Arch Linux', 'ID=arch\nPRETTY_NAME="Arch Linux"\n', /Arch Linux.*not served yet.*update-ca-trust/],
  ])('refuses %s by name', (_, release, message) => {
    expect(() => openStore(hostWith(release), 'default', clock)).toThrow(Problem);
    expect(() => openStore(hostWith(release), 'default', clock)).toThrow(message);
  });

  it.each([
    [
      'by its name',
      'ID=plan9\nPRETTY_NAME="Plan 9"\n',
      /the host runs Plan 9, whose trust store is not known.*Debian and Ubuntu/,
    ],
    ['by its ID where it has no name', 'ID=plan9\n', /the host runs plan9, /],
    ['as unknown where it has neither', 'VERSION=1\n', /the host runs (?:an )?unknown/],
    ['as unknown where the file is empty', '', /the host runs (?:an )?unknown/],
  ])('names a system that it does not know %s', (_, release, message) => {
    expect(() => openStore(hostWith(release), 'default', clock)).toThrow(message);
  });

  it('says so when the host has no os-release', () => {
    const host = hostWith();
    expect(() => openStore(host, 'default', clock)).toThrow(Problem);
    expect(() => openStore(host, 'default', clock)).toThrow(
      /has no \/etc\/os-release.*is --host-root the host's own root/,
    );
  });

  it.each([
    [needed[0], 'ca-certificates'],
    [needed[1], 'openssl'],
    [needed[2], 'util-linux'],
    [needed[3], 'ca-certificates'],
  ])('names the package when %s is missing', (path, pack) => {
    const host = hostWith('ID=debian\nPRETTY_NAME="Debian 12"\n');
    rmSync(join(host.root, path));
    expect(() => openStore(host, 'default', clock)).toThrow(
      `the host runs Debian 12 but has no ${path}; install the package ${pack} on it`,
    );
  });
});
