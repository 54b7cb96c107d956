/**
 * What some bytes are, told by their content: the ASN.1 outline of the things that end up in a file of certificates by
 * mistake, and above all private keys.
 */
import asn1, { type Node } from 'node-forge/lib/asn1.js';

/** A kind of content: a certificate, a PKCS#7, a private key, or something else with a sentence about it. */
export type Content =
  | { readonly kind: 'certificate' | 'pkcs7' | 'unknown' }
  | { readonly kind: 'private-key' | 'other'; readonly name: string; readonly advice: string };

const keyAdvice = 'nothing of this file is installed; take the key out, and replace it if others could read it';

export const privateKey = (name: string): Content => ({ kind: 'private-key', name, advice: keyAdvice });

const other = (name: string, advice: string): Content => ({ kind: 'other', name, advice });

export const request = other('a certificate signing request', 'put in the certificate that the CA made of it');
export const revocations = other('a certificate revocation list (CRL)', "put in the CA's certificate");
export const publicKey = other('a bare public key', "put in the CA's certificate");
export const parameters = other('key parameters', "put in the CA's certificate");
const keyStore = (name: string, command: string): Content =>
  other(name, `export the certificates alone, with "${command}"`);
const pkcs12 = keyStore('a PKCS#12 key store', 'openssl pkcs12 -nokeys');

/** One letter for each kind of element that tells the outlines apart. */
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

const childrenOf = (node: Node): readonly Node[] => (typeof node.value === 'string' ? [] : node.value);

/** The elements inside a SEQUENCE, two levels deep: "s(ciss)sb". */
const outline = (node: Node, depth = 2): string =>
  childrenOf(node)
    .slice(0, 16)
    .map((child) => {
      const letter = letters[child.tagClass | child.type] ?? '?';
      return letter === 's' && depth > 1 ? `s(${outline(child, depth - 1)})` : letter;
    })
    .join('');

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

/** Octets as the string that node-forge reads: one character each. */
export const octetString = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

/** Reads one BER element and ignores what follows it; undefined when it is none. Deep nesting is refused by node-forge. */
export function readBer(bytes: Uint8Array): Node | undefined {
  try {
    return asn1.fromDer(octetString(bytes), { strict: true, parseAllBytes: false, decodeBitStrings: false });
  } catch {
    return undefined;
  }
}

/** The first octets of a v3 certificate: two SEQUENCEs and [0] with the INTEGER 2. */
const certificateStart =
  // eslint-disable-next-line no-control-regex -- octets, not text
  /^\x30(?:[^]|\x81[^]|\x82[^]{2}|\x83[^]{3})\x30(?:[^]|\x81[^]|\x82[^]{2}|\x83[^]{3})\xa0\x03\x02\x01/;

/** What DER or BER bytes are. Whether they are whole and valid is for others to judge. */
export function contentOf(bytes: Uint8Array): Content {
  // Nearly everything is a certificate: that needs no tree of it.
  if (certificateStart.test(octetString(bytes.subarray(0, 16)))) return { kind: 'certificate' };
  const node = bytes[0] === 0x30 ? readBer(bytes) : undefined;
  if (node === undefined) return magicOf(bytes);
  const line = outline(node);
  return outlines.find(([pattern]) => pattern.test(line))?.[1] ?? { kind: 'unknown' };
}

/** Binary forms that begin with a magic number. */
function magicOf(bytes: Uint8Array): Content {
  const start = octetString(bytes.subarray(0, 16));
  if (start.startsWith('\xfe\xed\xfe\xed') || start.startsWith('\xce\xce\xce\xce')) {
    return keyStore('a Java key store', 'keytool -exportcert -rfc');
  }
  return start.startsWith('openssh-key-v1') ? privateKey('OpenSSH') : { kind: 'unknown' };
}

/** Text forms of private keys: PEM in every spelling, SSH2, PGP, PuTTY. The gap is bounded to stay linear. */
const keyText = /BEGIN ([A-Z0-9# ]{0,40}PRIVATE KEY)|PuTTY-User-Key-File-/;

/** Where "-----BEGIN" was base64-encoded once more, as in a Secret's manifest or a kubeconfig. */
const encodedAgain = /LS0tLS1CRUdJTi[A-Za-z0-9+/=\s]*/g;

/** The private key that a text holds in the open or base64-encoded once more, or undefined. */
export function privateKeyInText(text: string): Content | undefined {
  const match = keyText.exec(text);
  if (match !== null) return privateKey(match[1] ?? 'PuTTY');
  for (const [run] of text.matchAll(encodedAgain)) {
    const inner = keyText.exec(Buffer.from(run, 'base64').toString('latin1'));
    if (inner !== null) return privateKey(`${inner[1] ?? 'PuTTY'}, base64-encoded twice`);
  }
  return undefined;
}
