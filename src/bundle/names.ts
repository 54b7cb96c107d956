/**
 * Distinguished names (RFC 5280, 4.1.2.4): read as strictly as Go's x509.parseName, and written in one line.
 */
import { isUtf8 } from 'node:buffer';
import { Reader, tags, type Element } from './der.ts';
import { printable } from './text.ts';

export interface Attribute extends Element {
  readonly oid: string;
  /** The type's OBJECT IDENTIFIER as it stands in the certificate, tag and length included. */
  readonly type: string;
  readonly text: string;
}

/** The relative names in their order, each a set of attributes. */
export type Name = readonly (readonly Attribute[])[];

export const numericString = 0x12;
export const teletexString = 0x14;
export const bmpString = 0x1e;

/** UCS-2, most significant octet first. */
export const ucs2 = (value: string): string => Buffer.from(value, 'latin1').swap16().toString('utf16le');

/**
 * String types of one octet for each character, and what they may hold: NumericString, PrintableString (`*` and `&` are
 * none, but Go lets them pass), TeletexString (Latin-1 for OpenSSL and Go) and IA5String.
 */
const octetTypes: Readonly<Record<number, RegExp>> = {
  [numericString]: /^[0-9 ]*$/,
  0x13: /^[A-Za-z0-9'()+,./ :=?*&-]*$/,
  [teletexString]: /^/,
  0x16: /^[\0-\x7f]*$/,
};

/** The text of an attribute's value, or undefined when Go would refuse it. */
function decode({ tag, value }: Element): string | undefined {
  if (tag === tags.utf8String) {
    const bytes = Buffer.from(value, 'latin1');
    return isUtf8(bytes) ? bytes.toString() : undefined;
  }
  if (tag !== bmpString) return octetTypes[tag]?.test(value) === true ? value : undefined;
  // No surrogates and reserved code points; one terminator is dropped, as Go and BoringSSL do.
  const text = value.length % 2 === 0 ? ucs2(value).replace(/\0$/, '') : '\ud800';
  return /[\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]/.test(text) ? undefined : text;
}

/**
 * Reads a Name.
 * @throws Malformed when Go's parser would refuse it.
 */
export function readName(reader: Reader): Name {
  return Array.from(reader.enter(tags.sequence).all(tags.set), (set) =>
    Array.from(set.all(tags.sequence), readAttribute),
  );
}

function readAttribute(reader: Reader): Attribute {
  const { rest } = reader;
  const oid = reader.oid();
  const type = rest.slice(0, rest.length - reader.rest.length);
  const element = reader.any();
  const text = decode(element);
  if (text === undefined) return reader.fail(`the value of ${shortNames[oid] ?? oid} is not a valid string`);
  return { ...element, oid, type, text };
}

/** RFC 4514, section 3, and the names that OpenSSL gives to the rest. */
const shortNames: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.4': 'SN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'street',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '2.5.4.12': 'title',
  '2.5.4.42': 'GN',
  '2.5.4.97': 'organizationIdentifier',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
};

/** A name in one line, in the order of the certificate: "C=US, O=Example, CN=Example Root". Cut when it is long. */
export function nameLine(name: Name): string {
  const show = ({ oid, text }: Attribute): string => `${shortNames[oid] ?? oid}=${text.slice(0, 300)}`;
  // No more than a line can show is put together, however many attributes there are.
  const sets = name.slice(0, 60).map((attributes) => attributes.slice(0, 60).map(show).join(' + '));
  const line = printable(sets.join(', '), 300);
  return line === '' ? '(no name)' : line;
}
