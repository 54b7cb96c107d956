import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readBundle } from '../../../src/bundle/bundle.ts';
import { recognise } from '../../../src/bundle/formats.ts';
import { toPem } from '../../../src/bundle/pem.ts';
import { build, commonName, hugeCertificate, oid, sequence, tlv } from './odd-certificates.ts';
import { Workshop, type Made } from './openssl.ts';
import { codes, messages, readOne, rules } from './read.ts';
import { growth, processorMs } from '../support/growth.ts';

const workshop = new Workshop();
const rsa = ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'] as const;
let root: Made;
let others: readonly Made[];

beforeAll(() => {
  root = workshop.certificate({ subject: '/CN=First Root', key: rsa });
  others = [
    workshop.certificate({ subject: '/CN=Ed25519 Root', key: ['-algorithm', 'ED25519'] }),
    workshop.certificate({
      subject: '/CN=PSS Root',
      key: ['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'],
    }),
    workshop.certificate({ subject: '/CN=EC Root' }),
  ];
});

afterAll(() => {
  workshop.remove();
});

const twice = (text: string): string => Buffer.from(text).toString('base64');
const utf16 = (text: string): Buffer => Buffer.from(`\ufeff${text}`, 'utf16le');
const relabel = (pem: string, label: string): string => pem.replaceAll('CERTIFICATE-----', `${label}-----`);
const armour = (label: string, der: Uint8Array): string => relabel(toPem(der), label);

/** The subjects of the anchors, and that nothing was found wrong with the form. */
function subjectsOf(content: string | Uint8Array): readonly string[] {
  const bundle = readOne(content);
  expect(bundle.findings.filter(({ code }) => code !== 'weak')).toEqual([]);
  return bundle.anchors.map(({ subject }) => subject).sort();
}

describe('a certificate is found in', () => {
  it.each<readonly [string, () => string | Uint8Array]>([
    ['PEM', () => root.pem],
    ['PEM with text around', () => `subject=CN = First Root\n${root.pem}\nthe end`],
    ['PEM without a final newline', () => root.pem.trimEnd()],
    ['PEM with Windows line ends', () => root.pem.replaceAll('\n', '\r\n')],
    ['PEM with a mark of UTF-8', () => `\ufeff${root.pem}`],
    ['PEM in UTF-16', () => utf16(root.pem)],
    ['PEM with NULs after it', () => Buffer.from(`${root.pem}\0\0`)],
    ['PEM in UTF-16, the other way round', () => utf16(root.pem).swap16()],
    ['indented PEM', () => root.pem.replace(/^/gm, '    ')],
    ['PEM with headers', () => root.pem.replace('-----\n', '-----\nSubject: x\n\n')],
    ['an X509 CERTIFICATE', () => relabel(root.pem, 'X509 CERTIFICATE')],
    [
      'a TRUSTED CERTIFICATE',
      () => workshop.openssl(['x509', '-trustout', '-addtrust', 'serverAuth', '-setalias', 'x'], root.pem),
    ],
    ['PEM after key parameters', () => `${armour('EC PARAMETERS', oid('1.2.840.10045.3.1.7'))}${root.pem}`],
    ['DER', () => root.der],
    ['DER with a newline after it', () => Buffer.concat([root.der, Buffer.from('\r\n\0')])],
  ])('%s', (_, content) => {
    expect(subjectsOf(content())).toEqual(['CN=First Root']);
  });

  const pkcs7 = (...parameters: readonly string[]): Buffer => {
    const file = workshop.file('all.pem', [root, ...others].map(({ pem }) => pem).join(''));
    return workshop.openssl(['crl2pkcs7', '-nocrl', '-certfile', file, ...parameters]);
  };
  const four = ['CN=Ed25519 Root', 'CN=EC Root', 'CN=First Root', 'CN=PSS Root'].sort();

  it.each<readonly [string, () => string | Uint8Array]>([
    ['PEM one after the other', () => [root, ...others].map(({ pem }) => pem).join('')],
    ['PEM joined without newlines', () => [root, ...others].map(({ pem }) => pem.trimEnd()).join('')],
    ['PEM in UTF-16 joined', () => Buffer.concat([root, ...others].map(({ pem }) => utf16(pem)))],
    [
      'PEM with what openssl x509 -text prints',
      () =>
        [root, ...others]
          .map(({ pem }) => workshop.openssl(['x509', '-text', '-fingerprint', '-sha256'], pem).toString())
          .join(''),
    ],
    ['PEM with comments between', () => [root, ...others].map(({ pem }) => `# a root\n${pem}`).join('\n')],
    ['DER one after the other', () => Buffer.concat([root, ...others].map(({ der }) => der))],
    ['PKCS#7 in PEM', () => pkcs7()],
    ['PKCS#7 under the label of certificates', () => armour('CERTIFICATE', pkcs7('-outform', 'DER'))],
    ['PKCS#7 in DER', () => pkcs7('-outform', 'DER')],
    ['PKCS#7 in BER', () => indefinite(pkcs7('-outform', 'DER'))],
    [
      'CMS, signed',
      () => {
        const file = workshop.file('three.pem', others.map(({ pem }) => pem).join(''));
        const signer = ['-signer', root.certificateFile, '-inkey', root.keyFile, '-certfile', file];
        return workshop.openssl(['cms', '-sign', ...signer, '-outform', 'DER', '-nodetach', '-stream'], 'text');
      },
    ],
  ])('four forms of keys: %s', (_, content) => {
    expect(subjectsOf(content())).toEqual(four);
  });

  it('keeps the octets of each certificate in PKCS#7', () => {
    const fingerprints = (content: string | Uint8Array): readonly string[] =>
      readOne(content).anchors.map(({ fingerprint }) => fingerprint);
    expect(fingerprints(pkcs7())).toEqual(fingerprints([root, ...others].map(({ pem }) => pem).join('')));
  });

  it('installs the valid entries beside broken ones', () => {
    const broken = root.pem.replace('M', '!');
    const bundle = readOne(`${broken}${root.pem}-----BEGIN CERTIFICATE-----\n`);
    expect(codes(bundle)).toEqual(['error not-a-certificate 1', 'error not-a-certificate 3']);
    expect(bundle.anchors.map(({ carriers }) => carriers)).toEqual([['ca.crt#2']]);
  });
});

/** The same PKCS#7 with indefinite lengths around the certificates, as old Java tools write it. */
function indefinite(der: Buffer): Buffer {
  const header = (at: number): number => at + 2 + ((der[at + 1] ?? 0) > 0x80 ? (der[at + 1] ?? 0) & 0x7f : 0);
  const oidAt = header(0);
  const explicitAt = oidAt + 11;
  const end = Buffer.alloc(2);
  const inner = der.subarray(header(explicitAt));
  return Buffer.concat([
    Buffer.from([0x30, 0x80]),
    der.subarray(oidAt, explicitAt),
    Buffer.from([0xa0, 0x80]),
    inner,
    end,
    end,
  ]);
}

describe('a private key keeps the whole file out', () => {
  const key = (...parameters: readonly string[]): Buffer =>
    workshop.openssl(['pkey', '-in', root.keyFile, ...parameters]);
  const ecKey = (...parameters: readonly string[]): Buffer =>
    workshop.openssl(['ec', '-in', others[2]?.keyFile ?? '', ...parameters]);
  const encrypted = (...parameters: readonly string[]): Buffer =>
    workshop.openssl(['pkcs8', '-topk8', '-in', root.keyFile, '-passout', 'pass:x', ...parameters]);

  it.each<readonly [string, () => string | Uint8Array]>([
    ['PKCS#8', () => root.keyPem],
    ['PKCS#1', () => key('-traditional')],
    ['SEC1', () => ecKey()],
    ['encrypted PKCS#8', () => encrypted()],
    [
      'encrypted in the old way',
      () => workshop.openssl(['rsa', '-in', root.keyFile, '-traditional', '-aes128', '-passout', 'pass:x']),
    ],
    ['OpenSSH', () => '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n'],
    ['PGP', () => '-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n=AAAA\n-----END PGP PRIVATE KEY BLOCK-----\n'],
    ['SSH2', () => '---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nAAAA\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\n'],
    ['PuTTY', () => 'PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n'],
    ['cut off', () => '-----BEGIN PRIVATE KEY-----\nMIIE'],
    ['indented', () => root.keyPem.replace(/^/gm, '  ')],
    ['in UTF-16', () => utf16(root.keyPem)],
    ['under the label of a certificate', () => armour('CERTIFICATE', key('-outform', 'DER'))],
    ['encoded twice', () => twice(root.keyPem)],
    ['encoded twice after other text', () => twice(`Bag Attributes\n${root.keyPem}`)],
    ['encoded three times', () => twice(twice(root.keyPem))],
    ['encoded twice in a manifest', () => `tls.crt: ${twice(root.pem)}\n  tls.key: ${twice(root.keyPem)}\n`],
    ['encoded twice within PEM', () => armour('CERTIFICATE', Buffer.from(root.keyPem))],
    ['base64 alone', () => key('-outform', 'DER').toString('base64')],
  ])('%s', (_, content) => {
    const bytes = content();
    const bundle = readOne(bytes);
    expect(codes(bundle).map((code) => code.split(' ', 2).join(' '))).toEqual(['error private-key']);
    expect(bundle.anchors).toEqual([]);
    expect(messages(bundle)).toMatch(
      /^a private key \(.+\) is in this file: nothing of this file is installed; take the key out/,
    );
  });

  it('of any text form, also after a certificate', () => {
    for (const secret of [
      root.keyPem,
      twice(root.keyPem),
      'PuTTY-User-Key-File-2: x',
      '-----BEGIN EC PRIVATE KEY-----',
    ]) {
      const bundle = readOne(`${root.pem}${secret}`);
      expect(codes(bundle).map((code) => code.split(' ', 2).join(' '))).toEqual(['error private-key']);
      expect(bundle.anchors).toEqual([]);
    }
  });

  it.each<readonly [string, () => Uint8Array]>([
    ['PKCS#8', () => key('-outform', 'DER')],
    ['PKCS#1', () => key('-outform', 'DER', '-traditional')],
    ['SEC1', () => ecKey('-outform', 'DER')],
    ['encrypted PKCS#8', () => encrypted('-outform', 'DER')],
    ['DSA', () => sequence(...Array.from({ length: 6 }, () => tlv(0x02, [1])))],
    ['OpenSSH', () => Buffer.from('openssh-key-v1\0\0\0\0\u0004none')],
    ['DER after a certificate', () => Buffer.concat([root.der, key('-outform', 'DER')])],
    ['PEM after a certificate', () => Buffer.concat([root.der, Buffer.from(root.keyPem)])],
  ])('in DER: %s', (_, content) => {
    const bundle = readOne(content());
    expect(codes(bundle).map((code) => code.split(' ', 2).join(' '))).toEqual(['error private-key']);
    expect(bundle.anchors).toEqual([]);
  });

  it('leaves the other files alone, and prose that speaks of keys', () => {
    expect(codes(readOne(`# no PRIVATE KEY in here\n${root.pem}`))).toEqual([]);
  });
});

describe('what is no certificate is named', () => {
  const request = (): Buffer => workshop.openssl(['req', '-new', '-key', root.keyFile, '-subj', '/CN=x']);
  const publicKey = (...more: readonly string[]): Buffer =>
    workshop.openssl(['pkey', '-in', root.keyFile, '-pubout', ...more]);
  const list = sequence(
    sequence(tlv(0x02, [1]), sequence(oid('1.2.3')), commonName('x'), tlv(0x17, Buffer.from('260101000000Z'))),
    sequence(oid('1.2.3')),
    tlv(0x03, [0]),
  );
  const pfx = (): Buffer =>
    workshop.openssl(['pkcs12', '-export', '-in', root.certificateFile, '-inkey', root.keyFile, '-passout', 'pass:x']);
  const enveloped = sequence(oid('1.2.840.113549.1.7.3'), tlv(0xa0, sequence()));
  const signed = (...members: readonly Uint8Array[]): Buffer =>
    sequence(
      oid('1.2.840.113549.1.7.2'),
      tlv(0xa0, sequence(tlv(0x02, [1]), tlv(0x31), sequence(), tlv(0xa0, ...members))),
    );

  it.each<readonly [string, () => string | Uint8Array, RegExp]>([
    ['nothing', () => '', /^the file is empty; put a certificate into it/],
    ['blanks', () => ' \n\t', /^the file is empty/],
    ['a mark of UTF-8', () => '\ufeff', /^the file is empty/],
    ['zeros', () => Buffer.alloc(100), /^the file is empty/],
    ['text', () => 'hello, world', /^it is plain text without a certificate/],
    ['a long word', () => 'averylongwordwithoutanyblanks', /^it is plain text/],
    [
      'prose about PEM',
      () => 'it begins with -----BEGIN CERTIFICATE----- you know',
      /speaks of PEM but holds no PEM block/,
    ],
    ['noise', () => Buffer.from([1, 2, 3, 250]), /^it is binary data of no known kind/],
    ['PEM encoded twice', () => twice(root.pem), /^it is base64-encoded twice: decode it once more/],
    ['PEM encoded twice within PEM', () => armour('CERTIFICATE', Buffer.from(root.pem)), /base64-encoded twice/],
    ['PEM encoded three times', () => twice(twice(root.pem)), /base64-encoded twice/],
    ['DER in base64', () => root.der.toString('base64'), /base64 without the lines BEGIN and END/],
    ['a request in PEM', () => request(), /a certificate signing request, not a certificate; put in the certificate/],
    [
      'a request in base64',
      () => workshop.openssl(['req', '-outform', 'DER'], request()).toString('base64'),
      /a certificate signing request/,
    ],
    [
      'a request in DER',
      () => workshop.openssl(['req', '-outform', 'DER'], request()),
      /a certificate signing request/,
    ],
    ['a revocation list in PEM', () => armour('X509 CRL', list), /revocation list/],
    ['a revocation list in DER', () => list, /revocation list/],
    ['a public key in PEM', () => publicKey(), /a bare public key/],
    ['a public key in DER', () => publicKey('-outform', 'DER'), /a bare public key/],
    ['a public RSA key in DER', () => sequence(tlv(0x02, [5]), tlv(0x02, [3])), /a bare public key/],
    [
      'PKCS#12',
      () => pfx(),
      /PKCS#12 key store, not a certificate; export the certificates alone, with "openssl pkcs12/,
    ],
    ['PKCS#12 in base64', () => pfx().toString('base64'), /PKCS#12 key store/],
    ['a Java key store', () => Buffer.from('feedfeed00000002', 'hex'), /Java key store.*keytool/],
    ['a Java key store of the other kind', () => Buffer.from('cececece00000002', 'hex'), /Java key store/],
    ['key parameters', () => armour('DH PARAMETERS', sequence(tlv(0x02, [5]), tlv(0x02, [2]))), /it is key parameters/],
    [
      'parameters that are broken',
      () => '-----BEGIN EC PARAMETERS-----\n!\n-----END EC PARAMETERS-----\n',
      /PEM block EC PARAMETERS cannot be read/,
    ],
    ['PEM of another kind', () => relabel(root.pem, 'PGP SIGNATURE'), /a PEM block "PGP SIGNATURE"/],
    ['PKCS#7 without certificates', () => armour('PKCS7', signed()), /PKCS#7 without certificates/],
    ['PKCS#7 that is encrypted', () => enveloped, /another kind than signed data/],
    ['PKCS#7 with an attribute certificate', () => signed(tlv(0xa1)), /attribute certificate/],
    [
      'PKCS#7 with a certificate in BER',
      () => signed(Buffer.concat([Buffer.from([0x30, 0x80]), root.der.subarray(4), Buffer.alloc(2)])),
      /not in DER/,
    ],
    ['a SEQUENCE of nothing', () => Buffer.from([0x30, 0, 1]), /malformed certificate|no certificate follow/],
    ['DER cut off', () => root.der.subarray(0, 200), /cut off/],
    ['JSON', () => `{"ca":"${root.pem.replaceAll('\n', '\\n')}"}`, /other text stands before its BEGIN line/],
  ])('%s', (_, content, message) => {
    const bundle = readOne(content());
    expect(codes(bundle).every((code) => code.startsWith('error not-a-certificate'))).toBe(true);
    expect(messages(bundle)).toMatch(message);
    expect(bundle.anchors).toEqual([]);
  });

  const lost = /^line \d+: here seems to be a certificate without a whole BEGIN line/;
  const second = (): string => others[2]?.pem ?? '';
  const wide = (text: string): Buffer => Buffer.from(text, 'utf16le');
  /** Beside the first root, which is found: the second would go without a word. */
  const lostBeside: readonly (readonly [string, () => string | Uint8Array, RegExp])[] = [
    ['one with a dash too few before it', () => `${second().slice(1)}${root.pem}`, lost],
    ['one with a dash too few after it', () => `${root.pem}${second().slice(1)}`, lost],
    ['one with the dashes of a word processor', () => root.pem + second().replace(/^--/, '\u2014'), lost],
    [
      'one in small letters',
      () => root.pem + second().replace(/(BEGIN|END) CERT/g, (word) => word.toLowerCase()),
      lost,
    ],
    ['one without the blank', () => root.pem + second().replace(/(BEGIN|END) /g, '$1'), lost],
    ['one without its BEGIN line', () => root.pem + second().replace(/^.*\n/, ''), lost],
    ['one without BEGIN and END', () => root.pem + second().replace(/^-.*\n/gm, ''), lost],
    ['one in base64', () => `${root.pem}${twice(second())}\n`, lost],
    ['one of which only the END is left', () => `${root.pem}-----END CERTIFICATE-----\n`, lost],
    ['one with text before it and no END', () => `${root.pem}x ${second().replace(/-----END.*/, '')}`, lost],
    [
      'one in UTF-16',
      () => Buffer.concat([Buffer.from(root.pem), wide(second())]),
      /^line \d+: the file goes on in another/,
    ],
    ['one in UTF-16 with a mark', () => Buffer.concat([Buffer.from(root.pem), utf16(second())]), /in another encoding/],
    [
      'one in the other UTF-16',
      () => Buffer.concat([Buffer.from(root.pem), wide(second()).swap16()]),
      /in another encoding/,
    ],
    [
      'one in UTF-8 after UTF-16',
      () => Buffer.concat([utf16(root.pem), Buffer.from(second())]),
      /^the file goes on in another/,
    ],
  ];

  it.each<readonly [string, () => string | Uint8Array, RegExp]>([
    [
      'octets after DER',
      () => Buffer.concat([root.der, Buffer.from([1, 2, 3])]),
      /^3 octets that are no certificate follow/,
    ],
    ['DER after PEM', () => Buffer.concat([Buffer.from(root.pem), root.der]), /^it mixes PEM with binary data/],
    ['a request beside it', () => Buffer.concat([Buffer.from(root.pem), request()]), /signing request/],
    ...lostBeside,
  ])('%s, and the certificate is installed', (_, content, message) => {
    const bundle = readOne(content());
    expect(bundle.anchors).toHaveLength(1);
    expect(codes(bundle)).toHaveLength(1);
    expect(messages(bundle)).toMatch(message);
  });

  it('octets after the certificate in its own PEM block', () => {
    const bundle = readOne(armour('CERTIFICATE', Buffer.concat([root.der, Buffer.from([0, 0])])));
    expect(messages(bundle)).toMatch(/CN=First Root: 2 octets follow the certificate/);
  });

  it('a TRUSTED CERTIFICATE that rejects servers', () => {
    const rejecting = (use: string): Buffer => workshop.openssl(['x509', '-trustout', '-addreject', use], root.pem);
    expect(messages(readOne(rejecting('serverAuth')))).toMatch(/servers must not be trusted by it/);
    expect(messages(readOne(rejecting('anyExtendedKeyUsage')))).toMatch(/servers must not be trusted by it/);
    expect(codes(readOne(rejecting('emailProtection')))).toEqual([]);
    const trusting = (use: string): Buffer => workshop.openssl(['x509', '-trustout', '-addtrust', use], root.pem);
    expect(messages(readOne(trusting('emailProtection')))).toMatch(/servers must not be trusted by it/);
    expect(codes(readOne(trusting('anyExtendedKeyUsage')))).toEqual([]);
    const noise = armour('TRUSTED CERTIFICATE', Buffer.concat([root.der, Buffer.from([0x30, 0x05])]));
    expect(codes(readOne(noise))).toEqual([]);
  });
});

describe('hostile input', () => {
  const nested = (depth: number): Buffer => {
    let inner: Buffer = Buffer.alloc(0);
    for (let level = 0; level < depth; level += 1) inner = tlv(0x30, inner);
    return inner;
  };
  const nestedOpen = (depth: number): Buffer => Buffer.alloc(depth * 2, Buffer.from([0x30, 0x80]));

  /** The same in time that grows with the depth alone. */
  const nestedWhole = (depth: number): Buffer => {
    const heads: Buffer[] = [];
    for (let size = 0; heads.length < depth; size += heads.at(-1)?.length ?? 0) {
      const octets = [size >> 16, (size >> 8) & 0xff, size & 0xff].slice(size < 0x100 ? 2 : size < 0x10000 ? 1 : 0);
      heads.push(Buffer.from([0x30, ...(size < 0x80 ? [] : [0x80 | octets.length]), ...octets]));
    }
    return Buffer.concat(heads.reverse());
  };
  const nestedOver = (depth: number, count: number): Buffer =>
    Buffer.concat([nestedOpen(depth), Buffer.alloc(count * 3, Buffer.from([2, 1, 5])), Buffer.alloc(depth * 2)]);
  const nestedPkcs7 = (depth: number): Buffer => {
    let inner: Buffer = Buffer.alloc(0);
    for (let level = 0; level < depth; level += 1) {
      const signed = sequence(tlv(0x02, [1]), tlv(0x31), sequence(), tlv(0xa0, inner));
      inner = sequence(oid('1.2.840.113549.1.7.2'), tlv(0xa0, signed));
    }
    return inner;
  };

  it.each<readonly [string, () => string | Uint8Array]>([
    ['deep nesting', () => nested(3000)],
    ['deep nesting without lengths', () => nestedOpen(500_000)],
    ['deep nesting in PKCS#7', () => sequence(oid('1.2.840.113549.1.7.2'), tlv(0xa0, nested(3000)))],
    ['a certificate with deep nesting', () => build({ subject: nested(3000) })],
    ['a huge OID', () => build({ inner: sequence(tlv(0x06, Buffer.alloc(500_000, 0xff))) })],
    [
      'a huge policy',
      () =>
        build({
          extensions: [
            sequence(oid('2.5.29.32'), tlv(0x04, sequence(sequence(tlv(0x06, Buffer.alloc(500_000, 0xff)))))),
          ],
        }),
    ],
    [
      'a huge mailbox',
      () =>
        build({
          extensions: [
            sequence(
              oid('2.5.29.30'),
              tlv(0x04, sequence(tlv(0xa0, sequence(tlv(0x81, Buffer.alloc(900_000, '"\\a@')))))),
            ),
          ],
        }),
    ],
    [
      'a huge mailbox without quotes',
      () =>
        build({
          extensions: [
            sequence(
              oid('2.5.29.30'),
              tlv(0x04, sequence(tlv(0xa0, sequence(tlv(0x81, Buffer.alloc(900_000, 'a@')))))),
            ),
          ],
        }),
    ],
    ['nesting a hundred thousand deep', () => nestedWhole(100_000)],
    ['the same in PEM', () => armour('CERTIFICATE', nestedWhole(100_000))],
    ['nesting without lengths around a number', () => Buffer.concat([nestedOpen(250_000), Buffer.from([2, 1, 5])])],
    ['nesting as deep as is looked into, around much', () => nestedOver(250, 250_000)],
    ['PKCS#7 in PKCS#7, two thousand times', () => nestedPkcs7(2_000)],
    ['a length beyond the end', () => Buffer.from('30847ffffffff0020105', 'hex')],
    ['a length of 2^31', () => Buffer.from('308480000000020105', 'hex')],
    ['a length of 2^64 - 1', () => Buffer.from('3088ffffffffffffffff020105', 'hex')],
    ['a length of 126 octets', () => Buffer.concat([Buffer.from([0x30, 0xfe]), Buffer.alloc(126, 0xff), root.der])],
    ['a negative serial number', () => build({ serial: tlv(0x02, [0x80]) })],
    ['a serial number of a megabyte, negative', () => build({ serial: tlv(0x02, Buffer.alloc(900_000, 0xc5)) })],
    ['a megabyte of zeros', () => Buffer.alloc(2 ** 20)],
    ['a megabyte of zeros in PEM', () => `-----BEGIN CERTIFICATE-----\n${'\0'.repeat(1_000_000)}`],
    ['empty blocks', () => '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'.repeat(19_000)],
    ['blocks of one octet', () => '-----BEGIN A-----\nAA==\n-----END A-----\n'.repeat(26_000)],
    ['a line of a megabyte in a block', () => `-----BEGIN CERTIFICATE-----\n${'A'.repeat(2 ** 20 - 64)}`],
    [
      'continued headers',
      () => `-----BEGIN CERTIFICATE-----\nA: b\n${' c: d\n'.repeat(170_000)}\nAA\n-----END CERTIFICATE-----\n`,
    ],
    ['half a million elements', () => Buffer.alloc(2 ** 20, Buffer.from([0x30, 1, 1]))],
    [
      'a PKCS#7 of half a million elements',
      () =>
        sequence(
          oid('1.2.840.113549.1.7.2'),
          tlv(0xa0, sequence(tlv(0xa0, Buffer.alloc(800_000, Buffer.from([0x30, 0x81, 0]))))),
        ),
    ],
    [
      'a PKCS#7 of many empty certificates',
      () =>
        sequence(
          oid('1.2.840.113549.1.7.2'),
          tlv(0xa0, sequence(tlv(0xa0, Buffer.alloc(800_000, Buffer.from([0x30, 0]))))),
        ),
    ],
    ['a megabyte of BEGIN lines', () => '-----BEGIN CERTIFICATE-----\n'.repeat(37_000)],
    ['a megabyte of base64', () => 'A'.repeat(2 ** 20)],
    ['a megabyte of encoded BEGINs', () => 'LS0tLS1CRUdJTi'.repeat(70_000)],
    ['a megabyte of BEGIN', () => 'BEGIN '.repeat(170_000)],
    ['a megabyte of indented lines', () => ' \n'.repeat(500_000) + '  -----BEGIN CERTIFICATE-----\n'],
    ['a megabyte of blanks in a line', () => `${' '.repeat(1_000_000)}x`],
    [
      'a megabyte of headers',
      () => `-----BEGIN CERTIFICATE-----\n${'A: b\n'.repeat(200_000)}-----END CERTIFICATE-----\n`,
    ],
  ])('%s takes no long time and is an error', (_, content) => {
    const bytes = content();
    let bundle = readOne(Buffer.alloc(0));
    const spent = processorMs(() => {
      bundle = readOne(bytes);
    });
    expect(spent).toBeLessThan(2000);
    expect(bundle.anchors).toEqual([]);
    expect(codes(bundle)[0]).toMatch(/^error /);
    expect(bundle.findings.length).toBeLessThanOrEqual(101);
  });

  it.each<readonly [string, (size: number) => string | Uint8Array]>([
    ['nesting', (size) => nestedOpen(size / 2)],
    ['elements in BER', (size) => nestedOver(10, size / 3)],
    ['BEGIN lines', (size) => '-----BEGIN CERTIFICATE-----\n'.repeat(size / 28)],
    ['headers', (size) => `-----BEGIN CERTIFICATE-----\n${'A: b\n'.repeat(size / 5)}\nAA\n-----END CERTIFICATE-----\n`],
    ['empty blocks', (size) => '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'.repeat(size / 54)],
    ['copies of one certificate', (size) => root.pem.repeat(size / root.pem.length)],
    ['copies of one certificate in DER', (size) => Buffer.alloc(size - (size % root.der.length), root.der)],
    ['blanks', (size) => ' '.repeat(size)],
    ['zeros', (size) => Buffer.alloc(size)],
    ['base64 encoded again', (size) => 'LS0tLS1CRUdJTi'.repeat(size / 14)],
  ])('twice as much of it costs twice as much: %s', (_, make) => {
    expect(growth((size) => readOne(make(size)))).toBeLessThan(10);
  });

  it('keeps nothing in memory of certificates with huge OIDs, one after the other', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const heldBytes = (): number => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const readHuge = (last: number): unknown =>
      readOne(build({ inner: sequence(tlv(0x06, Buffer.alloc(340_000, 1), [last])) }));
    readHuge(0);
    const before = heldBytes();
    for (let last = 1; last <= 30; last += 1) readHuge(last);
    expect(heldBytes() - before).toBeLessThan(5_000_000);
  });

  it('ten thousand copies of a certificate in several files are one anchor', () => {
    const small = build();
    const file = (source: string) => ({ source, bytes: Buffer.alloc(2_500 * small.length, small) });
    const bundle = readBundle([{ files: ['a', 'b', 'c', 'd'].map(file), findings: [] }], rules);
    expect(bundle.anchors).toHaveLength(1);
    // Those that a file may say, and the sum of the rest.
    expect(bundle.findings).toHaveLength(4 * 101);
  });

  it('a file of more entries than are read says so', () => {
    expect(recognise(Buffer.alloc(30_000, Buffer.from([0x30, 1, 1]))).at(-1)).toMatchObject({
      message: 'it has more than 5000 entries; the rest is not read',
    });
  });

  it('ten thousand names and a key of 16 kbit are no obstacle', () => {
    expect(readOne(hugeCertificate).anchors[0]?.key).toBe('RSA 16384');
  });

  it('never throws and never makes an anchor of noise', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), fc.string({ unit: 'binary' })), (noise) => {
        expect(readOne(noise).anchors).toEqual([]);
      }),
    );
  });
});
