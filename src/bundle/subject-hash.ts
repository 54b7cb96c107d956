/**
 * OpenSSL's X509_NAME_hash, the name of a certificate's link in a hashed directory (`openssl x509 -subject_hash`).
 * The rules are those of OpenSSL's crypto/x509/x_name.c: x509_name_canon and asn1_string_canon.
 */
import { createHash } from 'node:crypto';
import { tags } from './der.ts';
import type { Attribute, Name } from './names.ts';

/** NumericString is the one string type of a name that OpenSSL leaves as it is (ASN1_MASK_CANON). */
const numericString = 0x12;
const bmpString = 0x1e;

/** The octets of an element: tag, length in the definite form, contents. */
function encode(tag: number, value: Uint8Array): Buffer {
  const length: number[] = [];
  for (let rest = value.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  const header = value.length < 0x80 ? [tag, value.length] : [tag, 0x80 | length.length, ...length];
  return Buffer.concat([Buffer.from(header), value]);
}

/** OpenSSL keeps the terminator of a BMPString, which the text of a name drops. */
function wholeText({ tag, value, text }: Attribute): string {
  return tag === bmpString ? Buffer.from(value).swap16().toString('utf16le') : text;
}

/** Outer blanks gone, inner runs of blanks one space, ASCII letters small; all else stays (asn1_string_canon). */
function canonical(text: string): string {
  const words = text.split(/[ \t\n\v\f\r]+/).filter((word) => word !== '');
  return words.join(' ').replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function canonicalAttribute(attribute: Attribute): Buffer {
  const { type, tag, value } = attribute;
  const string =
    tag === numericString ? encode(tag, value) : encode(tags.utf8String, Buffer.from(canonical(wholeText(attribute))));
  return encode(tags.sequence, Buffer.concat([type, string]));
}

/**
 * The hash of a name that readName accepted: SHA-1 over its relative names, each a SET in DER order and without the
 * SEQUENCE around them, of which the first four octets are read as a little-endian number. 8 lower-case hex digits.
 */
export function subjectHash(name: Name): string {
  const sets = name
    .filter((attributes) => attributes.length > 0)
    .map((attributes) =>
      encode(
        tags.set,
        Buffer.concat(attributes.map(canonicalAttribute).sort((left, right) => Buffer.compare(left, right))),
      ),
    );
  const digest = createHash('sha1').update(Buffer.concat(sets)).digest();
  return digest.readUInt32LE(0).toString(16).padStart(8, '0');
}
