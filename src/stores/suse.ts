/**
 * The trust store of SUSE: an update-ca-certificates(8) of its own over p11-kit. It takes a lock on its output directory
 * (so ours is on another), ends with 0 whatever happens, and systemd starts it by itself when
 * anchors change.
 */
import type { P11KitLayout } from './p11-kit-layout.ts';
import { openP11KitStore } from './p11-kit.ts';
import type { Family } from './store.ts';

const output = '/var/lib/ca-certificates';

const layout: P11KitLayout = {
  family: 'suse',
  anchors: '/etc/pki/trust/anchors',
  sources: ['/etc/pki/trust', '/usr/share/pki/trust'].flatMap((path) => [path, `${path}/anchors`]),
  bundle: `${output}/ca-bundle.pem`,
  workspace: output,
  tool: ['update-ca-certificates'],
  // What /etc/ssl/certs leads to.
  hashed: () => [`${output}/pem`],
};

export const suseFamily: Family = {
  name: 'SUSE and openSUSE',
  ids: ['suse', 'opensuse', 'sles'],
  marks: ['/etc/pki/trust', '/usr/lib/ca-certificates/update.d'],
  needs: {
    '/usr/sbin/update-ca-certificates': 'ca-certificates',
    '/usr/bin/trust': 'p11-kit-tools',
    '/usr/bin/flock': 'util-linux',
    [output]: 'ca-certificates',
    '/etc/pki/trust': 'p11-kit',
  },
  open: (host, instance, clock) => openP11KitStore(layout, host, instance, clock),
};
