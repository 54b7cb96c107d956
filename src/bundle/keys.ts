/**
 * Public keys and signature algorithms: what Go's parser demands of them (crypto/x509, parsePublicKey), and their names
 * for people.
 */
import { bitLength, context, isPositive, Malformed, readBits, Reader, readInteger, readOid, tags } from './der.ts';

export interface Algorithm {
  readonly oid: string;
  /** The parameters as a whole element; empty when there are none. */
  readonly parameters: Uint8Array;
}

export interface PublicKey {
  /** "RSA 4096", "EC P-256", "Ed25519". */
  readonly name: string;
  /** The size of an RSA modulus, or undefined for other keys. */
  readonly rsaBits?: number;
  /** Go and OpenSSL check that the point lies on its curve, which this reader leaves to OpenSSL. */
  readonly isPoint: boolean;
}

/** Reads the contents of an AlgorithmIdentifier. */
export function readAlgorithm(contents: Uint8Array, what: string): Algorithm {
  const reader = new Reader(contents);
  const oid = readOid(reader, what);
  return { oid, parameters: reader.empty ? new Uint8Array() : reader.any(what).whole };
}

/** The curves of Go's standard library. */
const curves: Readonly<Record<string, string>> = {
  '1.3.132.0.33': 'P-224',
  '1.2.840.10045.3.1.7': 'P-256',
  '1.3.132.0.34': 'P-384',
  '1.3.132.0.35': 'P-521',
};

/** Curves that OpenSSL knows and Go refuses, by the names that admins know (RFC 5639, SEC 2). */
const otherCurves: Readonly<Record<string, string>> = {
  '1.3.132.0.10': 'secp256k1',
  '1.2.840.10045.3.1.1': 'P-192',
  '1.3.36.3.3.2.8.1.1.7': 'brainpoolP256r1',
  '1.3.36.3.3.2.8.1.1.11': 'brainpoolP384r1',
  '1.3.36.3.3.2.8.1.1.13': 'brainpoolP512r1',
  '1.2.156.10197.1.301': 'SM2',
};

/** RFC 3279, 2.3.1: the parameters are NULL, modulus and exponent positive. Go's exponent fits 64 bits. */
function readRsa(octets: Uint8Array, parameters: Uint8Array): PublicKey {
  if (!isNull(parameters)) throw new Malformed('the parameters of the RSA key are not NULL');
  const key = new Reader(octets).enter(tags.sequence, 'malformed RSA key');
  const modulus = readInteger(key, 'malformed RSA modulus');
  const exponent = readInteger(key, 'malformed RSA exponent');
  if (!isPositive(modulus)) throw new Malformed('the RSA modulus is not positive');
  if (!isPositive(exponent) || exponent.length > 8) throw new Malformed('the RSA exponent is out of range');
  return { name: `RSA ${bitLength(modulus)}`, rsaBits: bitLength(modulus), isPoint: false };
}

const isNull = (parameters: Uint8Array): boolean => Buffer.from(parameters).equals(Buffer.from([5, 0]));

/** RFC 8017, A.2.3. Go does not look into these keys, and a broken one harms nobody. */
function readRsaPss(octets: Uint8Array): PublicKey {
  try {
    const modulus = readInteger(new Reader(octets).enter(tags.sequence, ''), '');
    return { name: `RSA-PSS ${bitLength(modulus)}`, rsaBits: bitLength(modulus), isPoint: false };
  } catch {
    return { name: 'RSA-PSS', isPoint: false };
  }
}

/** RFC 5480: a named curve that Go knows, and an uncompressed point. */
function readEc(octets: Uint8Array, parameters: Uint8Array): PublicKey {
  if (!new Reader(parameters).peek(tags.oid)) {
    throw new Malformed('its elliptic curve is given by parameters, not by name; containerd and kubelet skip it');
  }
  const oid = readOid(new Reader(parameters), 'malformed name of the elliptic curve');
  const curve = curves[oid];
  if (curve === undefined) {
    throw new Malformed(
      `containerd and kubelet (Go) do not know its elliptic curve ${otherCurves[oid] ?? oid} and would skip it; ` +
        'use P-256, P-384 or P-521',
    );
  }
  if (octets[0] !== 4) throw new Malformed('its elliptic curve key is not an uncompressed point');
  return { name: `EC ${curve}`, isPoint: true };
}

/** RFC 8410, section 3: no parameters, 32 octets. */
function readEd25519(octets: Uint8Array, parameters: Uint8Array): PublicKey {
  if (parameters.length > 0 || octets.length !== 32) throw new Malformed('malformed Ed25519 key');
  return { name: 'Ed25519', isPoint: false };
}

/** RFC 3279, 2.3.2. */
function readDsa(octets: Uint8Array, parameters: Uint8Array): PublicKey {
  const what = 'malformed DSA key';
  const y = readInteger(new Reader(octets), what);
  const domain = new Reader(parameters).enter(tags.sequence, what);
  const [p, q, g] = [readInteger(domain, what), readInteger(domain, what), readInteger(domain, what)];
  if (![y, p, q, g].every(isPositive)) throw new Malformed(what);
  return { name: `DSA ${bitLength(p)}`, isPoint: false };
}

const readers: Readonly<Record<string, (octets: Uint8Array, parameters: Uint8Array) => PublicKey>> = {
  '1.2.840.113549.1.1.1': readRsa,
  '1.2.840.113549.1.1.10': readRsaPss,
  '1.2.840.10045.2.1': readEc,
  '1.3.101.112': readEd25519,
  '1.2.840.10040.4.1': readDsa,
};

/** Keys that Go takes into a pool without looking into them (it cannot check what they signed). RFC 8410, RFC 9881. */
const unreadKeys: Readonly<Record<string, string>> = {
  '1.3.101.110': 'X25519',
  '1.3.101.113': 'Ed448',
  '2.16.840.1.101.3.4.3.17': 'ML-DSA-44',
  '2.16.840.1.101.3.4.3.18': 'ML-DSA-65',
  '2.16.840.1.101.3.4.3.19': 'ML-DSA-87',
};

/**
 * Reads the contents of a SubjectPublicKeyInfo.
 * @throws Malformed when Go's parser would refuse it.
 */
export function readPublicKey(contents: Uint8Array): PublicKey {
  const what = 'malformed public key';
  const reader = new Reader(contents);
  const { oid, parameters } = readAlgorithm(reader.read(tags.sequence, what), what);
  const { unused, octets } = readBits(reader, what);
  const read = readers[oid];
  if (read === undefined) return { name: unreadKeys[oid] ?? `unknown kind ${oid}`, isPoint: false };
  if (unused > 0) throw new Malformed(what);
  return read(octets, parameters);
}

/** Signatures whose hash is broken (RFC 6151, RFC 6194), by the name of that hash. */
const brokenSignatures: Readonly<Record<string, string>> = {
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

const brokenHashes: Readonly<Record<string, string>> = { '1.3.14.3.2.26': 'SHA-1', '1.2.840.113549.2.5': 'MD5' };

/** The broken hash of a signature, or undefined when it is sound or unknown. */
export function brokenHash({ oid, parameters }: Algorithm): string | undefined {
  return oid === '1.2.840.113549.1.1.10' ? brokenPssHash(parameters) : brokenSignatures[oid];
}

/** RSASSA-PSS names its hash in its parameters, and SHA-1 is what it means by silence (RFC 4055, 3.1). */
function brokenPssHash(parameters: Uint8Array): string | undefined {
  try {
    const fields = new Reader(parameters).enter(tags.sequence, '');
    const hash = fields.optional(context(0, true), '');
    if (hash === undefined) return 'SHA-1';
    return brokenHashes[readOid(new Reader(hash).enter(tags.sequence, ''), '')];
  } catch {
    return undefined;
  }
}
