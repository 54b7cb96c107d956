/**
 * The trust store of Debian and Ubuntu: one certificate per file under /usr/local/share/ca-certificates, and
 * update-ca-certificates(8), which concatenates them and makes the hash links. It has no lock, checks nothing and
 * exits 0 whatever happens; debian-refresh.ts holds what follows from that.
 */
import type { Anchor } from '../bundle/types.ts';
import type { Clock } from '../host/clock.ts';
import type { Host } from '../host/host.ts';
import { workDirectory } from '../host/ledger.ts';
import {
  type StoreContext,
  abandonedAfterMs,
  bundleProblems,
  holdersIn,
  observeSources,
  temporariesOf,
} from './anchor-files.ts';
import { openCertificateFiles } from './certificate-files.ts';
import { certificatePaths, debian, privateDirectory, selectedPaths } from './debian-layout.ts';
import { changeDebian } from './debian-refresh.ts';
import { unlinkedAnchors } from './hash-links.ts';
import { type Family, type StoreState, type TrustStore, prefixIn, stemOf } from './store.ts';

/** Files of ours to which links in the certificate directory still point, though they are gone. */
function danglingLinks(host: Host, instance: string): readonly string[] {
  const names = (host.list(debian.certs) ?? []).filter((name) => prefixIn(instance, name, '.pem') !== undefined);
  const dangling = names.filter((name) => host.target(`${debian.certs}/${name}`) === undefined);
  return dangling.map((name) => name.replace(/\.pem$/, '.crt'));
}

/** Temporaries of ours, which only a killed pass leaves, and another's that nobody writes to any more. */
function leftovers(context: StoreContext): readonly string[] {
  const { host, instance, clock } = context;
  const plain = host.entry(debian.plainTemporary);
  return [
    ...[privateDirectory(context), workDirectory(instance)].filter((path) => host.entry(path) !== undefined),
    ...temporariesOf(context),
    ...(plain !== undefined && clock.now() - plain.modified > abandonedAfterMs ? [debian.plainTemporary] : []),
  ];
}

function observe(context: StoreContext, wanted: readonly Anchor[]): StoreState {
  const { host, files, instance } = context;
  files.know(wanted.map(({ fingerprint }) => fingerprint));
  const sources = observeSources(context, [...selectedPaths(host), ...certificatePaths(host, debian.anchors)]);
  const effective = files.read(debian.bundle);
  return {
    ...sources,
    trusted: new Set(effective?.fingerprints),
    problems: bundleProblems(context, effective, sources.carriers.keys()),
    unlinked: unlinkedAnchors(files, debian.certs, wanted),
    dangling: danglingLinks(host, instance),
    leftovers: leftovers(context),
  };
}

/** The trust store of a Debian-family host. */
function openDebianStore(host: Host, instance: string, clock: Clock): Omit<TrustStore, 'requireTools'> {
  const { anchors, bundle } = debian;
  const files = openCertificateFiles(host);
  const context: StoreContext = { host, instance, clock, files, anchors, extension: '.crt', bundle };
  const isOurs = (name: string): boolean =>
    prefixIn(instance, name, '.crt') !== undefined || prefixIn(instance, name, '.pem') !== undefined;
  return {
    family: 'debian',
    bundle,
    anchorDirectory: anchors,
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
    holders: () => holdersIn(context, [debian.certs]),
  };
}

export const debianFamily: Family = {
  name: 'Debian and Ubuntu',
  ids: ['debian', 'ubuntu'],
  marks: [debian.configuration, debian.distribution],
  needs: {
    '/usr/sbin/update-ca-certificates': 'ca-certificates',
    '/usr/bin/openssl': 'openssl',
    '/usr/bin/flock': 'util-linux',
    [debian.certs]: 'ca-certificates',
  },
  open: openDebianStore,
};
