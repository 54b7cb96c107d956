import { describe, expect, it } from 'vitest';
import { judge } from '../../../src/bundle/certificate.ts';
import { attribute, build, commonName, nameOf, oddCertificates, oid, sequence, tlv } from './odd-certificates.ts';
import { messages, readOne } from './read.ts';

describe('a certificate that OpenSSL and Go must both take', () => {
  it.each(oddCertificates)('with $name', ({ der, refusal }) => {
    const judgement = judge(der);
    if (refusal === undefined) expect(judgement).toMatchObject({ kind: 'certificate' });
    else expect(judgement).toMatchObject({ kind: 'refused', reason: expect.stringMatching(refusal) as string });
  });

  it('is refused with its subject when that can be read', () => {
    expect(messages(readOne(build({ serial: tlv(0x02, [0x80]), subject: commonName('Our Root') })))).toMatch(
      /^CN=Our Root: its serial number is negative, so containerd and kubelet \(Go\) would skip it; ask/,
    );
  });
});

describe('the one line of a name', () => {
  const subjectOf = (subject: Uint8Array): string | undefined => readOne(build({ subject })).anchors[0]?.subject;

  it('shows attributes in their order, with OpenSSL names and plus signs', () => {
    const pair = Buffer.concat([
      attribute(tlv(0x0c, Buffer.from('A'))),
      attribute(tlv(0x0c, Buffer.from('B')), oid('1.2.3')),
    ]);
    expect(subjectOf(nameOf(pair, attribute(tlv(0x13, Buffer.from('DE')), oid('2.5.4.6'))))).toBe(
      'CN=A + 1.2.3=B, C=DE',
    );
  });

  it.each([
    ['a newline', 'a\nb', 'CN=a\\u{a}b'],
    ['a terminal escape', '\u001b[31mred', 'CN=\\u{1b}[31mred'],
    ['a change of direction', 'safe\u202egnp.exe', 'CN=safe\\u{202e}gnp.exe'],
    ['a zero width space', 'a\u200bb', 'CN=a\\u{200b}b'],
    ['a line separator', 'a\u2028b', 'CN=a\\u{2028}b'],
    ['letters of any script', 'Zürich 東京', 'CN=Zürich 東京'],
  ])('escapes %s', (_, value, expected) => {
    expect(subjectOf(commonName(value))).toBe(expected);
  });

  it('is cut when it is long', () => {
    const many = Array.from({ length: 10_000 }, () => attribute(tlv(0x0c, Buffer.from('x'.repeat(20)))));
    const line = subjectOf(nameOf(...many)) ?? '';
    expect(line).toHaveLength(300);
    expect(line).toMatch(/\.\.\.$/);
    expect(subjectOf(nameOf(...many.slice(0, 2), sequence()))).toBeUndefined();
  });
});
