/**
 * The trust stores of Flatcar and of Container-Optimized OS: /usr is read-only, and anchors are files in /etc/ssl/certs
 * itself. Flatcar's update-ca-certificates makes the links by hash and puts the bundle together from what they lead to;
 * until its first run the bundle is a link into /usr.
 */
import type { Host } from '../host/host.ts';
import { abandonedAfterMs } from './anchor-files.ts';
import { debian, isBundle } from './debian-layout.ts';
import { storesOf } from './debian.ts';
import { changeDirect, deadAfterMs } from './direct-refresh.ts';
import { isLinkedByHash } from './hash-links.ts';
import type { Family } from './store.ts';

/** mktemp(1) in a script: root's alone until it is finished, unlike a copy that somebody made of the bundle. */
function isFlatcarTemporary(name: string, mode: number): boolean {
  return /^ca-certificates\.crt\.[A-Za-z0-9]{10}$/.test(name) && mode === 0o600;
}

/**
 * Every file that the program links by its hash, and so puts into the bundle. The links themselves do not tell: while it
 * runs there are none. A link to the bundle would feed it to itself: what goes would stay.
 */
function certificateFiles(host: Host): readonly string[] {
  const names = (host.list(debian.certs) ?? []).filter(isLinkedByHash);
  return names.map((name) => `${debian.certs}/${name}`).filter((path) => !isBundle(host, path));
}

const layout = {
  anchors: debian.certs,
  extension: '.pem',
  linkPrefix: '',
  sources: certificateFiles,
  change: changeDirect,
} as const;

/** Images: what is missing there no package brings. */
const needs = { '/usr/bin/flock': 'util-linux', [debian.certs]: 'ca-certificates' };

export const flatcarFamily: Family = {
  name: 'Flatcar',
  ids: ['flatcar'],
  marks: ['/usr/share/flatcar'],
  needs,
  open: storesOf({ ...layout, family: 'flatcar', isUnfinished: isFlatcarTemporary, abandonedAfterMs: deadAfterMs }),
};

/**
 * As Flatcar's, but /etc is in memory: each start of the machine takes all of it, and the agent puts it back. Its program
 * is Flatcar's in some images and Debian's in others; both are allowed for.
 */
export const cosFamily: Family = {
  name: 'Container-Optimized OS',
  ids: ['cos'],
  marks: ['/mnt/stateful_partition'],
  needs,
  open: storesOf({
    ...layout,
    family: 'cos',
    volatile: true,
    isUnfinished: (name, mode) => name === 'ca-certificates.crt.new' || isFlatcarTemporary(name, mode),
    abandonedAfterMs,
  }),
};
