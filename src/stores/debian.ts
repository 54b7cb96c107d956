/**
 * The trust store of Debian and Ubuntu: one certificate per file under /usr/local/share/ca-certificates, and
 * update-ca-certificates(8), which concatenates them and makes the hash links. It has no lock, checks nothing and
 * exits 0 whatever happens; debian-refresh.ts holds what follows from that.
 */
import type { Anchor } from '../bundle/types.ts';
import type { Clock } from '../host/clock.ts';
import { readLimit } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { workDirectory } from '../host/ledger.ts';
import {
  abandonedAfterMs,
  bundleProblems,
  holdersIn,
  isAbandoned,
  observeSources,
  temporariesOf,
} from './anchor-files.ts';
import { openCertificateFiles } from './certificate-files.ts';
import {
  type DebianContext,
  type Layout,
  certificatePaths,
  debian,
  fileNameOf,
  hiddenLinks,
  privateDirectory,
  selectedPaths,
  shellLines,
  unfinishedBundles,
} from './debian-layout.ts';
import { danglingLinks, isMarked, unlinkedIn } from './debian-links.ts';
import { changeDebian } from './debian-refresh.ts';
import { changeDirect } from './direct-refresh.ts';
import { isHashLink } from './hash-links.ts';
import { hiddenEnd, hiddenProblem } from './hidden.ts';
import { type Family, type StoreState, prefixIn, stemOf } from './store.ts';

/** Links in the certificate directory that had not yet their name when a pass of ours was killed. */
function unfinishedLinks(context: DebianContext): readonly string[] {
  const { host } = context;
  const names = (host.list(debian.certs) ?? []).filter((name) => {
    const target = /^\.(.+)\.[0-9a-f]{8}\.tmp$/.exec(name)?.[1];
    return target !== undefined && (isHashLink(target) || fileNameOf(context, target) !== undefined);
  });
  return names.map((name) => `${debian.certs}/${name}`).filter((path) => host.entry(path)?.kind === 'link');
}

/** Temporaries of ours, which only a killed pass leaves, and another's that nobody writes to any more. */
function leftovers(context: DebianContext): readonly string[] {
  const { host, instance, clock, layout } = context;
  const others = [...unfinishedBundles(context)];
  const abandoned = others.filter(([, { modified }]) => isAbandoned(clock, modified, layout.abandonedAfterMs));
  return [
    ...[privateDirectory(context), workDirectory(instance)].filter((path) => host.entry(path) !== undefined),
    ...new Set([...temporariesOf(context), ...unfinishedLinks(context)]),
    ...abandoned.map(([path]) => path),
  ];
}

function observe(context: DebianContext, wanted: readonly Anchor[]): StoreState {
  const { host, files, layout } = context;
  files.know(wanted);
  const sources = observeSources(context, layout.sources(host));
  const effective = files.read(debian.bundle);
  return {
    ...sources,
    trusted: new Set(effective?.plain),
    problems: bundleProblems(context, effective, sources.carriers.keys()),
    unmade:
      isMarked(context) && layout.canRelink?.(context) === true
        ? [`the hash links in ${debian.certs} on the host have to be made anew`]
        : [],
    unlinked: unlinkedIn(context, wanted),
    dangling: danglingLinks(context),
    leftovers: leftovers(context),
    isUnfinished: host.entry(privateDirectory(context)) !== undefined,
    notes: [...sources.notes, ...hiddenNotes(context)],
  };
}

function hiddenNotes(context: DebianContext): readonly string[] {
  return [...hiddenLinks(context)].map(([path, end]) => `${path} on the host, not ours: ${hiddenProblem(end)}`);
}

/** Opens the trust stores of a family that has this layout. */
export function storesOf(layout: Layout): Family['open'] {
  const { family, anchors, extension, volatile } = layout;
  const { bundle, certs } = debian;
  return (host: Host, instance: string, clock: Clock) => {
    const seen = layout.isServedInPart === true ? { hiddenEnd: (path: string) => hiddenEnd(host, path) } : {};
    const files = openCertificateFiles(host, seen);
    const context: DebianContext = { host, instance, clock, files, anchors, extension, bundle, layout };
    const isLookedUp = (name: string): boolean => isHashLink(name) || `${certs}/${name}` === bundle;
    return {
      family,
      bundle,
      anchorDirectory: anchors,
      ...(volatile && { volatile }),
      watched: [
        { path: anchors, concerns: (name) => prefixIn(instance, name, extension) !== undefined },
        { path: certs, concerns: (name) => isLookedUp(name) || fileNameOf(context, name) !== undefined },
      ],
      nameOf: (fingerprint) => `${stemOf(instance, fingerprint)}${extension}`,
      observe: (wanted) => observe(context, wanted),
      change: (change, lock) => layout.change(context, change, lock),
      holders: () => host.atOnce(() => holdersIn(context, [certs])),
    };
  };
}

/**
 * Whether the host's tool gets through all files: it copies each whatever its size, waits for the end of one that has
 * none, and takes their names line by line. Who may write to /usr/local but is not root must not end all changes so. Nor
 * may it see less than the host does, by the agent's mounts: it would remove the links that lead nowhere for it.
 */
function isForTool(context: DebianContext): boolean {
  const { host, files, layout } = context;
  const isFit = (path: string): boolean => !/[\n\\]/.test(path) && files.read(path)?.unread === undefined;
  const size = (path: string): number => host.target(path)?.size ?? 0;
  return host.atOnce(() => {
    const paths = layout.sources(host);
    if (hiddenLinks(context).size > 0) return false;
    return paths.every(isFit) && paths.reduce((sum, path) => sum + size(path), 0) <= readLimit;
  });
}

export const debianFamily: Family = {
  name: 'Debian and Ubuntu',
  ids: ['debian', 'ubuntu'],
  marks: [debian.configuration, debian.distribution, '/var/lib/dpkg'],
  needs: {
    '/usr/sbin/update-ca-certificates': 'ca-certificates',
    '/usr/bin/openssl': 'openssl',
    '/usr/bin/flock': 'util-linux',
    [debian.certs]: 'ca-certificates',
  },
  open: storesOf({
    family: 'debian',
    anchors: debian.local,
    extension: '.crt',
    linkPrefix: '',
    sources: (host) => [...selectedPaths(host, shellLines), ...certificatePaths(host, debian.local)],
    // The name is fixed: every plain run appends to it.
    isUnfinished: (name) => name === 'ca-certificates.crt.new',
    abandonedAfterMs,
    isServedInPart: true,
    canRelink: isForTool,
    change: (context, change, lock) =>
      isForTool(context) ? changeDebian(context, change, lock) : changeDirect(context, change),
  }),
};
