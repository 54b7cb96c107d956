/**
 * A certificate's fields, read as strictly as Go's x509.ParseCertificate (crypto/x509/parser.go): containerd, CRI-O and
 * kubelet are Go programs, and each skips without a word what that function refuses.
 */
import { attempt, constructed, Malformed, primitive, Reader, tags } from './der.ts';
import { readExtensions, type Extensions } from './extensions.ts';
import { readAlgorithm, readPublicKey } from './keys.ts';
import { readName, type Name } from './names.ts';

/** What the rules ask of a certificate. */
export type Profile = ReturnType<typeof readProfile>;

/** The subject alone, for a message about a certificate that is refused; undefined when it cannot be read either. */
export function subjectOf(der: string): Name | undefined {
  return attempt(() => {
    const tbs = new Reader(der, '').enter(tags.sequence).enter(tags.sequence);
    tbs.optional(constructed(0));
    for (const tag of [tags.integer, tags.sequence, tags.sequence, tags.sequence]) tbs.read(tag);
    return readName(tbs);
  });
}

/** The contents of the [0] field, for the versions 1 to 3. */
const versions = ['\x02\x01\0', '\x02\x01\x01', '\x02\x01\x02'];

/** A date as it stands, after its tag; "Z" is the only way to write no zone. */
const zones = /(Z|[+-](?!0000)(?:[01]\d|2[0-3])[0-5]\d)$/.source;
const dates: Readonly<Record<number, RegExp>> = {
  [tags.utcTime]: new RegExp(`^(\\d{12})${zones}`),
  [tags.generalizedTime]: new RegExp(`^(\\d{14})${zones}`),
};

/** RFC 5280, 4.1.2.5, and the one liberty that Go and OpenSSL both take: zones. */
function readTime(validity: Reader): Date {
  const { tag, value } = validity.any();
  const [, digits, zone] = dates[tag]?.exec(value) ?? [];
  if (digits === undefined || zone === undefined) throw new Malformed('malformed date in its validity');
  const century = digits < '5' ? '20' : '19';
  const full = tag === tags.utcTime ? `${century}${digits}` : digits;
  const written = full.replace(/^(....)(..)(..)(..)(..)(..)$/, '$1-$2-$3T$4:$5:$6.000');
  const date = new Date(`${written}Z`);
  if (Number.isNaN(date.getTime()) || date.toISOString() !== `${written}Z`) {
    throw new Malformed('its validity holds a date that does not exist');
  }
  return zone === 'Z' ? date : new Date(written + zone.replace(/(\d\d)$/, ':$1'));
}

/** issuerUniqueID, subjectUniqueID and extensions, which Go reads as far as the version allows them. */
function readTail(tbs: Reader, version: number): Extensions {
  if (version === 1) return {};
  tbs.as('malformed issuerUniqueID').optional(primitive(1));
  tbs.as('malformed subjectUniqueID').optional(primitive(2));
  const extensions = version === 3 ? tbs.as('malformed extensions').optional(constructed(3)) : undefined;
  return extensions === undefined ? {} : readExtensions(extensions);
}

/**
 * Reads one certificate, and nothing after it. The key is its name, unless only OpenSSL knows it.
 * @throws Malformed when Go's parser would refuse it.
 */
export function readProfile(der: string) {
  const outer = new Reader(der, 'not a certificate, or cut off');
  const certificate = outer.enter(tags.sequence).as('malformed certificate');
  if (!outer.empty) throw new Malformed(`${outer.rest.length} octets follow the certificate`);
  const tbs = certificate.enter(tags.sequence);
  const version = versions.indexOf(tbs.optional(constructed(0)) ?? '\x02\x01\0') + 1;
  if (version === 0) throw new Malformed('unknown version');
  if (tbs.as('malformed serial number').integer() >= '\x80') {
    throw new Malformed('its serial number is negative, so containerd and kubelet (Go) would skip it');
  }
  const what = 'malformed signature algorithm';
  const inner = tbs.as(what).read(tags.sequence);
  if (certificate.as(what).read(tags.sequence) !== inner) throw new Malformed('its two signature algorithms differ');
  const signature = readAlgorithm(new Reader(inner, what));
  const issuerOctets = tbs.as('malformed issuer').any().whole;
  const issuer = readName(new Reader(issuerOctets, 'malformed issuer'));
  const validity = tbs.as('malformed validity').enter(tags.sequence);
  const [notBefore, notAfter] = [readTime(validity), readTime(validity)];
  const subjectOctets = tbs.as('malformed subject').any().whole;
  const isSelfIssued = subjectOctets === issuerOctets;
  const subject = isSelfIssued ? issuer : readName(new Reader(subjectOctets, 'malformed subject'));
  const key = readPublicKey(tbs.as('malformed public key').enter(tags.sequence));
  const extensions = readTail(tbs, version);
  certificate.as('malformed signature').bits();
  return { version, signature, issuer, subject, isSelfIssued, notBefore, notAfter, key, ...extensions };
}
