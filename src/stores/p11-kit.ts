/**
 * The trust stores that p11-kit makes: anchors are files of any name in one directory, and trust(1) extracts bundle and
 * hash links from them. It leaves out without a word what it does not take for a CA of TLS servers, reads dot files and
 * DER too, and writes each file whole.
 */
import { posix } from 'node:path';
import type { Anchor } from '../bundle/types.ts';
import type { Clock } from '../host/clock.ts';
import type { Host } from '../host/host.ts';
import { caught } from '../host/problem.ts';
import {
  abandonedAfterMs,
  bundleProblems,
  holdersIn,
  isAbandoned,
  observeSources,
  temporariesOf,
} from './anchor-files.ts';
import { openCertificateFiles } from './certificate-files.ts';
import { isHashLink, unlinkedAnchors } from './hash-links.ts';
import {
  type P11KitContext,
  type P11KitLayout,
  extractsUnderWay,
  privateDirectory,
  sourcePaths,
} from './p11-kit-layout.ts';
import { changeP11Kit } from './p11-kit-refresh.ts';
import { type StoreState, type TrustStore, prefixIn, stemOf } from './store.ts';

/** What Go programs look for, in this order: the first that is there is their bundle (crypto/x509, root_linux.go). */
const goFiles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
];
/** They read every file in these, too. */
const goDirectories = ['/etc/ssl/certs', '/etc/pki/tls/certs'];

/** What only a killed pass leaves, and a killed run of the host's tool. */
function leftovers(context: P11KitContext): readonly string[] {
  const { host, clock } = context;
  const dead = [...extractsUnderWay(context)].filter(([, { modified }]) =>
    isAbandoned(clock, modified, abandonedAfterMs),
  );
  return [
    ...[privateDirectory(context)].filter((path) => host.entry(path) !== undefined),
    ...temporariesOf(context),
    ...dead.map(([path]) => path),
  ];
}

/** A bundle of its own at the place where Go programs look first hides the store from them. */
function goNotes(context: P11KitContext, wanted: readonly Anchor[]): readonly string[] {
  const { host, files, bundle } = context;
  const isFile = (path: string): boolean => host.target(path)?.kind === 'file';
  // What cannot be looked through, a dead mount's, is none for Go either.
  const first = goFiles.find((path) => caught(() => isFile(path)) === true);
  if (first === undefined || caught(() => host.real(first) === host.real(bundle)) === true) return [];
  const held = new Set([...(files.read(first)?.plain ?? []), ...holdersIn(context, goDirectories).keys()]);
  const hidden = wanted.filter(({ fingerprint }) => !held.has(fingerprint)).length;
  if (hidden === 0) return [];
  return [
    `${first} on the host is a file of its own, which Go programs (kubelet, container runtimes) read instead of ${bundle}: ${hidden} anchors are not in it; make it a link to that bundle`,
  ];
}

/** Those that look-ups by hash cannot find here, whatever is done: no reason to run the tool again. */
function hashNotes({ host, layout, bundle }: P11KitContext, wanted: readonly Anchor[]): readonly string[] {
  if (layout.hashed(host).length === 0) return [];
  return wanted.flatMap(({ fingerprint, subject, notHashedByP11Kit }) =>
    notHashedByP11Kit === undefined
      ? []
      : [
          `${fingerprint.slice(0, 16)} (${subject}) is in ${bundle} on the host, but programs that look CAs up by hash do not find it, since p11-kit gives it another: ${notHashedByP11Kit}; ask its issuer for one whose subject is UTF-8`,
        ],
  );
}

/** How many certificates of the bundle are no agent's. */
function countOthers({ own, carriers, trusted }: Pick<StoreState, 'own' | 'carriers' | 'trusted'>): number {
  const ours = new Set(own.map(({ fingerprint }) => fingerprint));
  const isOthers = (fingerprint: string): boolean =>
    !ours.has(fingerprint) && !/\/node-ca-trust-[^/]+$/.test(carriers.get(fingerprint) ?? '');
  return [...trusted].filter(isOthers).length;
}

function observe(context: P11KitContext, wanted: readonly Anchor[]): StoreState {
  const { host, files, layout, bundle } = context;
  files.know(wanted);
  const sources = observeSources(context, sourcePaths(context));
  const effective = files.read(bundle);
  const trusted = new Set(effective?.plain);
  // trust(1) takes our unfinished files for anchors.
  const unfinished = temporariesOf(context).map((path) => `${path} was left behind, and the store reads it`);
  const hashed = wanted.filter(({ notHashedByP11Kit }) => notHashedByP11Kit === undefined);
  const unlinked = layout.hashed(host).flatMap((directory) => [...unlinkedAnchors(host, files, directory, hashed)]);
  return {
    ...sources,
    trusted,
    problems: [...bundleProblems(context, effective, []), ...unfinished],
    unlinked: new Set(unlinked),
    dangling: [],
    leftovers: leftovers(context),
    isUnfinished: host.entry(privateDirectory(context)) !== undefined,
    notes: [...sources.notes, ...goNotes(context, wanted), ...hashNotes(context, wanted)],
    others: countOthers({ ...sources, trusted }),
  };
}

function holders(context: P11KitContext): ReadonlyMap<string, string> {
  const { files, bundle, host, layout } = context;
  const effective = (files.read(bundle)?.fingerprints ?? []).map((print): [string, string] => [print, bundle]);
  return new Map([...holdersIn(context, [...goDirectories, ...layout.hashed(host)]), ...effective]);
}

/** The trust store of a host where p11-kit makes it. */
export function openP11KitStore(
  layout: P11KitLayout,
  host: Host,
  instance: string,
  clock: Clock,
): Omit<TrustStore, 'requireTools'> {
  const { family, anchors, bundle } = layout;
  const files = openCertificateFiles(host, { der: true });
  const context: P11KitContext = { host, instance, clock, files, anchors, extension: '.crt', bundle, layout };
  const isOurs = (name: string): boolean => prefixIn(instance, name, '.crt') !== undefined;
  const hashed = layout.hashed(host).map((path) => ({
    path,
    concerns: isHashLink,
  }));
  return {
    family,
    bundle,
    anchorDirectory: anchors,
    watched: [
      { path: anchors, concerns: isOurs },
      { path: posix.dirname(bundle), concerns: (name) => name === posix.basename(bundle) },
      ...hashed,
    ],
    nameOf: (fingerprint) => `${stemOf(instance, fingerprint)}.crt`,
    drops: ({ notForP11Kit }) => notForP11Kit,
    observe: (wanted) => observe(context, wanted),
    change: (change, lock) => changeP11Kit(context, change, lock),
    holders: () => holders(context),
  };
}
