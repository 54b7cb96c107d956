/**
 * The judge of one certificate: OpenSSL (through Node) and Go's rules must both take it, for every program of a node
 * uses one of the two.
 */
import { hash, X509Certificate } from 'node:crypto';
import { attempt, Malformed, octetString } from './der.ts';
import { brokenHash, keyName } from './keys.ts';
import { nameLine } from './names.ts';
import { toPem } from './pem.ts';
import { readProfile, subjectOf, type Profile } from './profile.ts';
import { subjectHash, whyNotHashedByP11Kit } from './subject-hash.ts';
import { printable } from './text.ts';
import type { Anchor } from './types.ts';

/** What is known of a certificate that every program of a node can read. */
export interface Certificate {
  readonly anchor: Omit<Anchor, 'carriers'>;
  /** Why it is not a CA, as a phrase; absent for a CA. */
  readonly notCa?: string;
  /** What is weak about it, one phrase each. */
  readonly weaknesses: readonly string[];
}

export type Judgement =
  | { readonly kind: 'certificate'; readonly certificate: Certificate }
  /** One line; the subject is there when it can be read. */
  | { readonly kind: 'refused'; readonly reason: string; readonly subject?: string };

/** The DER of one certificate. Never throws. */
export function judge(der: Uint8Array): Judgement {
  const octets = octetString(der);
  try {
    return { kind: 'certificate', certificate: describe(der, readProfile(octets)) };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    const name = subjectOf(octets);
    return { kind: 'refused', reason: printable(error.message), ...(name && { subject: nameLine(name) }) };
  }
}

function describe(der: Uint8Array, profile: Profile): Certificate {
  const x509 = readWithOpenSsl(der);
  if (profile.key?.startsWith('EC') && attempt(() => x509.publicKey) === undefined) {
    throw new Malformed('its elliptic curve key is not a point on the curve');
  }
  const key = profile.key ?? keyName(attempt(() => x509.publicKey));
  const notCa = whyNotCa(profile, x509);
  const notForP11Kit = whyNotForP11Kit(profile);
  const notHashedByP11Kit = whyNotHashedByP11Kit(profile.subject);
  return {
    anchor: {
      fingerprint: hash('sha256', der),
      pem: toPem(der),
      subject: nameLine(profile.subject),
      issuer: nameLine(profile.issuer),
      notBefore: profile.notBefore.toISOString(),
      notAfter: profile.notAfter.toISOString(),
      key,
      subjectHash: subjectHash(profile.subject),
      ...(notForP11Kit !== undefined && { notForP11Kit }),
      ...(notHashedByP11Kit !== undefined && { notHashedByP11Kit }),
    },
    weaknesses: weaknessesOf(profile, x509, key),
    ...(notCa !== undefined && { notCa }),
  };
}

/** OpenSSL must parse it and keep every octet of it. */
function readWithOpenSsl(der: Uint8Array): X509Certificate {
  const x509 = attempt(() => new X509Certificate(der));
  if (x509 === undefined) throw new Malformed('OpenSSL cannot parse it');
  if (!x509.raw.equals(der)) throw new Malformed('it is not in DER');
  return x509;
}

/** Whether the certificate's own key made its signature. OpenSSL throws for algorithms that it has switched off. */
function isSelfSigned({ isSelfIssued }: Profile, x509: X509Certificate): boolean {
  return isSelfIssued && attempt(() => x509.verify(x509.publicKey)) === true;
}

/** RFC 5280, 4.2.1.9 and 4.2.1.3; a version 1 certificate has no extensions, so its own signature must do. */
function whyNotCa(profile: Profile, x509: X509Certificate): string | undefined {
  if (profile.version === 1) {
    return isSelfSigned(profile, x509) ? undefined : 'it has version 1 and did not sign itself';
  }
  if (profile.isCa === undefined) return 'it has no basicConstraints';
  if (!profile.isCa) return 'its basicConstraints say CA:FALSE';
  return profile.maySign === false ? 'its keyUsage lacks keyCertSign' : undefined;
}

/** What `trust extract --filter=ca-anchors --purpose=server-auth` leaves out without a word; keyUsage is not asked. */
function whyNotForP11Kit({ version, isSelfIssued, isCa, forServers }: Profile): string | undefined {
  if (!(version === 1 ? isSelfIssued : isCa === true)) return 'its basicConstraints do not make it a CA';
  return forServers === false ? 'its extendedKeyUsage lacks serverAuth' : undefined;
}

const goRefuses = 'containerd and kubelet (Go) verify nothing';

function weaknessesOf(profile: Profile, x509: X509Certificate, key: string): readonly string[] {
  const weaknesses: string[] = [];
  const bits = Number(/^RSA\D* (\d+)$/.exec(key)?.[1] ?? 2048);
  if (bits < 2048) weaknesses.push(`its RSA key has ${bits} bits; clients ask for 2048 or more`);
  const hash = brokenHash(profile.signature);
  // What a root says of itself is never checked.
  if (hash !== undefined && !isSelfSigned(profile, x509)) {
    weaknesses.push(`it is signed with ${hash}; clients refuse that`);
  }
  const { unhandled, forServers } = profile;
  if (unhandled !== undefined) weaknesses.push(`its critical extension ${unhandled} is one with which ${goRefuses}`);
  if (forServers === false) weaknesses.push('its extendedKeyUsage lacks serverAuth; clients trust no server by it');
  if (profile.key === undefined || key.startsWith('DSA'))
    weaknesses.push(`its key is of a kind (${key}) with which ${goRefuses}`);
  return weaknesses;
}
