/**
 * The words of a bundle: what every other room knows of certificates.
 */

export type Severity = 'error' | 'warning' | 'info';

/** Every finding by its code, and what it weighs. */
export const severities = {
  'private-key': 'error',
  'not-a-certificate': 'error',
  'not-a-ca': 'error',
  'unsupported-by-store': 'warning',
  'too-many': 'error',
  'too-large': 'error',
  empty: 'error',
  unreadable: 'error',
  expired: 'warning',
  'not-yet-valid': 'warning',
  'expires-soon': 'warning',
  weak: 'warning',
  duplicate: 'info',
} as const satisfies Readonly<Record<string, Severity>>;

export type FindingCode = keyof typeof severities;

/** One thing wrong or worth saying about an entry of a source. */
export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  /** The file as the admin knows it: a path, or a path and a Secret's key. Control characters are escaped. */
  readonly source: string;
  /** Which entry of that file, counted from 1; absent when the finding is about the file as a whole. */
  readonly index?: number;
  /** One line: what is wrong and what to do. Holds no control character. */
  readonly message: string;
}

export function hasErrors(findings: readonly Finding[]): boolean {
  return findings.some(({ severity }) => severity === 'error');
}

/** A certificate that the rules accept as a trust anchor (RFC 5280, section 6.1.1 d). */
export interface Anchor {
  /** SHA-256 of the DER, 64 lower-case hex digits: the certificate's identity. */
  readonly fingerprint: string;
  /** The DER in PEM, 64 columns, one block, one final newline: what is installed. */
  readonly pem: string;
  /** Distinguished names in one line, control characters escaped. */
  readonly subject: string;
  readonly issuer: string;
  /** ISO 8601, UTC. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** Kind and size of the key for people: "RSA 4096", "EC P-256", "Ed25519". */
  readonly key: string;
  /** OpenSSL's X509_NAME_hash of the subject, 8 hex digits: the name of its link in a hashed directory. */
  readonly subjectHash: string;
  /** Why p11-kit leaves it out of what it extracts for TLS, as a phrase; absent when it takes it. */
  readonly notForP11Kit?: string;
  /** Why directories by hash that p11-kit makes do not have it under its hash, as a phrase; absent when they have. */
  readonly notHashedByP11Kit?: string;
  /** The entries that carry it, "source#index", sorted. */
  readonly carriers: readonly string[];
}

/** One file of a source: bytes under the name an admin knows them by. */
export interface SourceFile {
  readonly source: string;
  readonly bytes: Uint8Array;
}

/** What a source yields at one moment: the files it could read, and findings about those it could not. */
export interface Reading {
  readonly files: readonly SourceFile[];
  readonly findings: readonly Finding[];
  /** Set when the files may be out of date. */
  readonly provisional?: Provisional;
  /** One line, set when the source cannot be read any more, and the files are what it held last. */
  readonly stale?: string;
}

/** What stands in for a source that has not answered yet may be older than what is installed, so it only adds. */
export interface Provisional {
  /** One line: which source is waited for, and what that means. */
  readonly why: string;
  /** It may still answer soon: nothing is proven meanwhile. */
  readonly soon: boolean;
}

/** The anchors and findings read from all sources at one moment. */
export interface Bundle {
  /** Sorted by fingerprint, no duplicates. Empty when the whole bundle is refused (too-many, too-large). */
  readonly anchors: readonly Anchor[];
  /** Sorted by source, index and code. */
  readonly findings: readonly Finding[];
  /** SHA-256 over the sorted fingerprints, 64 hex digits; order and duplicates of the input do not change it. */
  readonly digest: string;
  /** Set when a reading of it was provisional: nothing is removed then. */
  readonly provisional?: Provisional;
  /** As of its readings. */
  readonly stale?: string;
}

export interface BundleRules {
  readonly now: Date;
  /** Certificates that are not CAs are anchors too, with a warning. */
  readonly allowLeaf: boolean;
  /** A bundle without any certificate is no error. */
  readonly allowEmpty: boolean;
  /** More anchors than this refuse the whole bundle. */
  readonly maxCertificates: number;
}
