import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
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

/** A host with all tools, and this os-release. */
function hostWith(release?: string, path = '/etc/os-release'): Host {
  const host = emptyHost();
  for (const file of needed) put(host, file);
  if (release !== undefined) put(host, path, release);
  return host;
}

const familyOf = (host: Host): string => openStore(host, 'default', clock).family;

describe('openStore', () => {
  it.each([
    ['Debian', 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n'],
    ['Ubuntu', 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nNAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n'],
    ['a derivative, by ID_LIKE', 'ID=linuxmint\nID_LIKE="ubuntu debian"\n'],
    ['a derivative of a derivative', "ID=house\nID_LIKE='something ubuntu'\n"],
    ['quoted values', 'ID="debian"\n'],
    ['values in single quotes', "ID='ubuntu'\n"],
    ['comments and blanks', '# a comment\n\nID=debian   \n'],
    ['Windows line ends', 'NAME="x"\r\nID=debian\r\n'],
    ['no final newline', 'ID=debian'],
  ])('knows %s', (_, release) => {
    expect(familyOf(hostWith(release))).toBe('debian');
  });

  it('reads /usr/lib/os-release where there is no other', () => {
    expect(familyOf(hostWith('ID=debian\n', '/usr/lib/os-release'))).toBe('debian');
  });

  it("follows the host's own link", () => {
    const host = hostWith('ID=ubuntu\n', '/usr/lib/os-release');
    symlinkSync('../usr/lib/os-release', join(host.root, 'etc/os-release'));
    expect(familyOf(host)).toBe('debian');
  });

  it('prefers /etc/os-release', () => {
    const host = hostWith('ID=debian\n');
    put(host, '/usr/lib/os-release', 'ID=talos\n');
    expect(familyOf(host)).toBe('debian');
  });

  it.each([
    ['Talos', 'NAME="Talos"\nID=talos\nPRETTY_NAME="Talos (v1.9.0)"\n', /Talos \(v1\.9\.0\).*read-only/],
    ['Bottlerocket', 'ID=bottlerocket\nPRETTY_NAME="Bottlerocket OS 1.30"\n', /Bottlerocket OS 1\.30.*read-only/],
    ['NixOS', 'ID=nixos\nPRETTY_NAME="NixOS 25.05"\n', /NixOS 25\.05.*security\.pki\.certificateFiles/],
    ['Ubuntu Core', 'ID=ubuntu-core\nID_LIKE="ubuntu debian"\n', /ubuntu-core.*read-only/],
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
