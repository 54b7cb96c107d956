/**
 * The trust store of Debian and Ubuntu: one certificate per file under /usr/local/share/ca-certificates, and
 * update-ca-certificates(8), which concatenates them and makes the hash links. It has no lock, checks nothing and
 * exits 0 whatever happens; debian-refresh.ts holds what follows from that.
 */
import type { Anchor } from '../bundle/types.ts';
import type { Clock } from '../host/clock.ts';
import type { Host } from '../host/host.ts';
import { workDirectory } from '../host/ledger.ts';
import { type CertificateFile, openCertificateFiles } from './certificate-files.ts';
import {
  type DebianContext,
  abandonedAfterMs,
  certificatePaths,
  debian,
  privateDirectory,
  selectedPaths,
} from './debian-layout.ts';
import { changeDebian } from './debian-refresh.ts';
import { unlinkedAnchors } from './hash-links.ts';
import { type OwnFile, type StoreState, type TrustStore, prefixIn, stemOf } from './store.ts';

/** A file directly in the anchor directory that bears this instance's name; undefined for any other. */
function ownFileAt(instance: string, path: string, file: CertificateFile | undefined): OwnFile | undefined {
  const name = path.slice(debian.anchors.length + 1);
  const prefix = path.startsWith(`${debian.anchors}/`) ? prefixIn(instance, name, '.crt') : undefined;
  if (prefix === undefined) return undefined;
  const [fingerprint, ...more] = file?.fingerprints ?? [];
  const single = file?.problems.length === 0 && more.length === 0;
  return single && fingerprint?.startsWith(prefix) === true
    ? { name, content: 'intact', fingerprint }
    : { name, content: 'altered' };
}

/** What stands under a name of ours in the anchor directory and is no file: a directory, a FIFO, a link to nowhere. */
function squatters({ host, instance }: DebianContext): readonly OwnFile[] {
  const names = (host.list(debian.anchors) ?? []).filter((name) => prefixIn(instance, name, '.crt') !== undefined);
  const strange = names.filter((name) => host.target(`${debian.anchors}/${name}`)?.kind !== 'file');
  return strange.map((name) => ({ name, content: 'altered' }));
}

interface Sources {
  readonly own: readonly OwnFile[];
  readonly carriers: ReadonlyMap<string, string>;
  readonly notes: readonly string[];
}

/** All that the refresh command would put together: ours, and everyone else's. */
function observeSources(context: DebianContext): Sources {
  const { host, files, instance } = context;
  const own = [...squatters(context)];
  const carriers = new Map<string, string>();
  const notes: string[] = [];
  for (const path of [...selectedPaths(host), ...certificatePaths(host, debian.anchors)]) {
    const file = files.read(path);
    const ours = ownFileAt(instance, path, file);
    if (ours !== undefined) own.push(ours);
    if (ours?.content === 'intact' || file === undefined) continue;
    for (const fingerprint of file.fingerprints) carriers.set(fingerprint, path);
    const [problem = file.fingerprints.length === 0 ? 'no certificate in PEM' : undefined] = file.problems;
    if (problem !== undefined) notes.push(`${path} on the host, not ours, is broken: ${problem}`);
  }
  return { own, carriers, notes };
}

/** What is wrong with the effective bundle, beside what our own anchors say of it. */
function bundleProblems(
  effective: CertificateFile | undefined,
  carriers: ReadonlyMap<string, string>,
): readonly string[] {
  if (effective === undefined) return [`${debian.bundle} is missing on the host`];
  const broken = effective.problems.map((problem) => `${debian.bundle} on the host: ${problem}`);
  const held = new Set(effective.fingerprints);
  const lost = [...carriers.keys()].filter((fingerprint) => !held.has(fingerprint));
  if (lost.length === 0) return broken;
  return [...broken, `${debian.bundle} on the host lacks ${lost.length} certificates of the host's own`];
}

/** Files of ours to which links in the certificate directory still point, though they are gone. */
function danglingLinks(host: Host, instance: string): readonly string[] {
  const names = (host.list(debian.certs) ?? []).filter((name) => prefixIn(instance, name, '.pem') !== undefined);
  const dangling = names.filter((name) => host.target(`${debian.certs}/${name}`) === undefined);
  return dangling.map((name) => name.replace(/\.pem$/, '.crt'));
}

/** Whether a file beside the certificates is a temporary of this instance: ours start with a dot, and end in a word. */
function isTemporary(instance: string, name: string): boolean {
  const target = /^\.(.+)\.[0-9a-f]{8}\.tmp$/.exec(name)?.[1];
  return target !== undefined && prefixIn(instance, target, '.crt') !== undefined;
}

/** Temporaries of ours, which only a killed pass leaves, and another's that nobody writes to any more. */
function leftovers(context: DebianContext): readonly string[] {
  const { host, instance, clock } = context;
  const temporaries = (host.list(debian.anchors) ?? []).filter((name) => isTemporary(instance, name));
  const plain = host.entry(debian.plainTemporary);
  return [
    ...[privateDirectory(context), workDirectory(instance)].filter((path) => host.entry(path) !== undefined),
    ...temporaries.map((name) => `${debian.anchors}/${name}`),
    // A file that is written to is of this moment; one of the future was left before the clock was set back.
    ...(plain !== undefined && Math.abs(clock.now() - plain.modified) > abandonedAfterMs
      ? [debian.plainTemporary]
      : []),
  ];
}

/** Every file in the certificate directory with what it holds: Go programs read each of them. */
function holders({ host, files }: DebianContext): ReadonlyMap<string, string> {
  const held = new Map<string, string>();
  for (const name of host.list(debian.certs) ?? []) {
    const path = `${debian.certs}/${name}`;
    for (const fingerprint of files.read(path)?.fingerprints ?? [])
      if (!held.has(fingerprint)) held.set(fingerprint, path);
  }
  return held;
}

function observe(context: DebianContext, wanted: readonly Anchor[]): StoreState {
  const { host, files, instance } = context;
  files.know(wanted.map(({ fingerprint }) => fingerprint));
  const sources = observeSources(context);
  const effective = files.read(debian.bundle);
  return {
    ...sources,
    trusted: new Set(effective?.fingerprints),
    problems: bundleProblems(effective, sources.carriers),
    unlinked: unlinkedAnchors(host, files, debian.certs, wanted),
    dangling: danglingLinks(host, instance),
    leftovers: leftovers(context),
  };
}

/** The trust store of a Debian-family host. */
export function openDebianStore(host: Host, instance: string, clock: Clock): Omit<TrustStore, 'requireTools'> {
  const context: DebianContext = { host, instance, clock, files: openCertificateFiles(host) };
  const isOurs = (name: string): boolean =>
    prefixIn(instance, name, '.crt') !== undefined || prefixIn(instance, name, '.pem') !== undefined;
  return {
    family: 'debian',
    bundle: debian.bundle,
    anchorDirectory: debian.anchors,
    lockDirectory: debian.certs,
    watched: [
      { path: debian.anchors, concerns: isOurs },
      {
        path: debian.certs,
        concerns: (name) => isOurs(name) || /^(ca-certificates\.crt|[0-9a-f]{8}\.\d+)$/.test(name),
      },
    ],
    nameOf: (fingerprint) => `${stemOf(instance, fingerprint)}.crt`,
    observe: (wanted) => observe(context, wanted),
    change: (change, lock) => changeDebian(context, change, lock),
    holders: () => holders(context),
  };
}
