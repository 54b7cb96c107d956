/**
 * Distinguished names (RFC 5280, 4.1.2.4): read as strictly as Go's x509.parseName, and written in one line.
 */
import { Malformed, Reader, readOid, tags } from './der.ts';
import { printable } from './text.ts';

export interface Attribute {
  readonly oid: string;
  /** The type's OBJECT IDENTIFIER as it stands in the certificate, tag and length included. */
  readonly type: Uint8Array;
  readonly tag: number;
  readonly value: Uint8Array;
  readonly text: string;
}

/** The relative names in their order, each a set of attributes. */
export type Name = readonly (readonly Attribute[])[];

const numericString = 0x12;
const printableString = 0x13;
const teletexString = 0x14;
const ia5String = 0x16;
const bmpString = 0x1e;

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Latin-1, one character per octet; with a pattern, only characters that match it. */
function singleOctets(value: Uint8Array, allowed?: RegExp): string | undefined {
  const text = Buffer.from(value).toString('latin1');
  return allowed === undefined || allowed.test(text) ? text : undefined;
}

function utf8(value: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(value);
  } catch {
    return undefined;
  }
}

/** UCS-2 without surrogates and reserved code points; one terminator is dropped, as Go and BoringSSL do. */
function ucs2(value: Uint8Array): string | undefined {
  if (value.length % 2 !== 0) return undefined;
  const text = Buffer.from(value).swap16().toString('utf16le').replace(/\0$/, '');
  return /[\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]/.test(text) ? undefined : text;
}

/**
 * The string types and what each may hold. `*` and `&` are no PrintableString, but Go lets them pass. Teletex is read
 * as Latin-1, as OpenSSL and Go do.
 */
const decoders: Readonly<Record<number, (value: Uint8Array) => string | undefined>> = {
  [tags.utf8String]: utf8,
  [numericString]: (value) => singleOctets(value, /^[0-9 ]*$/),
  [printableString]: (value) => singleOctets(value, /^[A-Za-z0-9'()+,./ :=?*&-]*$/),
  [teletexString]: (value) => singleOctets(value),

  [ia5String]: (value) => singleOctets(value, /^[\0-\x7f]*$/),
  [bmpString]: ucs2,
};

/**
 * Reads a Name's DER.
 * @throws Malformed when Go's parser would refuse it.
 */
export function readName(der: Uint8Array, what: string): Name {
  const sets: Attribute[][] = [];
  const sequence = new Reader(der).enter(tags.sequence, what);
  while (!sequence.empty) {
    const set = sequence.enter(tags.set, what);
    const attributes: Attribute[] = [];
    while (!set.empty) attributes.push(readAttribute(set.enter(tags.sequence, what), what));
    sets.push(attributes);
  }
  return sets;
}

function readAttribute(reader: Reader, what: string): Attribute {
  const type = reader.element(tags.oid, what);
  const oid = readOid(new Reader(type), what);
  const { tag, value } = reader.any(what);
  const text = decoders[tag]?.(value);
  if (text === undefined) throw new Malformed(`${what}: the value of ${shortNames[oid] ?? oid} is not a valid string`);
  return { oid, type, tag, value, text };
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
  // No more than a line can show is put together, however many attributes there are.
  const sets = name.slice(0, 60).map((attributes) =>
    attributes
      .slice(0, 60)
      .map(({ oid, text }) => `${shortNames[oid] ?? oid}=${text.slice(0, 300)}`)
      .join(' + '),
  );
  const line = printable(sets.join(', '), 300);
  return line === '' ? '(no name)' : line;
}
