/**
 * The trust store of RHEL and its relatives, CoreOS included, whose /usr alone is read-only: update-ca-trust(8) over
 * p11-kit.
 */
import type { Host } from '../host/host.ts';
import type { P11KitLayout } from './p11-kit-layout.ts';
import { openP11KitStore } from './p11-kit.ts';
import type { Family } from './store.ts';

const extracted = '/etc/pki/ca-trust/extracted';
const tool = '/usr/bin/update-ca-trust';

/** Where OpenSSL looks by hash: what is made there differs by release, so the tool's own text says it. */
function hashed(host: Host): readonly string[] {
  const script = host.read(tool)?.toString('latin1') ?? '';
  if (!script.includes('pem-directory-hash')) return [];
  return [
    `${extracted}/pem/directory-hash`,
    ...['/etc/pki/tls/certs'].filter((directory) => script.includes(directory)),
  ];
}

const layout: P11KitLayout = {
  family: 'rhel',
  anchors: '/etc/pki/ca-trust/source/anchors',
  sources: ['/etc/pki/ca-trust/source', '/usr/share/pki/ca-trust-source'].flatMap((path) => [path, `${path}/anchors`]),
  bundle: `${extracted}/pem/tls-ca-bundle.pem`,
  workspace: extracted,
  tool: ['update-ca-trust', 'extract'],
  hashed,
};

const needs = {
  [tool]: 'ca-certificates',
  '/usr/bin/trust': 'p11-kit-trust',
  '/usr/bin/flock': 'util-linux',
  [`${extracted}/pem`]: 'ca-certificates',
};

const shared: Pick<Family, 'marks' | 'open'> = {
  marks: ['/etc/pki/ca-trust/source'],
  open: (host, instance, clock) => openP11KitStore(layout, host, instance, clock),
};

export const rhelFamily: Family = {
  ...shared,
  name: 'RHEL, Rocky, Alma, CentOS, Fedora and Amazon Linux',
  ids: ['rhel', 'fedora', 'centos', 'rocky', 'almalinux', 'amzn'],
  needs,
};

/** The tool comes in a package of its own there. */
export const azureFamily: Family = {
  ...shared,
  name: 'Azure Linux',
  ids: ['azurelinux', 'mariner'],
  needs: { ...needs, [tool]: 'ca-certificates-tools' },
};
