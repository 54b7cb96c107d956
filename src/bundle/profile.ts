/**
 * A certificate's fields, read as strictly as Go's x509.ParseCertificate (crypto/x509/parser.go): containerd, CRI-O and
 * kubelet are Go programs, and each skips without a word what that function refuses. GnuTLS, which apt and git use on
 * Debian, is stricter here and there (gnutls_x509_crt_import), and takes nothing of a file in which it refuses one.
 */
import { attempt, constructed, Malformed, primitive, Reader, tags } from './der.ts';
import { readExtensions, type Extensions } from './extensions.ts';
import { unknownToGnuTls } from './general-names.ts';
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

/** A date as it stands, after its tag. */
const dates: Readonly<Record<number, RegExp>> = {
  [tags.utcTime]: /^(\d{12})Z$/,
  [tags.generalizedTime]: /^(\d{14})Z$/,
};

/** RFC 5280, 4.1.2.5. Go and OpenSSL would take a zone too, GnuTLS does not. */
function readTime(validity: Reader): Date {
  const { tag, value } = validity.any();
  const digits = dates[tag]?.exec(value)?.[1];
  if (digits === undefined) throw new Malformed('malformed date in its validity');
  const century = digits < '5' ? '20' : '19';
  const full = tag === tags.utcTime ? `${century}${digits}` : digits;
  const written = full.replace(/^(....)(..)(..)(..)(..)(..)$/, '$1-$2-$3T$4:$5:$6.000');
  const date = new Date(`${written}Z`);
  if (Number.isNaN(date.getTime()) || date.toISOString() !== `${written}Z`) {
    throw new Malformed('its validity holds a date that does not exist');
  }
  return date;
}

/** issuerUniqueID, subjectUniqueID and extensions, as far as the version allows them. Go would not look at the others. */
function readTail(tbs: Reader, version: number): Extensions {
  if (version > 1) {
    tbs.as('malformed issuerUniqueID').optional(primitive(1));
    tbs.as('malformed subjectUniqueID').optional(primitive(2));
  }
  if (version < 3 && !tbs.empty)
    throw new Malformed(`it holds what version ${version} does not have; ${unknownToGnuTls}`);
  const extensions = tbs.as('malformed extensions').optional(constructed(3));
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
