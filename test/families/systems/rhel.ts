// RHEL and its relatives. Their update-ca-trust is not to be had here: it is made anew in other words, in the three forms
// that are in use, over the real p11-kit.
import type { System } from '../system.ts';
import { layOut, link, put, runOnce } from './p11-kit.ts';
import { mkdir } from 'node:fs/promises';

const extracted = '/etc/pki/ca-trust/extracted';
const sources = ['/etc/pki/ca-trust/source', '/usr/share/pki/ca-trust-source'] as const;

interface Form {
  readonly name: string;
  readonly release: string;
  /** Stops at the first extract that fails. */
  readonly strict: boolean;
  /** Makes a hashed directory, and links to it in /etc/pki/tls/certs, which are all gone until it is made. */
  readonly hashed: boolean;
  readonly pack: string;
}

function script({ strict, hashed }: Form): string {
  const extract = (format: string, to: string, purpose = 'server-auth'): string =>
    `trust extract --overwrite --filter=ca-anchors --purpose=${purpose} --format=${format} ${extracted}/${to}`;
  const links = '/etc/pki/tls/certs';
  return [
    '#!/bin/sh',
    '# What update-ca-trust does, in other words.',
    strict ? 'set -eu' : '',
    'export P11_KIT_NO_USER_CONFIG=1',
    hashed ? `find ${links} -type l -name '[0-9a-f]*.[0-9]*' -delete` : '',
    `trust extract --overwrite --filter=certificates --format=openssl-bundle ${extracted}/openssl/ca-bundle.trust.crt`,
    extract('pem-bundle', 'pem/tls-ca-bundle.pem'),
    extract('pem-bundle', 'pem/email-ca-bundle.pem', 'email'),
    extract('pem-bundle', 'pem/objsign-ca-bundle.pem', 'code-signing'),
    extract('java-cacerts', 'java/cacerts'),
    extract('edk2-cacerts', 'edk2/cacerts.bin'),
    hashed ? extract('pem-directory-hash', 'pem/directory-hash') : '',
    hashed
      ? `for link in ${extracted}/pem/directory-hash/*.[0-9]*; do ln -s "$(readlink -f "$link")" "${links}/\${link##*/}"; done`
      : '',
  ].join('\n');
}

function systemOf(form: Form): System {
  const { name, release, hashed, pack } = form;
  return {
    name,
    family: 'rhel',
    release,
    emulated: 'update-ca-trust is a re-creation; p11-kit, which does the work, is real',
    anchors: `${sources[0]}/anchors`,
    bundle: `${extracted}/pem/tls-ca-bundle.pem`,
    ...(hashed && { unlinks: true as const }),
    hashed: hashed ? ['/etc/ssl/certs', `${extracted}/pem/directory-hash`] : [],
    disk: extracted,
    refresh: ['update-ca-trust', 'extract'],
    needed: ['/usr/bin/update-ca-trust', pack],
    drops: true,
    async build(world) {
      await layOut(world, sources);
      for (const directory of ['pem', 'java', 'edk2', 'openssl']) {
        await mkdir(world.path(`${extracted}/${directory}`), { recursive: true });
      }
      if (hashed) await mkdir(world.path(`${extracted}/pem/directory-hash`));
      await mkdir(world.path('/etc/pki/tls/certs'), { recursive: true });
      await link(world, '/etc/ssl/certs', '../pki/tls/certs');
      // The releases that look by hash have dropped the bundle's other names.
      if (!hashed) await link(world, '/etc/pki/tls/certs/ca-bundle.crt', `${extracted}/pem/tls-ca-bundle.pem`);
      await put(world, '/usr/bin/update-ca-trust', script(form), 0o755);
      await runOnce(world, ['update-ca-trust']);
    },
  };
}

export const rhel = systemOf({
  name: 'rhel 9',
  release: 'ID="rhel"\nID_LIKE="fedora"\nPRETTY_NAME="Red Hat Enterprise Linux 9.4 (Plow)"\n',
  strict: true,
  hashed: false,
  pack: 'ca-certificates',
});

export const fedora = systemOf({
  name: 'fedora, rhel 10',
  release: 'ID=fedora\nPRETTY_NAME="Fedora Linux 44 (CoreOS)"\nVARIANT_ID=coreos\n',
  strict: true,
  hashed: true,
  pack: 'ca-certificates',
});

export const azure = systemOf({
  name: 'azure linux',
  release: 'ID=azurelinux\nPRETTY_NAME="Microsoft Azure Linux 3.0"\n',
  strict: false,
  hashed: false,
  pack: 'ca-certificates-tools',
});
