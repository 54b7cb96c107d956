/**
 * The judge of one certificate: OpenSSL (through Node) and Go's rules must both take it, for every program of a node
 * uses one of the two.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { Malformed } from './der.ts';
import { brokenHash } from './keys.ts';
import { nameLine } from './names.ts';
import { toPem } from './pem.ts';
import { readProfile, subjectOf, type Profile } from './profile.ts';
import { subjectHash } from './subject-hash.ts';

/** What is known of a certificate that every program of a node can read. */
export interface Certificate {
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  readonly fingerprint: string;
  readonly pem: string;
  readonly subject: string;
  readonly issuer: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly key: string;
  readonly subjectHash: string;
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
  try {
    const profile = readProfile(der);
    const x509 = readWithOpenSsl(der, profile);
    return { kind: 'certificate', certificate: describe(der, profile, x509) };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    const name = subjectOf(der);
    return { kind: 'refused', reason: error.message, ...(name && { subject: nameLine(name) }) };
  }
}

/** OpenSSL must parse it, keep every octet of it, and find an elliptic curve key on its curve. */
function readWithOpenSsl(der: Uint8Array, { key }: Profile): X509Certificate {
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(der);
  } catch {
    throw new Malformed('OpenSSL cannot parse it');
  }
  if (!x509.raw.equals(der)) throw new Malformed('it is not in DER');
  if (key.isPoint && !hasReadableKey(x509)) throw new Malformed('its elliptic curve key is not a point on the curve');
  return x509;
}

function hasReadableKey(x509: X509Certificate): boolean {
  try {
    return x509.publicKey.type === 'public';
  } catch {
    return false;
  }
}

/** Whether the certificate's own key made its signature. OpenSSL throws for algorithms that it has switched off. */
function isSelfSigned({ isSelfIssued }: Profile, x509: X509Certificate): boolean {
  try {
    return isSelfIssued && x509.verify(x509.publicKey);
  } catch {
    return false;
  }
}

function describe(der: Uint8Array, profile: Profile, x509: X509Certificate): Certificate {
  const notCa = whyNotCa(profile, x509);
  return {
    fingerprint: createHash('sha256').update(der).digest('hex'),
    pem: toPem(der),
    subject: nameLine(profile.subject),
    issuer: nameLine(profile.issuer),
    notBefore: profile.notBefore,
    notAfter: profile.notAfter,
    key: profile.key.name,
    subjectHash: subjectHash(profile.subject),
    ...(notCa !== undefined && { notCa }),
    weaknesses: weaknessesOf(profile, x509),
  };
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

function weaknessesOf(profile: Profile, x509: X509Certificate): readonly string[] {
  const weaknesses: string[] = [];
  const { rsaBits = 2048 } = profile.key;
  if (rsaBits < 2048) weaknesses.push(`its RSA key has ${rsaBits} bits; clients ask for 2048 or more`);
  const hash = brokenHash(profile.signature);
  // What a root says of itself is never checked.
  if (hash !== undefined && !isSelfSigned(profile, x509))
    weaknesses.push(`it is signed with ${hash}; clients refuse that`);
  return weaknesses;
}
