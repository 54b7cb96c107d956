/**
 * What some octets are, told by their content: the ASN.1 outline of the things that end up in a file of certificates by
 * mistake, and above all private keys.
 */
import asn1 from 'node-forge/lib/asn1.js';
import { attempt, Reader, tags } from './der.ts';

/** Something that is no certificate, with a sentence that says what it is and what to do. */
export interface Refusal {
  readonly kind: 'private-key' | 'not-a-certificate';
  /** Which entry of the file, counted from 1; absent when it is about the file as a whole. */
  readonly index?: number;
  readonly message: string;
}

export type Content = { readonly kind: 'certificate' | 'pkcs7' | 'unknown' } | Refusal;

const keyAdvice = 'nothing of this file is installed; take the key out, and replace it if others could read it';

const privateKey = (name: string): Refusal => ({
  kind: 'private-key',
  message: `a private key (${name}) is in this file: ${keyAdvice}`,
});

const other = (name: string, advice = "put in the CA's certificate"): Refusal => ({
  kind: 'not-a-certificate',
  message: `it is ${name}, not a certificate; ${advice}`,
});

const request = other('a certificate signing request', 'put in the certificate that the CA made of it');
const revocations = other('a certificate revocation list (CRL)');
const publicKey = other('a bare public key');
const pkcs12 = other('a PKCS#12 key store', 'export the certificates alone, with "openssl pkcs12 -nokeys"');
const javaStore = other('a Java key store', 'export the certificates alone, with "keytool -exportcert -rfc"');

/** What a PEM block is whose label is none of certificates and PKCS#7 (RFC 7468, section 4, and OpenSSL's pem.h). */
export function describeLabel(label: string): Refusal {
  if (label.endsWith('CERTIFICATE REQUEST')) return request;
  if (label.endsWith('CRL')) return revocations;
  if (label.endsWith('PUBLIC KEY')) return publicKey;
  return other(label.endsWith(' PARAMETERS') ? 'key parameters' : `a PEM block "${label}"`);
}

/** One letter for each kind of element that tells the outlines apart, by its tag without the bit for constructed ones. */
const letters: Readonly<Record<number, string>> = {
  0x02: 'i',
  0x03: 'b',
  0x04: 'x',
  0x06: 'o',
  0x10: 's',
  0x17: 't',
  0x18: 't',
  0x80: 'c',
};

/** The first elements of a SEQUENCE, two levels deep: "s(ciss)sb". */
function outline(elements: Reader, depth = 2): string {
  let line = '';
  for (let count = 0; count < 16 && !elements.empty; count += 1) {
    const { tag, value } = elements.any();
    const letter = letters[tag & 0xdf] ?? '?';
    line += letter === 's' && depth > 1 ? `s(${outline(new Reader(value, ''), depth - 1)})` : letter;
  }
  return line;
}

/** The outlines, in the order in which they are tried: RFC 5280, 2986, 7292, 5208, 8017, 5915, 5958, 2315. */
const outlines: readonly (readonly [RegExp, Content])[] = [
  [/^s\(c?isssss/, { kind: 'certificate' }],
  [/^s\(issc?\)/, request],
  [/^s\(i?sst/, revocations],
  [/^is\(o[^)]*\)x/, privateKey('PKCS#8')],
  [/^is\(o[^)]*\)(?:s|$)/, pkcs12],
  [/^i{9}/, privateKey('RSA')],
  [/^i{6}$/, privateKey('DSA')],
  [/^ix/, privateKey('EC')],
  [/^s\(o[^)]*\)x$/, privateKey('encrypted PKCS#8')],
  [/^s\(o[^)]*\)b$/, publicKey],
  [/^i{2,4}$/, publicKey],
  [/^oc$/, { kind: 'pkcs7' }],
];

/** The first octets of a v3 certificate: two SEQUENCEs and [0] with an INTEGER of one octet, which is a0 03 02 01. */
const certificateStart = /^0(?:[^]|\x81[^]|\x82[^]{2}|\x83[^]{3})0(?:[^]|\x81[^]|\x82[^]{2}|\x83[^]{3})\xa0\cC\cB\cA/;

/**
 * The same element in DER when it is in BER: containers that old Java tools write have lengths that DER forbids.
 * @throws when it is neither, or nested deeper than anything that is meant to be read
 */
export function asDer(octets: string): string {
  const node = asn1.fromDer(octets, { strict: true, parseAllBytes: false, decodeBitStrings: false });
  return asn1.toDer(node).getBytes();
}

/** What DER or BER octets are. Whether they are whole and valid is for others to judge. */
export function contentOf(octets: string): Content {
  // Nearly everything is a certificate: that needs no look inside.
  if (certificateStart.test(octets)) return { kind: 'certificate' };
  if (/^(?:\xfe\xed\xfe\xed|\xce\xce\xce\xce)/.test(octets)) return javaStore;
  if (octets.startsWith('openssh-key-v1')) return privateKey('OpenSSH');
  const read = (der: string): string => outline(new Reader(der, '').enter(tags.sequence));
  const line = attempt(() => read(octets)) ?? attempt(() => read(asDer(octets))) ?? '';
  return outlines.find(([pattern]) => pattern.test(line))?.[1] ?? { kind: 'unknown' };
}

/** Text forms of private keys: PEM in every spelling, SSH2, PGP, PuTTY. The gap is bounded to stay linear. */
const keyText = /BEGIN ([A-Z0-9# ]{0,40}PRIVATE KEY)|PuTTY-User-Key-File-/;

/** Where "-----BEGIN" was base64-encoded once more, as in a Secret's manifest or a kubeconfig. */
const encodedAgain = /LS0tLS1CRUdJTi[A-Za-z0-9+/=\s]*/g;

/** The private key that a text holds in the open or base64-encoded once more, or undefined. */
export function privateKeyInText(text: string): Refusal | undefined {
  const match = keyText.exec(text);
  if (match !== null) return privateKey(match[1] ?? 'PuTTY');
  for (const [run] of text.matchAll(encodedAgain)) {
    const inner = keyText.exec(Buffer.from(run, 'base64').toString('latin1'));
    if (inner !== null) return privateKey(`${inner[1] ?? 'PuTTY'}, base64-encoded twice`);
  }
  return undefined;
}
