// Fresh CAs by the hundred. One is made by openssl; the others are that one under another name, signed anew with the
// same key: a millisecond each, and every one a valid self-signed RSA certificate.
import { createHash, sign } from 'node:crypto';
import { makeCert } from '../sandbox/harness/certs.ts';

export interface BenchAnchor {
  readonly pem: string;
  /** SHA-256 of the DER, lower-case hex. */
  readonly fingerprint: string;
}

/** Makes so many anchors that nobody has seen before. */
export type Mint = (count: number) => readonly BenchAnchor[];

const digits = 6;
const name = 'Bench CA ';
/** An RSA-2048 signature, at the end of the certificate whatever it signs. */
const signatureBytes = 256;

export async function openMint(): Promise<Mint> {
  const pattern = name + '0'.repeat(digits);
  const { der: template, key } = await makeCert({ subject: `/O=Example/CN=${pattern}`, key: 'rsa2048' });
  let made = 0;
  const make = (): BenchAnchor => {
    made += 1;
    const own = name + String(made).padStart(digits, '0');
    const der = Buffer.from(template.toString('latin1').replaceAll(pattern, own), 'latin1');
    sign('sha256', toBeSigned(der), key).copy(der, der.length - signatureBytes);
    return { pem: toPem(der), fingerprint: createHash('sha256').update(der).digest('hex') };
  };
  return (count) => Array.from({ length: count }, make);
}

/** The first element inside the certificate (RFC 5280, 4.1); both have a length of two octets. */
function toBeSigned(der: Buffer): Buffer {
  return der.subarray(4, 4 + 4 + der.readUInt16BE(6));
}

function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** The files of a Secret with these anchors. */
export function secretOf(anchors: readonly BenchAnchor[]): Readonly<Record<string, string>> {
  return Object.fromEntries(anchors.map(({ pem }, index) => [`ca-${index}.crt`, pem]));
}

/** The bundle's digest, as `sort -u | sha256sum` makes it of the fingerprints. */
export function digestOf(anchors: readonly BenchAnchor[]): string {
  const lines = anchors.map(({ fingerprint }) => `${fingerprint}\n`).sort();
  return createHash('sha256').update(lines.join('')).digest('hex');
}
