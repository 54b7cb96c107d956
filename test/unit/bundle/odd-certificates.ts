/**
 * Certificates with one thing odd about each, built octet by octet, and what is to become of them. The fuzz suite asks
 * Go about the same list.
 */
export const tlv = (tag: number, ...contents: readonly (Uint8Array | readonly number[])[]): Buffer => {
  const value = Buffer.concat(contents.map((content) => Buffer.from(content)));
  const size: number[] = [];
  for (let rest = value.length; rest > 0; rest = Math.floor(rest / 256)) size.unshift(rest % 256);
  const length = value.length < 0x80 ? [value.length] : [0x80 | size.length, ...size];
  return Buffer.concat([Buffer.from([tag, ...length]), value]);
};

export const sequence = (...contents: readonly Uint8Array[]): Buffer => tlv(0x30, ...contents);
const text = (tag: number, value: string): Buffer => tlv(tag, Buffer.from(value, 'latin1'));

/** Dotted decimal to an OBJECT IDENTIFIER. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const octets = [first * 40 + second, ...rest].flatMap((number) => {
    const digits = [number % 128];
    for (let left = Math.floor(number / 128); left > 0; left = Math.floor(left / 128))
      digits.unshift(0x80 | (left % 128));
    return digits;
  });
  return tlv(0x06, octets);
}

export const attribute = (value: Uint8Array, type = oid('2.5.4.3')): Buffer => sequence(type, value);
export const nameOf = (...attributes: readonly Uint8Array[]): Buffer =>
  sequence(...attributes.map((one) => tlv(0x31, one)));
export const commonName = (name: string): Buffer => nameOf(attribute(tlv(0x0c, Buffer.from(name))));

const nothing = Buffer.alloc(0);
const nullParameters = tlv(0x05);
const bits = (value: Uint8Array, unused = 0): Buffer => tlv(0x03, [unused], value);

/** The base point of P-256, a point like any other. */
const point = Buffer.from(
  '046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5',
  'hex',
);
const p256 = oid('1.2.840.10045.3.1.7');
const ecKey = (curve: Uint8Array, value: Uint8Array, unused = 0): Buffer =>
  sequence(sequence(oid('1.2.840.10045.2.1'), curve), bits(value, unused));

const modulus = Buffer.from([0, ...Array.from({ length: 256 }, () => 0xc5)]);
const integer = (...octets: readonly number[]): Buffer => tlv(0x02, octets);
const rsaKey = (
  parameters: Uint8Array = nullParameters,
  inner: Uint8Array = sequence(tlv(0x02, modulus), integer(1, 0, 1)),
): Buffer => sequence(sequence(oid('1.2.840.113549.1.1.1'), parameters), bits(inner));

const dsaKey = (y: Uint8Array): Buffer =>
  sequence(sequence(oid('1.2.840.10040.4.1'), sequence(integer(7), integer(5), integer(3))), bits(y));

export const extension = (type: string, value: Uint8Array, critical?: Uint8Array): Buffer =>
  sequence(oid(type), critical ?? nothing, tlv(0x04, value));
const isTrue = tlv(0x01, [0xff]);
export const caConstraints = extension('2.5.29.19', sequence(isTrue), isTrue);

export interface Parts {
  readonly version?: Uint8Array;
  readonly serial?: Uint8Array;
  readonly inner?: Uint8Array;
  readonly outer?: Uint8Array;
  readonly issuer?: Uint8Array;
  readonly from?: Uint8Array;
  readonly to?: Uint8Array;
  readonly subject?: Uint8Array;
  readonly key?: Uint8Array;
  readonly unique?: Uint8Array;
  readonly extensions?: readonly Uint8Array[];
  readonly tail?: Uint8Array;
  readonly signature?: Uint8Array;
}

const ecdsaSha256 = sequence(oid('1.2.840.10045.4.3.2'));

/** A CA of version 3 whose signature is noise, but for the parts that are given. */
export function build(parts: Parts = {}): Buffer {
  const { inner = ecdsaSha256, outer = inner, extensions = [caConstraints] } = parts;
  const tbs = sequence(
    parts.version ?? tlv(0xa0, integer(2)),
    parts.serial ?? integer(1),
    inner,
    parts.issuer ?? commonName('Issuer'),
    sequence(parts.from ?? text(0x17, '260101000000Z'), parts.to ?? text(0x17, '360101000000Z')),
    parts.subject ?? commonName('Odd'),
    parts.key ?? ecKey(p256, point),
    parts.unique ?? nothing,
    parts.tail ?? tlv(0xa3, sequence(...extensions)),
  );
  return sequence(tbs, outer, parts.signature ?? bits(Buffer.alloc(64, 1)));
}

/** With ten thousand names of servers and a key of 16 kbit. It names itself as its issuer. */
export const hugeCertificate = build({
  issuer: commonName('Odd'),
  inner: sequence(oid('1.2.840.113549.1.1.11'), nullParameters),
  key: rsaKey(nullParameters, sequence(tlv(0x02, [0], Buffer.alloc(2_048, 0xc5)), integer(1, 0, 1))),
  extensions: [
    caConstraints,
    extension(
      '2.5.29.17',
      sequence(...Array.from({ length: 10_000 }, (_, at) => text(0x82, `host-${at}.example.com`))),
    ),
  ],
});

const withExtension = (type: string, value: Uint8Array, critical?: Uint8Array): Buffer =>
  build({ extensions: [caConstraints, extension(type, value, critical)] });

const names = (...members: readonly Uint8Array[]): Buffer => withExtension('2.5.29.17', sequence(...members));
const uri = (value: string): Buffer => names(text(0x86, value));
const permitted = (...members: readonly Uint8Array[]): Buffer =>
  withExtension('2.5.29.30', sequence(tlv(0xa0, ...members.map((member) => sequence(member)))));
const mail = (value: string): Buffer => permitted(text(0x81, value));
const domain = (value: string): Buffer => permitted(text(0x82, value));
const web = (value: string): Buffer => permitted(text(0x86, value));
const network = (...octets: readonly number[]): Buffer => permitted(tlv(0x87, octets));
const subject = (value: Uint8Array): Buffer => build({ subject: nameOf(attribute(value)) });
const from = (tag: number, value: string): Buffer => build({ from: text(tag, value) });

export interface OddCertificate {
  readonly name: string;
  readonly der: Buffer;
  /** What the message says when it is refused; absent for an anchor. */
  readonly refusal?: RegExp;
  /** Go takes it, OpenSSL or GnuTLS does not. */
  readonly go?: true;
}

const good = (name: string, der: Buffer): OddCertificate => ({ name, der });
const bad = (name: string, der: Buffer, refusal: RegExp): OddCertificate => ({ name, der, refusal });
/** Go and OpenSSL take it, GnuTLS refuses all that stands in one file with it. */
const poison = (name: string, der: Buffer, refusal = /GnuTLS \(apt, git\)/): OddCertificate => ({
  ...bad(name, der, refusal),
  go: true,
});

const plain = build();
const retag = (der: Buffer, at: number, octet: number): Buffer =>
  Buffer.concat([der.subarray(0, at), Buffer.from([octet]), der.subarray(at + 1)]);

export const oddCertificates: readonly OddCertificate[] = [
  good('nothing odd', plain),
  bad('trailing octets', Buffer.concat([plain, Buffer.from([1, 2])]), /2 octets follow/),
  bad('cut off', plain.subarray(0, 60), /cut off/),
  bad('a high tag number', retag(plain, 4, 0x3f), /malformed certificate/),
  bad('an indefinite length', sequence(Buffer.from([0x30, 0x80]), plain), /malformed certificate/),
  bad('a length of five octets', Buffer.from([0x30, 0x85, 0, 0, 0, 0, 1, 0]), /cut off/),
  bad('a length that could be shorter', Buffer.concat([Buffer.from([0x30, 0x83, 0]), plain.subarray(2)]), /cut off/),
  bad('a negative serial number', build({ serial: integer(0x80) }), /serial number is negative/),
  bad('a padded serial number', build({ serial: integer(0, 1) }), /malformed serial/),
  bad('a serial number padded with ones', build({ serial: integer(0xff, 0x80) }), /malformed serial/),
  bad('an empty serial number', build({ serial: integer() }), /malformed serial/),
  bad('version 4', build({ version: tlv(0xa0, integer(3)) }), /unknown version/),
  bad('a negative version', build({ version: tlv(0xa0, integer(0xff)) }), /unknown version/),
  bad('something after the version', build({ version: tlv(0xa0, integer(2), integer(1)) }), /unknown version/),
  bad('signature algorithms that differ', build({ outer: sequence(oid('1.2.3')) }), /two signature algorithms differ/),
  good('an unknown signature algorithm', build({ inner: sequence(oid('1.2.3.4')) })),
  bad(
    'a huge component in an OID',
    build({ inner: sequence(tlv(0x06, [0x2a, 0x90, 0x80, 0x80, 0x80, 0])) }),
    /malformed sig/,
  ),
  bad('a padded component in an OID', build({ inner: sequence(tlv(0x06, [0x2a, 0x80, 1])) }), /malformed sig/),
  bad('an unfinished OID', build({ inner: sequence(tlv(0x06, [0x2a, 0x81])) }), /malformed sig/),
  bad(
    'a signature with six unused bits that are set',
    build({ signature: bits(Buffer.from([0xff]), 6) }),
    /malformed signature/,
  ),
  bad('an empty signature', build({ signature: tlv(0x03) }), /malformed signature/),
  bad('unused bits of no octet', build({ signature: tlv(0x03, [1]) }), /malformed signature/),
  good('both unique identifiers', build({ unique: Buffer.concat([tlv(0x81, [0, 1]), tlv(0x82, [0, 1])]) })),

  poison('version 1 with extensions', build({ version: nothing })),
  poison('version 1 with a unique identifier', build({ version: nothing, unique: tlv(0x81, [0, 1]), tail: nothing })),
  poison('version 2 with extensions', build({ version: tlv(0xa0, integer(1)) })),
  good(
    'version 2 with a unique identifier',
    build({ version: tlv(0xa0, integer(1)), unique: tlv(0x82, [0, 1]), tail: nothing }),
  ),

  { ...bad('a date without seconds', from(0x17, '2601010000Z'), /malformed date/), go: true },
  poison('a date with a zone', from(0x17, '260101000000+0100'), /malformed date/),
  good('a date of 1950', from(0x17, '500101000000Z')),
  good('a long date', from(0x18, '20260101000000Z')),
  good('a leap day', from(0x18, '20240229000000Z')),
  bad('a leap day that is none', from(0x17, '230229000000Z'), /does not exist/),
  bad('hour 24', from(0x17, '260101240000Z'), /does not exist/),
  bad('second 60', from(0x17, '260101000060Z'), /does not exist/),
  bad('a zone of nothing', from(0x17, '260101000000+0000'), /malformed date/),
  bad('a zone of 25 hours', from(0x17, '260101000000+2500'), /malformed date/),
  bad('a zone of 60 minutes', from(0x17, '260101000000+0160'), /malformed date/),
  bad('a fraction of a second', from(0x18, '20260101000000.5Z'), /malformed date/),
  bad('a date in words', from(0x0c, 'tomorrow'), /malformed date/),

  good('no name', build({ subject: sequence() })),
  good('a Teletex name', subject(text(0x14, 'M\xfcller'))),
  good('a numeric name', subject(text(0x12, '12 34'))),
  good('a printable name with a star', subject(text(0x13, '*.example & co'))),
  good('a BMP name', subject(tlv(0x1e, [0, 0x4d, 0x20, 0xac, 0, 0]))),
  bad('a printable name with an at sign', subject(text(0x13, 'a@b')), /malformed subject: the value of CN/),
  bad('a numeric name with a letter', subject(text(0x12, 'a')), /malformed subject/),
  bad('an IA5 name outside ASCII', subject(text(0x16, '\xe9')), /malformed subject/),
  bad('broken UTF-8', subject(text(0x0c, '\xff')), /malformed subject/),
  bad('a BMP name of odd length', subject(tlv(0x1e, [0, 0x4d, 0])), /malformed subject/),
  bad('a BMP name with a surrogate', subject(tlv(0x1e, [0xd8, 0, 0xdc, 0])), /malformed subject/),
  bad('a name of bits', subject(bits(Buffer.from([1]))), /malformed subject/),
  bad('an issuer that is broken', build({ issuer: sequence(integer(1)) }), /malformed issuer/),

  good('an RSA key', build({ key: rsaKey() })),
  bad('an RSA key without NULL', build({ key: rsaKey(nothing) }), /not NULL/),
  bad(
    'a negative modulus',
    build({ key: rsaKey(nullParameters, sequence(integer(0x80), integer(3))) }),
    /modulus is not/,
  ),
  bad('exponent zero', build({ key: rsaKey(nullParameters, sequence(integer(7), integer(0))) }), /exponent is out/),
  bad(
    'an exponent of nine octets',
    build({ key: rsaKey(nullParameters, sequence(integer(7), integer(1, 2, 3, 4, 5, 6, 7, 8, 9))) }),
    /exponent is out/,
  ),
  bad('a key with unused bits', build({ key: ecKey(p256, Buffer.from([4, 0x80]), 7) }), /malformed public key/),
  good(
    'an RSA-PSS key of garbage',
    build({ key: sequence(sequence(oid('1.2.840.113549.1.1.10')), bits(Buffer.from([9]))) }),
  ),
  good('a key of an unknown kind', build({ key: sequence(sequence(oid('1.2.3.4.5')), bits(Buffer.from([1]))) })),
  good(
    'an ML-DSA-65 key',
    build({ key: sequence(sequence(oid('2.16.840.1.101.3.4.3.18')), bits(Buffer.alloc(1952, 7))) }),
  ),
  bad(
    'an Ed25519 key of 31 octets',
    build({ key: sequence(sequence(oid('1.3.101.112')), bits(Buffer.alloc(31))) }),
    /malformed Ed25519/,
  ),
  bad(
    'an Ed25519 key with parameters',
    build({ key: sequence(sequence(oid('1.3.101.112'), nullParameters), bits(Buffer.alloc(32))) }),
    /malformed Ed25519/,
  ),
  good('a DSA key', build({ key: dsaKey(integer(2)) })),
  bad('a DSA key of zero', build({ key: dsaKey(integer(0)) }), /malformed DSA/),
  bad(
    'a point that is not on the curve',
    build({ key: ecKey(p256, Buffer.from([4, ...Array.from({ length: 64 }, () => 1)])) }),
    /not a point on the curve/,
  ),
  bad(
    'a compressed point',
    build({ key: ecKey(p256, Buffer.from([2, ...point.subarray(1, 33)])) }),
    /not an uncompressed point/,
  ),
  bad(
    'a curve that Go does not know',
    build({ key: ecKey(oid('1.3.36.3.3.2.8.1.1.7'), point) }),
    /brainpoolP256r1 and would skip it; use P-256/,
  ),
  bad('a curve nobody knows', build({ key: ecKey(oid('1.2.3.4'), point) }), /elliptic curve 1\.2\.3\.4/),
  bad('a curve by its parameters', build({ key: ecKey(sequence(integer(1)), point) }), /given by parameters/),

  bad('an extension twice', build({ extensions: [caConstraints, caConstraints] }), /2\.5\.29\.19 stands there twice/),
  bad(
    'a BOOLEAN of 1',
    build({ extensions: [extension('2.5.29.19', sequence(tlv(0x01, [1])))] }),
    /malformed basicConstraints/,
  ),
  bad(
    'a negative path length',
    build({ extensions: [extension('2.5.29.19', sequence(isTrue, integer(0xff)))] }),
    /malformed basicConstraints/,
  ),
  bad(
    'a path length of nine octets',
    build({ extensions: [extension('2.5.29.19', sequence(isTrue, integer(1, 2, 3, 4, 5, 6, 7, 8, 9)))] }),
    /malformed basicConstraints/,
  ),
  good('a path length', build({ extensions: [extension('2.5.29.19', sequence(isTrue, integer(3)))] })),
  bad('keyUsage that is no bits', withExtension('2.5.29.15', integer(1)), /malformed keyUsage|OpenSSL/),
  good('an unknown extension', withExtension('1.2.3.4', integer(1), isTrue)),
  bad(
    'a key identifier marked critical',
    withExtension('2.5.29.14', tlv(0x04, [1]), isTrue),
    /subjectKeyIdentifier is marked/,
  ),
  bad('a key identifier that is none', withExtension('2.5.29.14', integer(1)), /malformed subjectKeyIdentifier/),
  good('a key identifier', withExtension('2.5.29.14', tlv(0x04, [1]))),
  bad(
    "an issuer's key identifier marked critical",
    withExtension('2.5.29.35', sequence(), isTrue),
    /authorityKeyIdentifier is marked/,
  ),
  good("an issuer's key identifier", withExtension('2.5.29.35', sequence(tlv(0x80, [1, 2])))),

  good('alternative names', names(text(0x81, 'a@b'), text(0x82, 'x'), tlv(0x87, [1, 2, 3, 4]), tlv(0x88, [42]))),
  good('another name', names(tlv(0xa0, oid('1.3.6.1.4.1.311.20.2.3'), tlv(0xa0, text(0x0c, 'u@x'))))),
  good('the name of a directory', names(tlv(0xa4, commonName('x')))),
  ...(
    [
      ['an empty mailbox', text(0x81, '')],
      ['an empty domain', text(0x82, '')],
      ['an empty URI', text(0x86, '')],
      ['an empty identifier', tlv(0x88)],
      ['another name without its type', tlv(0xa0)],
      ['another name without its value', tlv(0xa0, oid('1.2.3'), tlv(0xa0))],
      ['an X.400 address', tlv(0xa3, sequence())],
      ['the name of no directory', tlv(0xa4)],
      ['the name of a directory with an empty part', tlv(0xa4, sequence(tlv(0x31)))],
      ['the name of a directory without values', tlv(0xa4, nameOf(sequence(oid('2.5.4.3'))))],
      ['an EDI party', tlv(0xa5, tlv(0xa1, text(0x0c, 'x')))],
      ['a name of an unknown kind', tlv(0x89, [1])],
    ] as const
  ).flatMap(([name, value]) => [
    poison(name, names(value), /malformed subjectAltName/),
    poison(`${name}, of the issuer`, withExtension('2.5.29.18', sequence(value))),
  ]),
  poison('something after the names', withExtension('2.5.29.17', Buffer.concat([sequence(), sequence()]))),
  poison('names of the issuer that are none', withExtension('2.5.29.18', tlv(0x04, [1])), /malformed issuerAltName/),
  poison('a very long OID', withExtension(`1.2.${Array.from({ length: 20 }, () => '123456').join('.')}`, sequence())),
  bad('a domain outside ASCII', names(text(0x82, '\xe9')), /a name is empty or not ASCII/),
  bad('an address of five octets', names(tlv(0x87, [1, 2, 3, 4, 5])), /invalid IP address/),
  ...[
    '*',
    'urn:uuid:1',
    'spiffe://a.b/c',
    'http://u:p%20w@host:80/p%20q?r=%zz#f',
    'https://[fe80::1%25en0]:8080/',
    'http://[::1]',
    '//host/x',
    '///x',
    '/a:b',
    'a/b:c',
    'HTTP://host',
    'mongodb://a:1,b:2',
    'http://',
    'ldap:///x',
    '1a',
  ].map((value) => good(`the URI "${value}"`, uri(value))),
  ...[
    'http://a b/',
    'http://h%zz/',
    'http://h%41/',
    'http://a:b:1/',
    'http://h:x/',
    'x://a:b:c/',
    'http://[::1',
    'http://[::1]x',
    'http://x[::1]/',
    'http://[1.2.3.4]/',
    'http://[g::]/',
    'http://[::1%25]/',
    'http://[::1%25%01]/',
    'http://[::1%25a%20b]/',
    'http://u"@h/',
    'http://u%z@h/',
    ':x',
    'a:b/%zz'.replace('a:b', '/a'),
    'x#%zz',
    'a\tb',
    '1a:b',
    'http://h./',
    'http://.h/',
    'http://a..b/',
    '///%zz',
    'http://h\xe9/',
    'http://h%20x/',
  ].map((value) => bad(`the URI "${value}"`, uri(value), /malformed subjectAltName/)),

  bad('empty name constraints', withExtension('2.5.29.30', sequence()), /it is empty/),
  bad(
    'something after the name constraints',
    withExtension('2.5.29.30', Buffer.concat([sequence(tlv(0xa0, sequence(text(0x82, 'x')))), integer(1)])),
    /malformed nameConstraints/,
  ),
  good('excluded names', withExtension('2.5.29.30', sequence(tlv(0xa1, sequence(text(0x82, '.x')))))),
  good('a constraint of another kind', permitted(tlv(0xa4, commonName('x')))),
  ...['example.com', '.example.com', ''].map((value) => good(`the domain constraint "${value}"`, domain(value))),
  ...['example.com.', '..x', '.', 'a b', '\xe9'].map((value) =>
    bad(`the domain constraint "${value}"`, domain(value), /constraint that Go/),
  ),
  ...['a@b.c', 'b.c', '.b.c', '"a b\\""@c', 'a\\ b@c', '""@c', 'a@'].map((value) =>
    good(`the mail constraint "${value}"`, mail(value)),
  ),
  ...[
    '@c',
    '.a@b',
    'a.@b',
    'a..b@c',
    'a b@c',
    '"a@c',
    '"a\\@',
    '"\n"@c',
    'a\\@',
    'a@b.',
    'a@b..c',
    '\xe9@a',
    'b c',
  ].map((value) => bad(`the mail constraint "${value}"`, mail(value), /constraint that Go/)),
  ...['example.com', '.example.com', 'fe80::1%25'].map((value) => good(`the URI constraint "${value}"`, web(value))),
  ...['1.2.3.4', '::1', 'x.', 'a b'].map((value) =>
    bad(`the URI constraint "${value}"`, web(value), /constraint that Go/),
  ),
  good('a network', network(10, 0, 0, 0, 255, 128, 0, 0)),
  bad('a mask with a hole', network(10, 0, 0, 0, 255, 0, 255, 0), /constraint that Go/),
  bad('a network of seven octets', network(10, 0, 0, 0, 255, 0, 0), /constraint that Go/),

  good('policies', withExtension('2.5.29.32', sequence(sequence(oid('1.2.3')), sequence(oid('1.2.4'))))),
  bad(
    'a policy twice',
    withExtension('2.5.29.32', sequence(sequence(oid('1.2.3')), sequence(oid('1.2.3')))),
    /malformed certificatePolicies/,
  ),
  bad(
    'a policy that is padded',
    withExtension('2.5.29.32', sequence(sequence(tlv(0x06, [0x2a, 0x80, 1])))),
    /malformed certificatePolicies/,
  ),
  good(
    'a policy with a huge component',
    withExtension('2.5.29.32', sequence(sequence(tlv(0x06, [0x2a, ...Array.from({ length: 30 }, () => 0xff), 1])))),
  ),
  good('policy mappings', withExtension('2.5.29.33', sequence(sequence(oid('1.2.3'), oid('1.2.4'))))),
  bad(
    'half a policy mapping',
    withExtension('2.5.29.33', sequence(sequence(oid('1.2.3')))),
    /malformed policyMappings/,
  ),
  good('policy constraints', withExtension('2.5.29.36', sequence(tlv(0x80, [1]), tlv(0x81, [0])))),
  bad(
    'policy constraints that are padded',
    withExtension('2.5.29.36', sequence(tlv(0x80, [0, 1]))),
    /malformed policyConstraints/,
  ),
  good('no policy but any', withExtension('2.5.29.54', integer(3))),
  bad('no policy but any, as text', withExtension('2.5.29.54', text(0x0c, 'x')), /malformed inhibitAnyPolicy/),
  good('extended usages', withExtension('2.5.29.37', sequence(oid('1.3.6.1.5.5.7.3.1')))),
  bad('an extended usage that is none', withExtension('2.5.29.37', sequence(integer(1))), /malformed extendedKeyUsage/),
  good(
    'distribution points',
    withExtension(
      '2.5.29.31',
      sequence(sequence(tlv(0xa0, tlv(0xa0, text(0x86, 'http://x')))), sequence(tlv(0x82, [1]))),
    ),
  ),
  bad(
    'a distribution point with a relative name',
    withExtension('2.5.29.31', sequence(sequence(tlv(0xa0, tlv(0xa1))))),
    /malformed cRLDistributionPoints/,
  ),
  good(
    'where the issuer is',
    withExtension(
      '1.3.6.1.5.5.7.1.1',
      sequence(sequence(oid('1.2.3'), text(0x86, 'http://x')), sequence(oid('1.2.3'), text(0x82, 'x'))),
    ),
  ),
  bad(
    'where the issuer is, marked critical',
    withExtension('1.3.6.1.5.5.7.1.1', sequence(), isTrue),
    /authorityInfoAccess is marked/,
  ),
  bad('extensions that are none', build({ tail: tlv(0xa3, integer(1)) }), /malformed extensions/),
];
