import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pemBlocks, toPem } from '../../../src/bundle/pem.ts';
import { growth } from '../support/growth.ts';

const body = 'AAECAwQFBgcICQoLDA0ODw==';
const block = (label = 'CERTIFICATE', content = body): string =>
  `-----BEGIN ${label}-----\n${content}\n-----END ${label}-----\n`;
const bytes = Buffer.from(body, 'base64');

const problemsOf = (text: string): readonly (string | undefined)[] =>
  [...pemBlocks(text)].map(({ problem }) => problem);

describe('pemBlocks', () => {
  it('finds every block in any text', () => {
    const text = `Issuer: someone\n${block()}between\n${block('X509 CRL')}after`;
    expect([...pemBlocks(text)]).toEqual([
      { label: 'CERTIFICATE', index: 1, der: bytes, start: 16, end: 16 + block().length - 1 },
      { label: 'X509 CRL', index: 2, der: bytes, start: text.indexOf('-----BEGIN X'), end: text.length - 6 },
    ]);
  });

  it.each([
    ['Windows line ends', block().replaceAll('\n', '\r\n')],
    ['old Mac line ends', block().replaceAll('\n', '\r')],
    ['no final newline', block().trimEnd()],
    [
      'blanks after the dashes and in the body',
      block('CERTIFICATE', ` ${body} \n\t`).replaceAll('-----\n', '----- \t\n'),
    ],
    ['headers', block('CERTIFICATE', `Proc-Type: 4\nComment: one\n  and more\n\n${body}`)],
    ['headers without the blank line', block('CERTIFICATE', `Comment: one\n${body}`)],
    ['prose that names the BEGIN line', `paste -----BEGIN CERTIFICATE----- below\n${block()}`],
  ])('reads %s', (_, text) => {
    expect([...pemBlocks(text)]).toMatchObject([{ label: 'CERTIFICATE', index: 1, der: bytes }]);
  });

  it.each([
    ['no END', `-----BEGIN CERTIFICATE-----\n${body}\n`, /cut off/],
    ['a BEGIN before its END', `-----BEGIN CERTIFICATE-----\n${body}\n${block()}`, /cut off/],
    ['another END', block().replace('END CERTIFICATE', 'END X'), /ends as X/],
    ['text after its END', block().replace('END CERTIFICATE-----', 'END CERTIFICATE----- x'), /END line goes on/],
    ['END on the line of the body', block().replace('\n-----END', '-----END'), /END is not on a line/],
    ['a line of dashes inside', block('CERTIFICATE', '-----'), /cut off/],
    ['a BEGIN line cut off', '-----BEGIN CERTIFICATE', /BEGIN line is not complete/],
    ['everything on one line', block().replaceAll('\n', ' '), /goes on after the dashes/],
    ['newlines as JSON writes them', block().replaceAll('\n', '\\n'), /two characters \\n/],
    ['text before its BEGIN', `key: ${block()}`, /other text stands before/],
    ['a strange character', block('CERTIFICATE', 'AA\u0007A'), /holds "\\u\{7\}"/],
    ['a character lost', block('CERTIFICATE', body.slice(1)), /incomplete or damaged/],
    ['padding in the middle', block('CERTIFICATE', 'AA==AAAA'), /incomplete or damaged/],
    ['too much padding', block('CERTIFICATE', 'A==='), /incomplete or damaged/],
    ['nothing inside', block('CERTIFICATE', ''), /it is empty/],
    ['headers alone', block('CERTIFICATE', 'Comment: one'), /it is empty/],
  ])('says what is wrong with %s', (_, text, problem) => {
    const [first] = pemBlocks(text);
    expect(first?.label).toContain('CERTIFICATE');
    expect(first?.problem).toMatch(problem);
    expect(first?.der).toBeUndefined();
  });

  it.each([
    ['in the middle', `AAEC\n\nAwQF\n`, true],
    ['of blanks', `AAEC\n \t\nAwQF\n`, true],
    ['before END', `AAECAwQF\n`, true],
    ['nowhere', `AAEC\nAwQF`, undefined],
    ['after BEGIN alone', `\nAAECAwQF`, undefined],
    ['after headers alone', `Comment: one\n\nAAECAwQF`, undefined],
  ])('tells of a blank line %s', (_, content, hasGap) => {
    const [found] = pemBlocks(block('CERTIFICATE', content));
    expect([found?.der?.length, found?.hasGap]).toEqual([6, hasGap]);
  });

  it('loses neither of two files joined without a newline', () => {
    expect(problemsOf(block().trimEnd() + block())).toEqual([
      'its END line goes on after the dashes',
      'other text stands before its BEGIN line',
    ]);
  });

  it('goes on after a broken block', () => {
    expect(problemsOf(`-----BEGIN A-----\n${block('B')}${block('C')}`)).toEqual([
      'it is cut off: its END line is missing',
      undefined,
      undefined,
    ]);
  });

  it('escapes and cuts what a label holds', () => {
    const [found] = pemBlocks(`-----BEGIN \u001b[31m${'x'.repeat(500)}-----\n`);
    expect(found?.label).toMatch(/^\\u\{1b\}\[31mx+\.\.\.$/);
    expect(found?.label.length).toBeLessThanOrEqual(64);
  });

  it.each([
    ['BEGIN lines', '-----BEGIN CERTIFICATE-----\n'],
    ['BEGIN lines of old Macs', '-----BEGIN CERTIFICATE-----\r'],
    ['BEGINs on one line', '-----BEGIN '],
    ['BEGINs in lines', 'x-----BEGIN '],
    ['END lines', '-----END CERTIFICATE-----\n'],
    ['BEGINs and ENDs in lines', 'x-----BEGIN A-----x-----END A-----'],
    ['dashes', '-----'],
    ['BEGIN lines of other kinds', '-----BEGIN A-----\n-----'],
  ])('takes time in proportion to a megabyte of %s', (_, unit) => {
    expect(growth((size) => [...pemBlocks(unit.repeat(Math.ceil(size / unit.length)))])).toBeLessThan(10);
  });

  it('takes time in proportion to the dashes on an END line', () => {
    const read = (size: number) => [...pemBlocks(`-----BEGIN A-----\nMIIB\n-----END X${'-'.repeat(size)}a\n`)];
    expect(growth(read)).toBeLessThan(10);
  });

  it.each(['Name: value\n', ' ', 'A ', '\r', '\n'])(
    'takes time in proportion to a megabyte of %j in a block',
    (unit) => {
      const read = (size: number) => [
        ...pemBlocks(block('CERTIFICATE', `Name: value\n${unit.repeat(size / unit.length)}!`)),
      ];
      expect(growth(read)).toBeLessThan(10);
    },
  );

  it('never throws', () => {
    const piece = fc.constantFrom(
      '-----',
      'BEGIN ',
      'END ',
      'CERTIFICATE',
      '\n',
      '\r',
      'AAAA',
      '=',
      ':',
      ' ',
      '\0',
      'é',
    );
    fc.assert(fc.property(fc.array(piece), (pieces) => Array.isArray([...pemBlocks(pieces.join(''))])));
  });
});

describe('toPem', () => {
  it('writes 64 columns, LF and one final newline', () => {
    const lines = toPem(Buffer.alloc(100)).split('\n');
    expect(lines.map(({ length }) => length)).toEqual([27, 64, 64, 8, 25, 0]);
  });

  it('is read back as it was', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (der) => {
        expect([...pemBlocks(toPem(der))].map((found) => Buffer.from(found.der ?? []))).toEqual([Buffer.from(der)]);
      }),
    );
  });
});
