/**
 * The trust store of Alpine: as Debian's, but every file directly in /usr/local/share/ca-certificates counts whatever its
 * name, and update-ca-certificates is a program of Alpine's own that takes no option. It makes the links
 * `ca-cert-NAME.pem`; the links by hash are made by its hook `certhash`.
 */
import type { Host } from '../host/host.ts';
import { Problem, caught } from '../host/problem.ts';
import { allLines, debian, selectedPaths } from './debian-layout.ts';
import { storesOf } from './debian.ts';
import { changeDirect, deadAfterMs } from './direct-refresh.ts';
import type { Family } from './store.ts';

/** What the program takes from the directory: all that does not begin with a dot. */
function localPaths(host: Host): readonly string[] {
  const names = (host.list(debian.local) ?? []).filter((name) => !name.startsWith('.'));
  return names
    .map((name) => `${debian.local}/${name}`)
    .filter((path) => {
      // What cannot be looked at is among them, for whoever reads them to say so.
      const entry = caught(() => host.target(path));
      return entry instanceof Problem || entry?.kind === 'file';
    });
}

/**
 * mkstemp(3) of musl, which gives these letters alone, and makes it readable for all at once. A name without a capital is
 * left alone, one in 64 of such: it could be a word, as in the name of somebody's copy.
 */
function isAlpineTemporary(name: string, mode: number): boolean {
  return /^bundle(?=.*[A-P])[A-Pa-p]{6}$/.test(name) && (mode === 0o600 || mode === 0o644);
}

export const alpineFamily: Family = {
  name: 'Alpine',
  ids: ['alpine'],
  marks: ['/etc/apk', debian.configuration],
  needs: {
    '/usr/sbin/update-ca-certificates': 'ca-certificates',
    '/usr/bin/flock': 'flock',
    [debian.certs]: 'ca-certificates',
  },
  open: storesOf({
    family: 'alpine',
    anchors: debian.local,
    extension: '.crt',
    linkPrefix: 'ca-cert-',
    sources: (host) => [...selectedPaths(host, allLines), ...localPaths(host)],
    isUnfinished: isAlpineTemporary,
    abandonedAfterMs: deadAfterMs,
    change: changeDirect,
  }),
};
