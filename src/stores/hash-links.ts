/**
 * Directories of certificates by hash, as OpenSSL looks them up (X509_LOOKUP_hash_dir(3)): `<hash of the subject>.0`,
 * then `.1` and so on until one is missing.
 */
import { posix } from 'node:path';
import type { Anchor } from '../bundle/types.ts';
import type { Host } from '../host/host.ts';
import type { CertificateFile, CertificateFiles } from './certificate-files.ts';

/** Whether this is the name of a look-up by hash. */
export function isHashLink(name: string): boolean {
  return /^[0-9a-f]{8}\.(?:0|[1-9]\d*)$/.test(name);
}

/** Whether rehash(1) and its like make a link by hash to a file of this name, when it holds one certificate. */
export function isLinkedByHash(name: string): boolean {
  return /\.(pem|crt|cer)$/.test(name);
}

/** Whether OpenSSL goes on to the next look-up after this one: not after what it cannot read to the end. */
export function isLookedPast(file: CertificateFile | undefined): boolean {
  return file !== undefined && file.fingerprints.length > 0 && file.problems.length === 0;
}

/** Whether a look-up in a hashed directory finds the anchor. */
function isLinked(
  files: CertificateFiles,
  directory: string,
  names: ReadonlySet<string>,
  { subjectHash, fingerprint }: Anchor,
): boolean {
  for (let suffix = 0; ; suffix += 1) {
    const name = `${subjectHash}.${suffix}`;
    const file = names.has(name) ? files.read(`${directory}/${name}`) : undefined;
    if (file?.fingerprints[0] === fingerprint) return true;
    if (!isLookedPast(file)) return false;
  }
}

/** The fingerprints of those anchors that a look-up in the directory does not find. */
export function unlinkedAnchors(
  host: Host,
  files: CertificateFiles,
  directory: string,
  anchors: readonly Anchor[],
): ReadonlySet<string> {
  const names = new Set(host.list(directory));
  const missing = anchors.filter((anchor) => !isLinked(files, directory, names, anchor));
  return new Set(missing.map((anchor) => anchor.fingerprint));
}

/** The links of one hash: where each points as written, by suffix; a file without a link counts as pointing nowhere. */
export type Chain = ReadonlyMap<number, string | undefined>;

/** The look-ups of a directory, by hash. */
export function readChains(host: Host, directory: string): ReadonlyMap<string, Chain> {
  const chains = new Map<string, Map<number, string | undefined>>();
  for (const name of (host.list(directory) ?? []).filter(isHashLink)) {
    const hash = name.slice(0, 8);
    const chain = chains.get(hash) ?? new Map<number, string | undefined>();
    chains.set(hash, chain.set(Number(name.slice(9)), host.link(`${directory}/${name}`)));
  }
  return chains;
}

/**
 * Makes the links of one hash point to these, in this order and without a gap. Whoever looks up meanwhile finds all that
 * stay: each is linked at its new place before it goes from its old one.
 * @param before what is there; what is no link stays where it is, and links to it keep a gap from coming before it
 */
export function writeChain(host: Host, stem: string, before: Chain, targets: readonly string[]): void {
  const files = [...before].filter(([, target]) => target === undefined).map(([suffix]) => suffix);
  let suffix = -1;
  for (const target of targets) {
    do suffix += 1;
    while (files.includes(suffix));
    if (before.get(suffix) !== target) host.makeLink(`${stem}.${suffix}`, target);
  }
  const surplus = [...before.keys()].filter((old) => old > suffix && !files.includes(old)).sort((a, b) => b - a);
  for (const old of surplus) {
    const next = files.filter((file) => file > old).sort((a, b) => a - b)[0];
    if (next === undefined) host.remove(`${stem}.${old}`);
    else host.makeLink(`${stem}.${old}`, posix.basename(`${stem}.${next}`));
  }
}
