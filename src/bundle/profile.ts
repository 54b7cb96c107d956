/**
 * A certificate's fields, read as strictly as Go's x509.ParseCertificate (crypto/x509/parser.go): containerd, CRI-O and
 * kubelet are Go programs, and each skips without a word what that function refuses.
 */
import { context, isNegative, Malformed, readBits, Reader, readInteger, tags } from './der.ts';
import { readExtensions, type Extensions } from './extensions.ts';
import { readAlgorithm, readPublicKey, type Algorithm, type PublicKey } from './keys.ts';
import { readName, type Name } from './names.ts';

export interface Profile extends Extensions {
  readonly version: 1 | 2 | 3;
  readonly signature: Algorithm;
  readonly issuer: Name;
  readonly subject: Name;
  /** Whether the two names are the same octets. */
  readonly isSelfIssued: boolean;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly key: PublicKey;
}

/** The names alone, for a message about a certificate that is refused; undefined when they cannot be read either. */
export function subjectOf(der: Uint8Array): Name | undefined {
  try {
    const tbs = new Reader(der).enter(tags.sequence, '').enter(tags.sequence, '');
    tbs.optional(context(0, true), '');
    for (const tag of [tags.integer, tags.sequence, tags.sequence, tags.sequence]) tbs.read(tag, '');
    return readName(tbs.element(tags.sequence, ''), '');
  } catch {
    return undefined;
  }
}

function readVersion(tbs: Reader): 1 | 2 | 3 {
  const explicit = tbs.optional(context(0, true), 'malformed version');
  if (explicit === undefined) return 1;
  const reader = new Reader(explicit);
  const integer = readInteger(reader, 'malformed version');
  const version = integer.length === 1 && reader.empty ? (integer[0] ?? 0) + 1 : 0;
  if (version !== 1 && version !== 2 && version !== 3) throw new Malformed('unknown version');
  return version;
}

const times: Readonly<Record<number, RegExp>> = {
  [tags.utcTime]: /^\d{12}(?:Z|[+-]\d{4})$/,
  [tags.generalizedTime]: /^\d{14}(?:Z|[+-]\d{4})$/,
};

/** Minutes east of UTC; "Z" is the only way to write none. */
function readZone(zone: string): number | undefined {
  if (zone === 'Z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(3));
  if (hours > 24 || minutes > 59 || hours + minutes === 0) return undefined;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}

/** RFC 5280, 4.1.2.5, and the one liberty that Go and OpenSSL both take: zones. */
function readTime(validity: Reader): Date {
  const { tag, value } = validity.any('malformed validity');
  const text = Buffer.from(value).toString('latin1');
  const zoneAt = text.search(/[Z+-]/);
  const zone = readZone(text.slice(zoneAt));
  if (times[tag]?.test(text) !== true || zone === undefined) throw new Malformed('malformed date in its validity');
  const digits = text.slice(0, zoneAt);
  const century = digits < '5' ? '20' : '19';
  const full = tag === tags.utcTime ? `${century}${digits}` : digits;
  const written = full.replace(/^(....)(..)(..)(..)(..)(..)$/, '$1-$2-$3T$4:$5:$6.000Z');
  const date = new Date(written);
  if (Number.isNaN(date.getTime()) || date.toISOString() !== written) {
    throw new Malformed('its validity holds a date that does not exist');
  }
  return new Date(date.getTime() - zone * 60_000);
}

/** issuerUniqueID, subjectUniqueID and extensions, which Go reads as far as the version allows them. */
function readTail(tbs: Reader, version: number): Extensions {
  if (version === 1) return {};
  tbs.optional(context(1, false), 'malformed issuerUniqueID');
  tbs.optional(context(2, false), 'malformed subjectUniqueID');
  const extensions = version === 3 ? tbs.optional(context(3, true), 'malformed extensions') : undefined;
  return extensions === undefined ? {} : readExtensions(extensions);
}

function readSerial(tbs: Reader): void {
  if (isNegative(readInteger(tbs, 'malformed serial number'))) {
    throw new Malformed('its serial number is negative, so containerd and kubelet (Go) would skip it');
  }
}

/** The algorithm inside the signed part and the one at the signature must be the same octets. */
function readSignature(certificate: Reader, inner: Uint8Array): Algorithm {
  const what = 'malformed signature algorithm';
  const outer = certificate.read(tags.sequence, what);
  if (!Buffer.from(outer).equals(inner)) throw new Malformed('its two signature algorithms differ');
  return readAlgorithm(inner, what);
}

/**
 * Reads one certificate, and nothing after it.
 * @throws Malformed when Go's parser would refuse it.
 */
export function readProfile(der: Uint8Array): Profile {
  const outer = new Reader(der);
  const certificate = outer.enter(tags.sequence, 'not a certificate, or cut off');
  if (!outer.empty) throw new Malformed(`${outer.rest.length} octets follow the certificate`);
  const tbs = certificate.enter(tags.sequence, 'malformed certificate');
  const version = readVersion(tbs);
  readSerial(tbs);
  const signature = readSignature(certificate, tbs.read(tags.sequence, 'malformed signature algorithm'));
  const issuer = tbs.element(tags.sequence, 'malformed issuer');
  const validity = tbs.enter(tags.sequence, 'malformed validity');
  const [notBefore, notAfter] = [readTime(validity), readTime(validity)];
  const subject = tbs.element(tags.sequence, 'malformed subject');
  const key = readPublicKey(tbs.read(tags.sequence, 'malformed public key'));
  const extensions = readTail(tbs, version);
  readBits(certificate, 'malformed signature');
  return {
    version,
    signature,
    issuer: readName(issuer, 'malformed issuer'),
    subject: readName(subject, 'malformed subject'),
    isSelfIssued: Buffer.from(issuer).equals(subject),
    notBefore,
    notAfter,
    key,
    ...extensions,
  };
}
