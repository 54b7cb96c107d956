/**
 * Reads what files of the host hold as certificates, remembering each for as long as the file does not change: a pass
 * looks at some 300 files, nearly all of them the same as last time.
 */
import { X509Certificate, hash } from 'node:crypto';
import type { Anchor } from '../bundle/types.ts';
import { type PemBlock, certificateLabels, pemBlocks, toPem } from '../bundle/pem.ts';
import { readLimit } from '../host/files.ts';
import type { Entry, Host } from '../host/host.ts';
import { Problem, caught } from '../host/problem.ts';
import { hiddenProblem } from './hidden.ts';

export interface CertificateFile {
  /** Fingerprints of the certificates that OpenSSL reads from it, in order. */
  readonly fingerprints: readonly string[];
  /** Those of them that stand there in the form that every program reads. Go passes over what OpenSSL calls them otherwise. */
  readonly plain: readonly string[];
  /** Why a program that reads this file as a bundle may fail or leak a secret; empty for a good one. */
  readonly problems: readonly string[];
  /** It has no end, or is too large for certificates; or something keeps us from what may be in it. */
  readonly unread?: 'huge' | 'denied';
}

type IsWanted = (fingerprint: string, label: string) => boolean;

export interface CertificateFiles {
  /** What a file holds; undefined when no file is there. */
  read(path: string): CertificateFile | undefined;
  /** A look at the store begins. OpenSSL has read these already: what holds one of them, or nothing else, is known by its hash. */
  know(anchors: readonly Anchor[]): void;
  /**
   * The good certificates of a text that has other things too, in the words of their own blocks.
   * @param isWanted of which of them, by fingerprint and what their blocks are called
   */
  goodBlocks(text: string, isWanted?: IsWanted): string;
}

/** What all programs call a certificate. OpenSSL alone reads its other names. */
export const plainLabel = 'CERTIFICATE';

/** Far more than any host has; beyond it everything is read anew. */
const memoryLimit = 10_000;

function remember<V>(memory: Map<string, V>, key: string, value: V): V {
  if (memory.size >= memoryLimit) memory.clear();
  memory.set(key, value);
  return value;
}

function sha256(bytes: Uint8Array): string {
  return hash('sha256', bytes);
}

/** The fingerprint of the certificate that OpenSSL reads from these bytes; undefined when it reads none. */
function fingerprintOf(der: Uint8Array): string | undefined {
  try {
    return sha256(new X509Certificate(der).raw);
  } catch {
    return undefined;
  }
}

type Judge = (der: Uint8Array) => string | undefined;

/** A judge that parses each certificate once: hashing its bytes is a hundred times cheaper. */
function rememberingJudge(known: Map<string, string | undefined>): Judge {
  return (der) => {
    const key = sha256(der);
    return known.has(key) ? known.get(key) : remember(known, key, fingerprintOf(der));
  };
}

/** What is wrong with a block of a file that programs read as a bundle; undefined for nothing. */
function problemOfBlock(block: PemBlock, judge: Judge): string | undefined {
  const where = `block ${block.index} (${block.label})`;
  if (block.label.includes('PRIVATE KEY')) return `${where} is a private key`;
  if (block.der === undefined) return `${where} is broken: ${block.problem ?? 'it cannot be decoded'}`;
  if (!certificateLabels.has(block.label)) return undefined;
  return judge(block.der) === undefined ? `${where} does not parse as a certificate` : undefined;
}

/** OpenSSL and GnuTLS pass over a byte order mark before a block, so what begins with one is trusted by them. */
function withoutMarks(text: string): string {
  return text.replaceAll('\xef\xbb\xbf-----BEGIN', '-----BEGIN');
}

/** One certificate in DER, as p11-kit takes it. */
function examineDer(bytes: Buffer, judge: Judge): CertificateFile | undefined {
  const fingerprint = bytes[0] === 0x30 ? judge(bytes) : undefined;
  return fingerprint === undefined ? undefined : whole([fingerprint]);
}

function whole(fingerprints: readonly string[]): CertificateFile {
  return { fingerprints, plain: fingerprints, problems: [] };
}

/** The certificates of a text in the form that every program reads, of those that OpenSSL reads from it. */
function plainIn(text: string, { fingerprints, problems }: Omit<CertificateFile, 'plain'>, judge: Judge): string[] {
  const blocks = text.match(plainBlock) ?? [];
  // Nearly always all are: then none need be decoded again.
  if (problems.length === 0 && blocks.length === fingerprints.length) return [...fingerprints];
  return blocks.flatMap((block) => [...pemBlocks(block)].flatMap(({ der }) => (der && judge(der)) ?? []));
}

function examinePem(text: string, judge: Judge): CertificateFile {
  const fingerprints: string[] = [];
  const problems: string[] = [];
  for (const block of pemBlocks(withoutMarks(text))) {
    const problem = problemOfBlock(block, judge);
    if (problem !== undefined) problems.push(problem);
    else if (block.der !== undefined && certificateLabels.has(block.label)) {
      const fingerprint = judge(block.der);
      if (fingerprint !== undefined) fingerprints.push(fingerprint);
      if (block.hasGap)
        problems.push(`block ${block.index} has a blank line, at which OpenSSL gives up the whole file`);
    }
  }
  const found = { fingerprints, problems };
  return { ...found, plain: plainIn(text, found, judge) };
}

function examine(bytes: Buffer, judge: Judge, der: boolean): CertificateFile {
  return (der ? examineDer(bytes, judge) : undefined) ?? examinePem(bytes.toString('latin1'), judge);
}

function denied({ message }: Problem): CertificateFile {
  return { ...whole([]), problems: [message], unread: 'denied' };
}

function hidden(end: string): CertificateFile {
  return denied(new Problem(hiddenProblem(end)));
}

function huge(size: number): CertificateFile {
  return { ...whole([]), problems: [`it has ${size} bytes, too many for certificates`], unread: 'huge' };
}

function goodBlocksOf(text: string, judge: Judge, isWanted: IsWanted): string {
  const good = pemBlocks(withoutMarks(text)).flatMap(({ der, label }) => {
    const fingerprint = der && certificateLabels.has(label) ? judge(der) : undefined;
    return der && fingerprint !== undefined && isWanted(fingerprint, label) ? [toPem(der, label)] : [];
  });
  return good.toArray().join('');
}

/** Remembers what was asked for since the last look at the store, or before it: what is there no more is forgotten. */
class Recent<V> {
  #now = new Map<string, V>();
  #before = new Map<string, V>();

  get(key: string): V | undefined {
    const value = this.#now.get(key) ?? this.#before.get(key);
    if (value !== undefined) this.#now.set(key, value);
    return value;
  }

  set(key: string, value: V): V {
    this.#now.set(key, value);
    return value;
  }

  /** A look begins. */
  turn(): void {
    this.#before = this.#now;
    this.#now = new Map();
  }
}

export interface Reading {
  /** Whether the store's tool reads DER as well as PEM. */
  readonly der?: boolean;
  /** Where a path leads at which the agent sees nothing; undefined when nothing is there for the host either. */
  readonly hiddenEnd?: (path: string) => string | undefined;
}

/** Opens a memory of what the host's files hold. */
export function openCertificateFiles(host: Host, { der = false, hiddenEnd }: Reading = {}): CertificateFiles {
  const certificates = new Map<string, string | undefined>();
  const judge = rememberingJudge(certificates);
  // By where a file is, since two links lead to each of ours.
  const byPlace = new Recent<{ version: string; file: CertificateFile }>();
  // The same content is met again: in the bundle before and after it is published.
  const byContent = new Recent<CertificateFile>();
  const examineOnce = (content: string, bytes: Buffer): CertificateFile =>
    byContent.get(content) ?? byContent.set(content, examine(bytes, judge, der));
  const readAnew = (path: string, { at, version }: Entry): CertificateFile | undefined => {
    const before = byPlace.get(at);
    if (before?.version === version) return before.file;
    const bytes = host.read(path);
    if (bytes === undefined) return undefined;
    return byPlace.set(at, { version, file: examineOnce(sha256(bytes), bytes) }).file;
  };
  return {
    read(path) {
      // What cannot be read of another's must keep nothing else from being installed.
      const file = caught(() => {
        const entry = host.target(path);
        const end = entry === undefined ? hiddenEnd?.(path) : undefined;
        if (end !== undefined) return hidden(end);
        if (entry?.kind !== 'file') return undefined;
        return entry.size > readLimit ? huge(entry.size) : readAnew(path, entry);
      });
      return file instanceof Problem ? denied(file) : file;
    },
    know(anchors) {
      for (const memory of [byPlace, byContent]) memory.turn();
      for (const { fingerprint, pem } of anchors.filter((anchor) => !certificates.has(anchor.fingerprint))) {
        remember(certificates, fingerprint, fingerprint);
        byContent.set(hash('sha256', pem), whole([fingerprint]));
      }
    },
    goodBlocks: (text, isWanted = () => true) => goodBlocksOf(text, judge, isWanted),
  };
}

/**
 * A block whose form both OpenSSL and Go read: lines that end as on Linux or Windows, none of them blank, at which OpenSSL
 * gives up the whole file, and no headers.
 * @param label a pattern of what it is called
 */
const blockOf = (label: string): RegExp => {
  const [blank, base64] = ['[ \\t]*', '[A-Za-z0-9+/=]'];
  const body = `(?:${blank}${base64}[A-Za-z0-9+/= \\t]*\\r?\\n)+`;
  const [first, last] = [`-----BEGIN (${label})-----${blank}\\r?\\n`, `-----END \\1-----${blank}\\r?(?![^\\n])`];
  return new RegExp(`(?<![^\\n])${first}${body}${last}`, 'g');
};

const plainBlock = blockOf(plainLabel);
const certificateBlock = blockOf([...certificateLabels].join('|'));

/**
 * Whether a text is certificates and nothing else, each in a form that OpenSSL reads. A link to a file that only root can
 * read has no certificate in it, and the host's tool copies what it finds: what else a text holds must not come into a
 * bundle that everyone can read.
 */
export function isBare(text: string): boolean {
  return text.replace(certificateBlock, '').trim() === '';
}
