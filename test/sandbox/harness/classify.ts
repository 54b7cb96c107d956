// Reads a bundle as OpenSSL does, line by line, and says what a reader would make of it.
import { createHash, X509Certificate } from 'node:crypto';

export interface Expectation {
  /** The fewest certificates of a whole bundle. */
  readonly floor?: number;
  /** Fingerprints that must all be there. */
  readonly all?: readonly string[];
  /** Fingerprints of which one must be there: the old or the new one during a rotation. */
  readonly any?: readonly string[];
  /** Fingerprints that must not be there. */
  readonly none?: readonly string[];
}

export const states = ['whole', 'missing', 'poisoned', 'short', 'lacking', 'excess'] as const;

/**
 * missing: no file. poisoned: a broken PEM block or a private key. short: under the floor. lacking: not what `all`
 * or `any` ask for. excess: something of `none`.
 */
export type State = (typeof states)[number];

/** The state of a bundle (undefined: the file was not there) and a sentence about it. */
export function classify(bytes: Buffer | undefined, expectation: Expectation): { state: State; detail: string } {
  if (bytes === undefined) return { state: 'missing', detail: 'no such file' };
  const { fingerprints, broken } = readBundle(bytes.toString('latin1'));
  if (broken !== undefined) return { state: 'poisoned', detail: broken };
  const { floor = 0, all = [], any = [], none = [] } = expectation;
  const there = (fingerprint: string): boolean => fingerprints.has(fingerprint);
  const absent = all.filter((fingerprint) => !there(fingerprint));
  const count = `${fingerprints.size} certificates`;
  if (fingerprints.size < floor) return { state: 'short', detail: count };
  if (absent.length > 0) return { state: 'lacking', detail: `${count}, without ${absent.join(', ')}` };
  if (any.length > 0 && !any.some(there))
    return { state: 'lacking', detail: `${count}, with none of ${any.join(', ')}` };
  const unwanted = none.filter(there);
  if (unwanted.length > 0) return { state: 'excess', detail: `${count}, with ${unwanted.join(', ')}` };
  return { state: 'whole', detail: count };
}

/** The fingerprints in a bundle, and what is broken about it, if anything. */
export function readBundle(text: string): { fingerprints: ReadonlySet<string>; broken: string | undefined } {
  const fingerprints = new Set<string>();
  let body: string[] | undefined;
  for (const [index, line] of text
    .split('\n')
    .map((raw) => raw.trimEnd())
    .entries()) {
    const at = `line ${index + 1}`;
    if (line.includes('PRIVATE KEY')) return { fingerprints, broken: `${at}: a private key` };
    if (body === undefined) {
      if (line === '-----BEGIN CERTIFICATE-----') body = [];
      else if (line.includes('-----')) return { fingerprints, broken: `${at}: a stray ${line}` };
    } else if (line === '-----END CERTIFICATE-----') {
      const fingerprint = fingerprintOf(body.join(''));
      if (fingerprint === undefined) return { fingerprints, broken: `${at}: ends a block that is no certificate` };
      fingerprints.add(fingerprint);
      body = undefined;
    } else if (/^[A-Za-z0-9+/=]*$/.test(line)) {
      body.push(line);
    } else {
      return { fingerprints, broken: `${at}: not base64: ${line.slice(0, 60)}` };
    }
  }
  return { fingerprints, broken: body === undefined ? undefined : 'the last block has no end' };
}

function fingerprintOf(base64: string): string | undefined {
  try {
    const der = Buffer.from(base64, 'base64');
    // A certificate followed by rubbish parses; OpenSSL's PEM reader takes it too, so its own length decides.
    return createHash('sha256').update(new X509Certificate(der).raw).digest('hex');
  } catch {
    return undefined;
  }
}
