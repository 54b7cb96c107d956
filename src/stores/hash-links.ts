/**
 * Directories of certificates by hash, as OpenSSL looks them up (X509_LOOKUP_hash_dir(3)): `<hash of the subject>.0`,
 * then `.1` and so on until one is missing.
 */
import type { Anchor } from '../bundle/types.ts';
import type { Host } from '../host/host.ts';
import type { CertificateFiles } from './certificate-files.ts';

/** Whether a look-up in a hashed directory finds the anchor. */
function isLinked(host: Host, files: CertificateFiles, directory: string, anchor: Anchor): boolean {
  for (let suffix = 0; ; suffix += 1) {
    const path = `${directory}/${anchor.subjectHash}.${suffix}`;
    if (host.target(path)?.kind !== 'file') return false;
    if (files.read(path)?.fingerprints[0] === anchor.fingerprint) return true;
  }
}

/** The fingerprints of those anchors that a look-up in the directory does not find. */
export function unlinkedAnchors(
  host: Host,
  files: CertificateFiles,
  directory: string,
  anchors: readonly Anchor[],
): ReadonlySet<string> {
  const missing = anchors.filter((anchor) => !isLinked(host, files, directory, anchor));
  return new Set(missing.map((anchor) => anchor.fingerprint));
}
