import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleDigest, fitBundle, maxFileBytes, openReader, readBundle } from '../../../src/bundle/bundle.ts';
import { toPem } from '../../../src/bundle/pem.ts';
import type { Anchor, Finding, Reading } from '../../../src/bundle/types.ts';
import { build, commonName, oid, sequence, tlv } from './odd-certificates.ts';
import { caExtensions, p256, Workshop, type Made } from './openssl.ts';
import { codes, messages, readOne, rules } from './read.ts';

const workshop = new Workshop();
let root: Made;
beforeAll(() => {
  root = workshop.certificate({ subject: '/CN=Root' });
});
afterAll(() => {
  workshop.remove();
});

const rsa = (bits: number): readonly string[] => ['-algorithm', 'RSA', '-pkeyopt', `rsa_keygen_bits:${bits}`];
const numbered = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => toPem(build({ subject: commonName(`Root ${at}`) })));
const files = (...contents: readonly (readonly [string, string])[]): Reading[] => [
  { files: contents.map(([source, text]) => ({ source, bytes: Buffer.from(text) })), findings: [] },
];

describe('anchors', () => {
  it('say all that other rooms ask', () => {
    expect(readOne(root.pem)).toEqual({
      anchors: [
        {
          fingerprint: createHash('sha256').update(root.der).digest('hex'),
          pem: root.pem,
          subject: 'CN=Root',
          issuer: 'CN=Root',
          notBefore: '2026-01-01T00:00:00.000Z',
          notAfter: '2036-01-01T00:00:00.000Z',
          key: 'EC P-256',
          subjectHash: workshop.openssl(['x509', '-noout', '-subject_hash'], root.pem).toString().trim(),
          carriers: ['ca.crt#1'],
        },
      ],
      findings: [],
      digest: createHash('sha256')
        .update(`${createHash('sha256').update(root.der).digest('hex')}\n`)
        .digest('hex'),
    });
  });

  it.each<readonly [string, readonly string[]]>([
    ['RSA 2048', rsa(2048)],
    ['RSA 3072', rsa(3072)],
    ['EC P-224', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-224']],
    ['EC P-256', p256],
    ['EC P-384', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384']],
    ['EC P-521', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521']],
    ['Ed25519', ['-algorithm', 'ED25519']],
  ])('may have a key of kind %s', (name, key) => {
    const bundle = readOne(workshop.certificate({ key }).pem);
    expect(bundle.findings).toEqual([]);
    expect(bundle.anchors.map((anchor) => anchor.key)).toEqual([name]);
  });

  it('may be intermediates, roots of version 1, and RSA roots with a PSS signature', () => {
    const intermediate = workshop.certificate({ subject: '/CN=Middle', issuer: root });
    const old = workshop.certificate({ subject: '/CN=Old', extensions: [] });
    const pss = workshop.certificate({ key: rsa(2048), options: ['-sigopt', 'rsa_padding_mode:pss'] });
    const bundle = readOne(intermediate.pem + old.pem + pss.pem);
    expect(bundle.findings).toEqual([]);
    expect(bundle.anchors).toHaveLength(3);
  });

  it("are all roots of the machine's distribution", () => {
    const directory = '/usr/share/ca-certificates/mozilla';
    const all = readdirSync(directory).map((name) => readFileSync(`${directory}/${name}`, 'latin1'));
    const bundle = readOne(Buffer.from(all.join(''), 'latin1'), { maxCertificates: 1000 });
    expect(bundle.anchors).toHaveLength(all.length);
    expect(bundle.findings.filter(({ code }) => !['expired', 'expires-soon'].includes(code))).toEqual([]);
  });
});

describe('not-a-ca', () => {
  const leaf = ['basicConstraints=CA:FALSE'];

  it.each<readonly [string, () => string, RegExp]>([
    [
      'CA:FALSE',
      () => workshop.certificate({ extensions: leaf }).pem,
      /^CN=Example Root: not a CA, its basicConstraints say CA:FALSE; put in the CA/,
    ],
    [
      'version 3 without basicConstraints',
      () => workshop.certificate({ extensions: ['keyUsage=keyCertSign'] }).pem,
      /it has no basicConstraints/,
    ],
    [
      'version 2',
      () => toPem(build({ version: Buffer.from([0xa0, 3, 2, 1, 1]), tail: Buffer.alloc(0) })),
      /it has no basicConstraints/,
    ],
    [
      'a key that may not sign',
      () => workshop.certificate({ extensions: [caExtensions[0], 'keyUsage=cRLSign'] }).pem,
      /its keyUsage lacks keyCertSign/,
    ],
    [
      'version 1 signed by another',
      () => workshop.certificate({ extensions: [], issuer: root, subject: '/CN=x' }).pem,
      /version 1 and did not sign itself/,
    ],
    [
      'version 1 with a broken signature',
      () => toPem(build({ version: Buffer.alloc(0), tail: Buffer.alloc(0), issuer: commonName('Odd') })),
      /version 1 and did not sign itself/,
    ],
  ])('%s', (_, pem, message) => {
    const bundle = readOne(pem());
    expect(codes(bundle)).toEqual(['error not-a-ca 1']);
    expect(messages(bundle)).toMatch(message);
    expect(bundle.anchors).toEqual([]);
    const allowed = readOne(pem(), { allowLeaf: true });
    expect(codes(allowed)).toEqual(['warning not-a-ca 1']);
    expect(messages(allowed)).toMatch(/allowed by --allow-leaf$/);
    expect(allowed.anchors).toHaveLength(1);
  });
});

describe('weak', () => {
  const weakOnly = (pem: string): readonly string[] => codes(readOne(pem));

  it('warns of RSA under 2048 bits', () => {
    const bundle = readOne(workshop.certificate({ key: rsa(1024) }).pem);
    expect(codes(bundle)).toEqual(['warning weak 1']);
    expect(messages(bundle)).toMatch(/its RSA key has 1024 bits/);
    expect(bundle.anchors).toHaveLength(1);
  });

  it.each([
    ['SHA-1', 'sha1'],
    ['MD5', 'md5'],
  ])('warns of %s on a certificate that another signed, and not on a root', (name, digest) => {
    const signed = workshop.certificate({
      key: rsa(2048),
      digest,
      issuer: workshop.certificate({ key: rsa(2048) }),
      subject: '/CN=x',
    });
    expect(messages(readOne(signed.pem))).toContain(`it is signed with ${name}`);
    expect(weakOnly(workshop.certificate({ key: rsa(2048), digest }).pem)).toEqual([]);
  });

  const goRefuses = 'containerd and kubelet (Go) verify nothing';
  const critical = (...lines: readonly string[]): Made =>
    workshop.certificate({ extensions: [...caExtensions, ...lines.map((line) => line.replace('=', '=critical,'))] });

  it.each<readonly [string, () => Made, string]>([
    [
      'a key that they do not know',
      () => workshop.certificate({ key: ['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'] }),
      `its key is of a kind (RSA-PSS 2048) with which ${goRefuses}`,
    ],
    [
      'another such key',
      () => workshop.certificate({ key: ['-algorithm', 'ED448'] }),
      `its key is of a kind (Ed448) with which ${goRefuses}`,
    ],
    [
      'a critical extension that they do not know',
      () => critical('1.2.3.4=DER:0500'),
      `its critical extension 1.2.3.4 is one with which ${goRefuses}`,
    ],
    [
      'a critical constraint of names that they do not know',
      () => critical('nameConstraints=permitted;otherName:1.2.3;UTF8:x'),
      `its critical extension nameConstraints is one with which ${goRefuses}`,
    ],
    [
      'critical names of the issuer',
      () => critical('issuerAltName=DNS:x'),
      `its critical extension issuerAltName is one with which ${goRefuses}`,
    ],
    [
      'critical names of which they know none',
      () => critical('subjectAltName=RID:1.2.3'),
      `its critical extension subjectAltName is one with which ${goRefuses}`,
    ],
    [
      'uses that leave servers out',
      () => workshop.certificate({ extensions: [...caExtensions, 'extendedKeyUsage=clientAuth'] }),
      'its extendedKeyUsage lacks serverAuth; clients trust no server by it',
    ],
  ])('warns of %s: clients take it and then verify nothing with it', (_, made, message) => {
    const bundle = readOne(made().pem);
    expect(codes(bundle)).toEqual(['warning weak 1']);
    expect(messages(bundle)).toContain(message);
    expect(bundle.anchors).toHaveLength(1);
  });

  it('does not warn of critical extensions that they know, nor of others that are not critical', () => {
    const known = critical(
      'subjectAltName=DNS:x,RID:1.2.3',
      'nameConstraints=permitted;DNS:.x',
      'certificatePolicies=1.2.3',
    );
    expect(weakOnly(known.pem)).toEqual([]);
    const others = ['1.2.3.4=DER:0500', 'issuerAltName=DNS:x', 'subjectAltName=RID:1.2.3'];
    expect(weakOnly(workshop.certificate({ extensions: [...caExtensions, ...others] }).pem)).toEqual([]);
  });

  it.each<readonly [string, readonly Uint8Array[], readonly string[]]>([
    ['SHA-1, by silence', [sequence()], ['warning weak 1']],
    ['SHA-1', [sequence(tlv(0xa0, sequence(oid('1.3.14.3.2.26'))))], ['warning weak 1']],
    ['MD5', [sequence(tlv(0xa0, sequence(oid('1.2.840.113549.2.5'))))], ['warning weak 1']],
    ['SHA-256', [sequence(tlv(0xa0, sequence(oid('2.16.840.1.101.3.4.2.1'))))], []],
    ['nothing, for want of parameters', [], []],
  ])('knows the hash of a PSS signature: %s', (_, parameters, expected) => {
    const inner = sequence(oid('1.2.840.113549.1.1.10'), ...parameters);
    expect(weakOnly(toPem(build({ inner })))).toEqual(expected);
  });

  it('takes a signature that only claims to be its own for the signature of another', () => {
    const sha1 = Buffer.from('300b06092a864886f70d010105', 'hex');
    expect(weakOnly(toPem(build({ inner: sha1, issuer: commonName('Odd') })))).toEqual(['warning weak 1']);
  });
});

describe('time', () => {
  const at = (now: string): readonly string[] => codes(readOne(root.pem, { now: new Date(now) }));

  it.each([
    ['a second before it is valid', '2025-12-31T23:59:59Z', ['warning not-yet-valid 1']],
    ['at its first second', '2026-01-01T00:00:00Z', []],
    ['31 days before its end', '2035-12-01T00:00:00Z', []],
    ['30 days before its end', '2035-12-02T00:00:00Z', ['warning expires-soon 1']],
    ['at its last second', '2036-01-01T00:00:00Z', ['warning expires-soon 1']],
    ['a second after its end', '2036-01-01T00:00:01Z', ['warning expired 1']],
  ])('warns %s, and refuses nothing', (_, now, expected) => {
    expect(at(now)).toEqual(expected);
    expect(readOne(root.pem, { now: new Date(now) }).anchors).toHaveLength(1);
  });
});

describe('duplicates', () => {
  it('are folded into one, with a finding for each that names the first', () => {
    const bundle = readBundle(files(['b.crt', root.pem], ['a.crt', `${root.pem}${root.pem}`]), rules);
    expect(bundle.anchors.map(({ carriers }) => carriers)).toEqual([['a.crt#1', 'a.crt#2', 'b.crt#1']]);
    expect(bundle.findings.map(({ severity, code, source, index }) => [severity, code, source, index])).toEqual([
      ['info', 'duplicate', 'a.crt', 2],
      ['info', 'duplicate', 'b.crt', 1],
    ]);
    expect(messages(bundle)).toMatch(/CN=Root: the same certificate as a.crt#1; one of them can go/);
  });

  it('of the same name in two sources are one carrier', () => {
    const bundle = readBundle([...files(['a', root.pem]), ...files(['a', root.pem])], rules);
    expect(bundle.anchors.map(({ carriers }) => carriers)).toEqual([['a#1']]);
  });

  it('are warned about once', () => {
    expect(codes(readOne(`${root.pem}${root.pem}`, { now: new Date('2040-01-01') }))).toEqual([
      'warning expired 1',
      'info duplicate 2',
    ]);
  });
});

describe('the whole bundle is refused', () => {
  it('with more certificates than allowed', () => {
    const pems = numbered(4);
    expect(readOne(pems.join(''), { maxCertificates: 4 }).anchors).toHaveLength(4);
    const bundle = readOne(pems.join(''), { maxCertificates: 3 });
    expect(bundle.anchors).toEqual([]);
    expect(codes(bundle)).toEqual(['error too-many']);
    expect(messages(bundle)).toMatch(/^4 certificates are more than the 3 allowed: .*--max-certificates/);
    expect(readOne(`${root.pem}${root.pem}`, { maxCertificates: 1 }).anchors).toHaveLength(1);
  });

  it('when the sources are too large together', () => {
    const filler = ' '.repeat(maxFileBytes - 100);
    const bundle = readBundle(files(...['a', 'b', 'c', 'd', 'e'].map((name) => [name, filler] as const)), rules);
    expect(codes(bundle)).toEqual(['error too-large']);
    expect(messages(bundle)).toMatch(/more than 4194304/);
  });

  it('when there are more files than a node has room to speak of: a mebibyte of empty ones', () => {
    const many = (count: number) => files(...Array.from({ length: count }, (_, n) => [`${n}`, ''] as const));
    expect(readBundle(many(1_000), rules).findings).toHaveLength(1_000);
    for (const count of [1_001, 50_000]) {
      const bundle = readBundle([...files(['z', root.pem]), ...many(count)], rules);
      expect(bundle.anchors).toEqual([]);
      expect(codes(bundle)).toEqual(['error too-many']);
      expect(messages(bundle)).toMatch(/^more than 1000 files: .*put several certificates into one file$/);
    }
  });

  it('but not when one file is too large', () => {
    const bundle = readBundle(files(['a', 'x'.repeat(maxFileBytes + 1)], ['b', root.pem]), rules);
    expect(codes(bundle)).toEqual(['error too-large']);
    expect(messages(bundle)).toMatch(/1048577 bytes, more than 1048576: it is not read; split it/);
    expect(bundle.anchors).toHaveLength(1);
  });
});

describe('a bundle is fitted to a store', () => {
  const read = (...extensions: (readonly string[])[]) => {
    const made = extensions.map(
      (lines, at) => workshop.certificate({ subject: `/CN=Fit ${at}`, extensions: lines }).pem,
    );
    return readBundle(files(['a.crt', made.join('')]), { ...rules, allowLeaf: true });
  };
  const p11Kit = ({ notForP11Kit }: Anchor): string | undefined => notForP11Kit;
  const ca = ['basicConstraints=critical,CA:TRUE'];

  it('that takes all of it as it is', () => {
    const bundle = read(ca);
    expect(fitBundle(bundle, () => undefined)).toEqual(bundle);
  });

  it.each([
    ['a CA', ca, undefined],
    ['a CA that may not sign', [...ca, 'keyUsage=digitalSignature'], undefined],
    ['a CA of TLS servers', [...ca, 'extendedKeyUsage=clientAuth,serverAuth'], undefined],
    ['a CA of anything', [...ca, 'extendedKeyUsage=anyExtendedKeyUsage'], undefined],
    ['a root of version 1', [], undefined],
    ['a CA of TLS clients', [...ca, 'extendedKeyUsage=clientAuth'], 'its extendedKeyUsage lacks serverAuth'],
    ['a leaf', ['basicConstraints=CA:FALSE'], 'its basicConstraints do not make it a CA'],
    ['no CA, by what it lacks', ['subjectKeyIdentifier=hash'], 'its basicConstraints do not make it a CA'],
  ])('of p11-kit: %s', (_, extensions, reason) => {
    expect(read(extensions).anchors.map(({ notForP11Kit }) => notForP11Kit)).toEqual([reason]);
  });

  it('says what it leaves out, and where that is, and keeps the digest', () => {
    const bundle = read(ca, ['basicConstraints=CA:FALSE']);
    const fitted = fitBundle(bundle, p11Kit);
    expect(fitted.anchors.map(({ subject }) => subject)).toEqual(['CN=Fit 0']);
    expect(fitted.digest).toBe(bundle.digest);
    const said = fitted.findings.find(({ code }) => code === 'unsupported-by-store');
    expect(said).toMatchObject({ severity: 'warning', source: 'a.crt', index: 2 });
    expect(said?.message).toMatch(/^CN=Fit 1: this host's trust store drops it, its basicConstraints/);
  });

  it('is empty, which is an error, when that takes nothing of it', () => {
    const { anchors, findings } = fitBundle(read(['basicConstraints=CA:FALSE']), p11Kit);
    expect(anchors).toEqual([]);
    expect(findings.filter(({ severity }) => severity === 'error').map(({ code }) => code)).toEqual(['empty']);
  });
});

describe('an empty bundle', () => {
  const unreadable: Finding = { code: 'unreadable', severity: 'error', source: 'x', message: 'gone' };

  it('is an error, unless it is allowed', () => {
    expect(codes(readBundle([], rules))).toEqual(['error empty']);
    expect(codes(readBundle([], { ...rules, allowEmpty: true }))).toEqual([]);
  });

  it('is an error of one of several sources too, unless it is allowed: what was in it would be removed', () => {
    const readings = [{ files: [], findings: [] }, ...files(['a', root.pem])];
    const bundle = readBundle(readings, rules);
    expect(bundle.anchors).toHaveLength(1);
    expect(codes(bundle)).toEqual(['error empty']);
    expect(messages(bundle)).toMatch(/^sources that hold no file: 1 of 2;/);
    expect(codes(readBundle(readings, { ...rules, allowEmpty: true }))).toEqual([]);
    expect(codes(readBundle([{ files: [], findings: [unreadable] }, ...files(['a', root.pem])], rules))).toEqual([
      'error unreadable',
    ]);
  });

  it('is not said twice', () => {
    expect(codes(readOne(''))).toEqual(['error not-a-certificate']);
    expect(codes(readBundle([{ files: [], findings: [unreadable] }], rules))).toEqual(['error unreadable']);
  });
});

describe('findings', () => {
  it('of the sources are kept, and all are sorted', () => {
    const unreadable: Finding = { code: 'unreadable', severity: 'error', source: 'a', message: 'gone' };
    const [reading] = files(['b', 'text'], ['a', `${root.pem}${root.pem}`]);
    const bundle = readBundle([{ files: reading?.files ?? [], findings: [unreadable] }], rules);
    expect(bundle.findings.map(({ source, code }) => `${source} ${code}`)).toEqual([
      'a unreadable',
      'a duplicate',
      'b not-a-certificate',
    ]);
  });

  it('name files with strange names on one line', () => {
    const [finding] = readBundle(files(['a\n\u001b[31m\u202eb', 'text']), rules).findings;
    expect(finding?.source).toBe('a\\u{a}\\u{1b}[31m\\u{202e}b');
  });

  it('about one file end at a hundred, and then are counted by their weight', () => {
    const copies = root.pem.repeat(150);
    expect(codes(readOne(copies)).at(0)).toBe('info duplicate');
    expect(readOne(copies).findings).toHaveLength(101);
    const broken = readOne(`${copies}-----BEGIN CERTIFICATE-----\n`);
    expect(codes(broken)[0]).toBe('error not-a-certificate');
    expect(messages(broken)).toMatch(/^50 more findings about this file/);
  });
});

describe('the bundle is the same', () => {
  it('from any order of files, sources and entries', () => {
    const pems = [...numbered(4), root.pem, 'text', ''];
    const reference = readBundle(files(...pems.map((pem, at) => [`f${at}`, pem] as const)), rules);
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...pems.keys()], { minLength: pems.length }),
        fc.nat(pems.length),
        (order, cut) => {
          const shuffled = order.map((at) => [`f${at}`, pems[at] ?? ''] as const);
          // A source without a file has a finding of its own.
          const parts = [shuffled.slice(0, cut), shuffled.slice(cut)].filter(({ length }) => length > 0);
          const readings = parts.flatMap((part) => files(...part));
          expect(readBundle(readings, rules)).toEqual(reference);
        },
      ),
    );
  });

  it('whatever the same reader has read before', () => {
    const leaf = workshop.certificate({ subject: '/CN=Leaf', extensions: ['basicConstraints=critical,CA:FALSE'] });
    const pems = [...numbered(3), leaf.pem, root.pem.replace('M', 'N'), 'text'];
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.subarray(pems), fc.boolean()), { minLength: 2 }), (steps) => {
        const read = openReader();
        for (const [some, allowLeaf] of steps) {
          const readings = files(...some.map((pem, at) => [`f${at}`, pem] as const));
          expect(read(readings, { ...rules, allowLeaf })).toEqual(readBundle(readings, { ...rules, allowLeaf }));
        }
      }),
      { numRuns: 50 },
    );
  });

  it('in its digest, however often a certificate is there', () => {
    const pems = numbered(3);
    const { digest } = readOne(pems.join(''));
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pems)), (more) => {
        expect(readOne([...more, ...pems].join('')).digest).toBe(digest);
      }),
      { numRuns: 30 },
    );
  });

  it('and its digest is what sort and sha256sum make of the fingerprints', () => {
    expect(bundleDigest([])).toBe(createHash('sha256').digest('hex'));
    expect(bundleDigest(['b', 'a', 'b'])).toBe(createHash('sha256').update('a\nb\n').digest('hex'));
  });
});
