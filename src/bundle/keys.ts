/**
 * Public keys and signature algorithms: what Go's parser demands of them (crypto/x509, parsePublicKey), and their names
 * for people.
 */
import type { KeyObject } from 'node:crypto';
import { attempt, constructed, Malformed, Reader, tags } from './der.ts';

export interface Algorithm {
  readonly oid: string;
  /** The parameters as a whole element; empty when there are none. */
  readonly parameters: string;
}

/** Reads an AlgorithmIdentifier from its contents. */
export function readAlgorithm(reader: Reader): Algorithm {
  return { oid: reader.oid(), parameters: reader.empty ? '' : reader.any().whole };
}

/** Curves by the names that admins know (SEC 2, RFC 5639). Go's standard library has four of them. */
const curves: Readonly<Record<string, string>> = {
  '1.3.132.0.33': 'P-224',
  '1.2.840.10045.3.1.7': 'P-256',
  '1.3.132.0.34': 'P-384',
  '1.3.132.0.35': 'P-521',
  '1.3.132.0.10': 'secp256k1',
  '1.3.36.3.3.2.8.1.1.7': 'brainpoolP256r1',
  '1.3.36.3.3.2.8.1.1.11': 'brainpoolP384r1',
  '1.3.36.3.3.2.8.1.1.13': 'brainpoolP512r1',
  '1.2.156.10197.1.301': 'SM2',
};

/** Of an INTEGER in its shortest form. */
const isPositive = (integer: string): boolean => integer !== '\0' && integer < '\x80';

/** The number of bits of a positive INTEGER. */
function bitLength(integer: string): number {
  const digits = integer.replace(/^\0/, '');
  return digits.length * 8 + 24 - Math.clz32(digits.charCodeAt(0));
}

/** RFC 3279, 2.3.1: the parameters are NULL, modulus and exponent positive. Go's exponent fits 64 bits. */
function readRsa(octets: string, parameters: string): string {
  if (parameters !== '\x05\0') throw new Malformed('the parameters of the RSA key are not NULL');
  const key = new Reader(octets, 'malformed RSA key').enter(tags.sequence);
  const modulus = key.integer();
  if (!isPositive(modulus)) throw new Malformed('the RSA modulus is not positive');
  const exponent = key.integer();
  if (!isPositive(exponent) || exponent.length > 8) throw new Malformed('the RSA exponent is out of range');
  return `RSA ${bitLength(modulus)}`;
}

/** RFC 5480: a named curve that Go knows, and an uncompressed point. OpenSSL checks that it lies on the curve. */
function readEc(octets: string, parameters: string): string {
  const oid = attempt(() => new Reader(parameters, '').oid());
  if (oid === undefined) {
    throw new Malformed('its elliptic curve is given by parameters, not by name; containerd and kubelet skip it');
  }
  const curve = curves[oid] ?? oid;
  if (!curve.startsWith('P-')) {
    throw new Malformed(
      `containerd and kubelet (Go) do not know its elliptic curve ${curve} and would skip it; use P-256, P-384 or P-521`,
    );
  }
  if (!octets.startsWith('\x04')) throw new Malformed('its elliptic curve key is not an uncompressed point');
  return `EC ${curve}`;
}

/** RFC 8410, section 3: no parameters, 32 octets. */
function readEd25519(octets: string, parameters: string): string {
  if (parameters === '' && octets.length === 32) return 'Ed25519';
  throw new Malformed('malformed Ed25519 key');
}

/** RFC 3279, 2.3.2: the domain p, q and g, and y. */
function readDsa(octets: string, parameters: string): string {
  const y = new Reader(octets, 'malformed DSA key');
  const domain = new Reader(parameters, 'malformed DSA key').enter(tags.sequence);
  const [p = '', ...others] = [domain, domain, domain, y].map((reader) => reader.integer());
  return [p, ...others].every(isPositive) ? `DSA ${bitLength(p)}` : y.fail();
}

/** The keys that Go looks into; each reader returns the name for people. */
const readers: Readonly<Record<string, (octets: string, parameters: string) => string>> = {
  '1.2.840.113549.1.1.1': readRsa,
  '1.2.840.10045.2.1': readEc,
  '1.3.101.112': readEd25519,
  '1.2.840.10040.4.1': readDsa,
};

/**
 * Reads a SubjectPublicKeyInfo from its contents.
 * @returns its name for people, or undefined for a key that Go takes without looking into it.
 * @throws Malformed when Go's parser would refuse it.
 */
export function readPublicKey(reader: Reader): string | undefined {
  const { oid, parameters } = readAlgorithm(reader.enter(tags.sequence));
  const bits = reader.bits();
  const read = readers[oid];
  if (read === undefined) return undefined;
  return bits.startsWith('\0') ? read(bits.slice(1), parameters) : reader.fail();
}

/** OpenSSL's name for a key: "RSA-PSS 2048", "Ed448"; it cannot read every key. */
export function keyName(key: KeyObject | undefined): string {
  const name = key?.asymmetricKeyType?.toUpperCase().replace(/^ED/, 'Ed') ?? 'unknown';
  const { modulusLength } = key?.asymmetricKeyDetails ?? {};
  return modulusLength === undefined ? name : `${name} ${modulusLength}`;
}

/** Hashes that are broken (RFC 6151, RFC 6194), and the signatures made with them. */
const brokenHashes: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.5': 'MD5',
  '1.3.14.3.2.26': 'SHA-1',
  '1.2.840.113549.1.1.2': 'MD2',
  '1.2.840.113549.1.1.3': 'MD4',
  '1.2.840.113549.1.1.4': 'MD5',
  '1.3.14.3.2.3': 'MD5',
  '1.2.840.113549.1.1.5': 'SHA-1',
  '1.3.14.3.2.27': 'SHA-1',
  '1.3.14.3.2.29': 'SHA-1',
  '1.2.840.10040.4.3': 'SHA-1',
  '1.2.840.10045.4.1': 'SHA-1',
};

/** The broken hash of a signature, or undefined when it is sound or unknown. */
export function brokenHash({ oid, parameters }: Algorithm): string | undefined {
  if (oid !== '1.2.840.113549.1.1.10') return brokenHashes[oid];
  // RSASSA-PSS names its hash in its parameters, and SHA-1 is what it means by silence (RFC 4055, 3.1).
  return attempt(() => {
    const hash = new Reader(parameters, '').enter(tags.sequence).optional(constructed(0));
    return hash === undefined ? 'SHA-1' : brokenHashes[new Reader(hash, '').enter(tags.sequence).oid()];
  });
}
