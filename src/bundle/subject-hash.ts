/**
 * OpenSSL's X509_NAME_hash, the name of a certificate's link in a hashed directory (`openssl x509 -subject_hash`).
 * The rules are those of OpenSSL's crypto/x509/x_name.c: x509_name_canon and asn1_string_canon.
 */
import { hash } from 'node:crypto';
import { octetString, tags } from './der.ts';
import { bmpString, numericString, teletexString, ucs2, type Attribute, type Name } from './names.ts';

/** An element of DER: tag, length in the definite form, contents. */
function encode(tag: number, value: string): string {
  const length: number[] = [];
  for (let rest = value.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  const size = value.length < 0x80 ? [value.length] : [0x80 | length.length, ...length];
  return String.fromCharCode(tag, ...size) + value;
}

/** Outer blanks gone, inner runs of blanks one space, ASCII letters small; all else stays (asn1_string_canon). */
function canonical(text: string): string {
  const words = text.split(/[ \t\n\v\f\r]+/).filter((word) => word !== '');
  return words.join(' ').replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** NumericString is left as it is (ASN1_MASK_CANON); a BMPString keeps its terminator, which the text drops. */
function canonicalAttribute({ type, tag, value, whole, text }: Attribute): string {
  const utf8 = Buffer.from(canonical(tag === bmpString ? ucs2(value) : text));
  return encode(tags.sequence, type + (tag === numericString ? whole : encode(tags.utf8String, octetString(utf8))));
}

/**
 * The hash of a name that readName accepted: SHA-1 over its relative names, each a SET in DER order and without the
 * SEQUENCE around them, of which the first four octets are read as a little-endian number. 8 lower-case hex digits.
 */
export function subjectHash(name: Name): string {
  const sets = name
    .filter((attributes) => attributes.length > 0)
    .map((attributes) => encode(tags.set, attributes.map(canonicalAttribute).sort().join('')));
  const digest = hash('sha1', Buffer.from(sets.join(''), 'latin1'), 'buffer');
  return digest.readUInt32LE(0).toString(16).padStart(8, '0');
}

/** What OpenSSL and p11-kit read in two ways: p11-kit takes the octets of each string but a BMPString for UTF-8. */
const readOtherwise: readonly (readonly [what: string, isSo: (attribute: Attribute) => boolean])[] = [
  ['a NumericString', ({ tag }) => tag === numericString],
  ['a TeletexString that is more than ASCII', ({ tag, value }) => tag === teletexString && /[\x80-\xff]/.test(value)],
  ['a string with a zero octet', ({ tag, value }) => tag !== bmpString && value.includes('\0')],
];

/**
 * Why the directories by hash that p11-kit makes do not have a certificate under this hash (p11_openssl_canon_name_der of
 * its extract-openssl.c), as a phrase; undefined when they have.
 */
export function whyNotHashedByP11Kit(name: Name): string | undefined {
  const [what] = readOtherwise.find(([, isSo]) => name.flat().some(isSo)) ?? [];
  if (what !== undefined) return `its subject has ${what}`;
  return name.some((attributes) => attributes.length === 0) ? 'its subject has an empty set' : undefined;
}
