import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { judge } from '../../../src/bundle/certificate.ts';
import { pemBlocks } from '../../../src/bundle/pem.ts';
import { attribute, build, nameOf, oid, sequence, tlv } from './odd-certificates.ts';
import { Workshop } from './openssl.ts';

const workshop = new Workshop();
afterAll(() => {
  workshop.remove();
});

/** What openssl says of one certificate. */
const expectedHash = (der: Uint8Array): string =>
  workshop.openssl(['x509', '-inform', 'DER', '-noout', '-subject_hash'], der).toString().trim();

function hashOf(der: Uint8Array): string {
  const judgement = judge(der);
  return judgement.kind === 'certificate' ? judgement.certificate.anchor.subjectHash : judgement.reason;
}

const roots = '/usr/share/ca-certificates/mozilla';
const rootsOfThisMachine = (): Buffer[] => {
  try {
    return readdirSync(roots).flatMap((file) =>
      [...pemBlocks(readFileSync(`${roots}/${file}`, 'latin1'))].map(({ der }) => Buffer.from(der ?? [])),
    );
  } catch {
    return [];
  }
};

describe('the hash of a subject is the one of openssl', () => {
  it("for every root of the machine's distribution", () => {
    const ders = rootsOfThisMachine();
    expect(ders.map(hashOf)).toEqual(ders.map(expectedHash));
  });

  const utf8 = (text: string): Buffer => tlv(0x0c, Buffer.from(text));
  const ou = oid('2.5.4.11');

  it.each<readonly [string, Uint8Array]>([
    ['no name', sequence()],
    ['a name of nothing', nameOf(attribute(utf8('')))],
    ['a name of blanks', nameOf(attribute(utf8('  \t ')))],
    ['blanks around and between', nameOf(attribute(utf8('  A \t\v\f\r\n  b  ')))],
    ['capitals', nameOf(attribute(utf8('ÄÖÜ EXAMPLE straße')))],
    ['a no-break space', nameOf(attribute(utf8('\u00a0A\u00a0')))],
    ['a character beyond 16 bits', nameOf(attribute(utf8('Root 🔒')))],
    ['Teletex', nameOf(attribute(tlv(0x14, Buffer.from('M\xfcLLER', 'latin1'))))],
    ['UCS-2', nameOf(attribute(tlv(0x1e, Buffer.from('€uro CA', 'utf16le').swap16())))],
    ['UCS-2 with a terminator', nameOf(attribute(tlv(0x1e, Buffer.from('CA\0', 'utf16le').swap16())))],
    ['digits', nameOf(attribute(tlv(0x12, Buffer.from(' 12  34 '))))],
    ['IA5', nameOf(attribute(tlv(0x16, Buffer.from('CA@Example.COM')), oid('1.2.840.113549.1.9.1')))],
    ['two attributes in one set', nameOf(Buffer.concat([attribute(utf8('B')), attribute(utf8('A'), ou)]))],
    ['two attributes in the wrong order', nameOf(Buffer.concat([attribute(utf8('A'), ou), attribute(utf8('B'))]))],
    ['one attribute that another begins with', nameOf(Buffer.concat([attribute(utf8('AA')), attribute(utf8('A'))]))],
    ['an empty set', nameOf(Buffer.alloc(0), attribute(utf8('A')))],
    ['a long name', nameOf(attribute(utf8('x '.repeat(150))))],
  ])('for %s', (_, subject) => {
    const der = build({ subject });
    expect(hashOf(der)).toBe(expectedHash(der));
  });
});
