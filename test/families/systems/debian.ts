// Debian and Ubuntu: all of it is this machine's own.
import { anchors, bundle, certs, shrink } from '../../sandbox/harness/host.ts';
import type { System } from '../system.ts';

export const debian: System = {
  name: 'debian',
  family: 'debian',
  release: 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
  emulated: '',
  anchors,
  bundle,
  hashed: [certs],
  disk: '/etc/ssl',
  refresh: ['update-ca-certificates'],
  needed: ['/usr/sbin/update-ca-certificates', 'ca-certificates'],
  drops: false,
  build: shrink,
};
