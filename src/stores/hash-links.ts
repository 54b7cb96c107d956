/**
 * Directories of certificates by hash, as OpenSSL looks them up (X509_LOOKUP_hash_dir(3)): `<hash of the subject>.0`,
 * then `.1` and so on until one is missing.
 */
import type { Anchor } from '../bundle/types.ts';
import type { CertificateFiles } from './certificate-files.ts';

/** Whether a look-up in a hashed directory finds the anchor. */
function isLinked(files: CertificateFiles, directory: string, anchor: Anchor): boolean {
  for (let suffix = 0; ; suffix += 1) {
    const file = files.read(`${directory}/${anchor.subjectHash}.${suffix}`);
    if (file === undefined) return false;
    if (file.fingerprints[0] === anchor.fingerprint) return true;
  }
}

/** The fingerprints of those anchors that a look-up in the directory does not find. */
export function unlinkedAnchors(
  files: CertificateFiles,
  directory: string,
  anchors: readonly Anchor[],
): ReadonlySet<string> {
  const missing = anchors.filter((anchor) => !isLinked(files, directory, anchor));
  return new Set(missing.map((anchor) => anchor.fingerprint));
}
