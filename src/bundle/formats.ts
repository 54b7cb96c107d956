/**
 * Recognises what a file holds by its content, never by its name, and takes the certificates out of it: PEM with any
 * text around, DER, PKCS#7. Of everything else it says what it is and what to do.
 */
import { contentOf, privateKeyInText, octetString, type Content } from './contents.ts';
import { Malformed, Reader, readOid, tags, context } from './der.ts';
import { pemBlocks, type PemBlock } from './pem.ts';
import { describeLabel, isCertificateLabel, isParameterLabel, isPkcs7Label } from './labels.ts';
import { maxEntries, pkcs7Members } from './pkcs7.ts';

/** One certificate, still to be judged. */
export interface Entry {
  readonly kind: 'certificate';
  /** Counted from 1 over everything in the file, broken entries included. */
  readonly index: number;
  readonly der: Uint8Array;
}

/** Something in the file that is no certificate, with a sentence that says what it is and what to do. */
export interface Refusal {
  readonly kind: 'private-key' | 'not-a-certificate';
  /** Absent when it is about the file as a whole. */
  readonly index?: number;
  readonly message: string;
}

export type Recognised = Entry | Refusal;

/** Text that was encoded once more is looked into this deep. */
const maxDepth = 3;

/**
 * Splits a file into its certificates and what is wrong with it. A private key anywhere in it makes that the only
 * thing said of the file. Never throws, and takes time in proportion to the size of the file.
 */
export function recognise(bytes: Uint8Array): readonly Recognised[] {
  return recogniseWithin(bytes, 0);
}

function recogniseWithin(bytes: Uint8Array, depth: number): readonly Recognised[] {
  const text = readText(bytes);
  const key = privateKeyInText(text);
  const found = key === undefined ? recogniseForm(bytes, text, depth) : [refusalOf(key)];
  const secret = found.find(({ kind }) => kind === 'private-key');
  if (secret !== undefined) return [secret];
  if (found.length <= maxEntries) return found;
  return [...found.slice(0, maxEntries), refuse(`it has more than ${maxEntries} entries; the rest is not read`)];
}

const refuse = (message: string, index?: number): Refusal => ({
  kind: 'not-a-certificate',
  message,
  ...(index !== undefined && { index }),
});

/** What a piece of content amounts to when it is not what was wanted there. */
function refusalOf(content: Content, index?: number): Refusal {
  if (content.kind === 'private-key') {
    const message = `a private key (${content.name}) is in this file: ${content.advice}`;
    return { kind: 'private-key', message, ...(index !== undefined && { index }) };
  }
  if (content.kind === 'other') return refuse(`it is ${content.name}, not a certificate; ${content.advice}`, index);
  return refuse('it is not a certificate, and of no known kind', index);
}

/** The file as text with one character per octet, or the characters themselves where a mark says UTF-16. */
function readText(bytes: Uint8Array): string {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder('utf-16be').decode(bytes);
  const text = octetString(bytes);
  return text.includes('\xef\xbb\xbf') ? text.replaceAll('\xef\xbb\xbf', '') : text;
}

/** Text holds none of the low control characters, DER always does. */
// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const isBinary = (text: string): boolean => /[\x01-\x08]/.test(text);

function recogniseForm(bytes: Uint8Array, text: string, depth: number): readonly Recognised[] {
  if (/^[\s\0]*$/.test(text)) return [refuse('the file is empty; put a certificate into it, or take it out')];
  const binary = isBinary(text);
  if (binary && bytes[0] === tags.sequence) return readDer(bytes, depth);
  if (!text.includes('-----BEGIN ')) return [explainText(bytes, text, binary, depth)];
  const found = readPem(text);
  const rest = refuse('it mixes PEM with binary data; give each its own file');
  return binary ? [...found, rest] : found;
}

/** Certificates in DER one after the other, or one PKCS#7. Blanks and zeros between and after them are padding. */
function readDer(bytes: Uint8Array, depth: number): readonly Recognised[] {
  const found: Recognised[] = [];
  let rest = bytes;
  while (rest.length > 0 && found.length <= maxEntries) {
    const length = elementLength(rest);
    found.push(...recogniseDer(rest.subarray(0, length), found.length + 1));
    rest = rest.subarray(length);
    const start = rest.findIndex((octet) => octet !== 0 && octet !== 0x20 && (octet < 0x09 || octet > 0x0d));
    rest = rest.subarray(start < 0 ? rest.length : start);
    if (rest.length > 0 && rest[0] !== tags.sequence) return [...found, explainTrailing(rest, found.length + 1, depth)];
  }
  return found;
}

/** The length of the DER element at the start; all that is there when it is cut off or in BER. */
function elementLength(bytes: Uint8Array): number {
  try {
    return new Reader(bytes).any('').whole.length;
  } catch {
    return bytes.length;
  }
}

/** What follows the DER of a file: a private key must not hide there. */
function explainTrailing(rest: Uint8Array, index: number, depth: number): Recognised {
  const secret =
    depth < maxDepth ? recogniseWithin(rest, depth + 1).find(({ kind }) => kind === 'private-key') : undefined;
  return secret ?? refuse(`${rest.length} octets that are no certificate follow; export the certificate again`, index);
}

function recogniseDer(der: Uint8Array, index: number): readonly Recognised[] {
  const content = contentOf(der);
  if (content.kind === 'pkcs7') return readPkcs7(der, index);
  if (content.kind === 'certificate') return [{ kind: 'certificate', index, der }];
  // Whatever is broken in it, the judge of certificates says it best.
  return content.kind === 'unknown' ? [{ kind: 'certificate', index, der }] : [refusalOf(content, index)];
}

/** The members of a PKCS#7 count as entries of the file, from `index` on. */
function readPkcs7(bytes: Uint8Array, index: number): readonly Recognised[] {
  const members = pkcs7Members(bytes);
  if (members === undefined) {
    return [
      refuse('it is a PKCS#7 of another kind than signed data, or a damaged one; export the certificates', index),
    ];
  }
  if (members.length === 0) return [refuse('it is a PKCS#7 without certificates; export it with the chain', index)];
  return members.map((member, at) =>
    'der' in member
      ? { kind: 'certificate', index: index + at, der: member.der }
      : refuse(`in its PKCS#7: ${member.problem}`, index + at),
  );
}

/** Repairs what is clear to a reader but not to OpenSSL; the certificates are written anew anyway. */
function repair(text: string): string {
  // Files joined without a final newline between them.
  const parted = text.includes('----------BEGIN ') ? text.replaceAll('----------BEGIN ', '-----\n-----BEGIN ') : text;
  // Pasted from an indented place, as YAML has it.
  return /^[ \t]+-----BEGIN /m.test(parted) ? parted.replace(/^[ \t]+/gm, '') : parted;
}

function readPem(text: string): readonly Recognised[] {
  const found: Recognised[] = [];
  const lone: Refusal[] = [];
  for (const block of pemBlocks(repair(text))) {
    const index = found.length + lone.length + 1;
    const read = readBlock(block, index);
    // Parameters beside certificates do no harm; openssl ecparam leaves them there.
    if (isParameterLabel(block.label)) lone.push(...read.filter((entry) => entry.kind !== 'certificate'));
    else found.push(...read);
    if (found.length > maxEntries) break;
  }
  if (found.length > 0) return found;
  return lone.length > 0 ? lone : [refuse('it speaks of PEM but holds no PEM block; put in the whole certificate')];
}

function readBlock({ label, der, problem }: PemBlock, index: number): readonly Recognised[] {
  if (der === undefined) return [refuse(`the PEM block ${label} cannot be read: ${problem ?? ''}`, index)];
  const content = contentOf(der);
  const inner = content.kind === 'private-key' ? content : privateKeyInText(octetString(der));
  if (inner !== undefined) return [refusalOf(inner, index)];
  if (!isCertificateLabel(label) && !isPkcs7Label(label)) return [refusalOf(describeLabel(label), index)];
  if (octetString(der.subarray(0, 16)).includes('-----BEGIN')) return [refuse(encodedTwice, index)];
  return label === 'TRUSTED CERTIFICATE' ? [readTrusted(der, index)] : recogniseDer(der, index);
}

/** OpenSSL's own form: the certificate and, after it, the uses it is trusted or rejected for (X509_CERT_AUX). */
function readTrusted(whole: Uint8Array, index: number): Recognised {
  const der = whole.subarray(0, elementLength(whole));
  if (rejectsServers(whole.subarray(der.length))) {
    return refuse('its TRUSTED CERTIFICATE block says that servers must not be trusted by it; take it out', index);
  }
  return { kind: 'certificate', index, der };
}

/** Whether the second list, of the rejected uses, names TLS servers or every use (RFC 5280, 4.2.1.12). */
function rejectsServers(settings: Uint8Array): boolean {
  try {
    const fields = new Reader(settings).enter(tags.sequence, '');
    fields.optional(tags.sequence, '');
    const rejected = new Reader(fields.optional(context(0, true), '') ?? new Uint8Array());
    const uses: string[] = [];
    while (!rejected.empty) uses.push(readOid(rejected, ''));
    return uses.includes('1.3.6.1.5.5.7.3.1') || uses.includes('2.5.29.37.0');
  } catch (error) {
    if (error instanceof Malformed) return false;
    throw error;
  }
}

const encodedTwice =
  'it is base64-encoded twice: decode it once more, or put the PEM into the Secret as stringData; ' +
  'the values of data are encoded once';

/** A file without PEM or DER: base64 of something, a key store, or plain text. */
function explainText(bytes: Uint8Array, text: string, binary: boolean, depth: number): Recognised {
  const content = contentOf(bytes);
  if (content.kind === 'private-key' || content.kind === 'other') return refusalOf(content);
  if (binary) return refuse('it is binary data of no known kind; give the certificate as PEM, DER or PKCS#7');
  const base64 = text.replace(/\s+/g, '');
  const isBase64 = base64.length >= 16 && /^[A-Za-z0-9+/_-]+={0,2}$/.test(base64);
  const inner = isBase64 && depth < maxDepth ? explainBase64(Buffer.from(base64, 'base64'), depth) : undefined;
  return inner ?? refuse('it is plain text without a certificate; put in PEM, DER or PKCS#7');
}

/** What base64 without PEM lines stands for, or undefined when it is more likely a long word. */
function explainBase64(bytes: Buffer, depth: number): Recognised | undefined {
  const found = recogniseWithin(bytes, depth + 1);
  const secret = found.find(({ kind }) => kind === 'private-key');
  if (secret !== undefined) return secret;
  if (bytes.includes('-----BEGIN ')) return refuse(encodedTwice);
  const [first] = found;
  if (first?.kind === 'not-a-certificate' && first.message === encodedTwice) return first;
  if (bytes[0] !== tags.sequence) return undefined;
  const content = contentOf(bytes);
  if (content.kind === 'certificate' || content.kind === 'pkcs7') {
    return refuse('it is base64 without the lines BEGIN and END around it; put in whole PEM, or the decoded DER');
  }
  return content.kind === 'unknown' ? undefined : refusalOf(content);
}
