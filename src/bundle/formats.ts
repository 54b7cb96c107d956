/**
 * Recognises what a file holds by its content, never by its name, and takes the certificates out of it: PEM with any
 * text around, DER, PKCS#7. Of everything else it says what it is and what to do.
 */
import { asDer, contentOf, describeLabel, privateKeyInText, type Refusal } from './contents.ts';
import { attempt, constructed, octetString, Reader, tags } from './der.ts';
import { certificateLabels, pemBlocks, type PemBlock } from './pem.ts';

/** One certificate, still to be judged. */
export interface Entry {
  readonly kind: 'certificate';
  /** Counted from 1 over everything in the file, broken entries included. */
  readonly index: number;
  readonly der: Uint8Array;
}

export type Recognised = Entry | Refusal;

/** Text that was encoded once more is looked into this deep. */
const maxDepth = 3;

/** A mebibyte has room for some thousand certificates; what has more entries is not a file of certificates. */
const maxEntries = 5_000;

const pkcs7Labels = new Set(['PKCS7', 'PKCS #7 SIGNED DATA', 'CMS']);

const encodedTwice =
  'it is base64-encoded twice: decode it once more, or put the PEM into the Secret as stringData; ' +
  'the values of data are encoded once';

const refuse = (message: string, index?: number): Refusal => ({
  kind: 'not-a-certificate',
  message,
  ...(index !== undefined && { index }),
});

const certificate = (octets: string, index: number): Entry => ({
  kind: 'certificate',
  index,
  der: Buffer.from(octets, 'latin1'),
});

/**
 * Splits a file into its certificates and what is wrong with it. A private key anywhere in it makes that the only
 * thing said of the file. Never throws, and takes time in proportion to the size of the file.
 */
export function recognise(bytes: Uint8Array): readonly Recognised[] {
  return recogniseWithin(octetString(bytes), 0);
}

function recogniseWithin(octets: string, depth: number): readonly Recognised[] {
  if (depth > maxDepth) return [];
  const text = readText(octets);
  const found = [privateKeyInText(text) ?? recogniseForm(octets, text, depth)].flat();
  const secret = found.find(({ kind }) => kind === 'private-key');
  if (secret !== undefined) return [secret];
  if (found.length <= maxEntries) return found;
  return [...found.slice(0, maxEntries), refuse(`it has more than ${maxEntries} entries; the rest is not read`)];
}

/** The file as text with one character per octet, or the characters themselves where a mark says UTF-16. */
function readText(octets: string): string {
  const encoding = octets.startsWith('\xff\xfe') ? 'utf-16le' : octets.startsWith('\xfe\xff') ? 'utf-16be' : undefined;
  if (encoding !== undefined) return new TextDecoder(encoding).decode(Buffer.from(octets, 'latin1'));
  return octets.replaceAll('\xef\xbb\xbf', '');
}

function recogniseForm(octets: string, text: string, depth: number): readonly Recognised[] {
  if (/^[\s\0]*$/.test(text)) return [refuse('the file is empty; put a certificate into it, or take it out')];
  // Text holds none of the control characters below the tab, DER always does.
  const isBinary = /[\cA-\cH]/.test(text);
  if (isBinary && octets.startsWith('0')) return readDer(octets, depth);
  if (!text.includes('-----BEGIN ')) return [explainText(octets, text, isBinary, depth)];
  const found = readPem(text);
  return isBinary ? [...found, refuse('it mixes PEM with binary data; give each its own file')] : found;
}

/** Certificates in DER one after the other, or one PKCS#7. Blanks and zeros between and after them are padding. */
function readDer(octets: string, depth: number): readonly Recognised[] {
  const found: Recognised[] = [];
  let rest = octets;
  while (rest !== '' && found.length <= maxEntries) {
    const whole = firstElement(rest);
    found.push(...recogniseDer(whole, found.length + 1));
    rest = rest.slice(whole.length).replace(/^[\0\t-\r ]+/, '');
    if (rest !== '' && !rest.startsWith('0')) return [...found, explainTrailing(rest, found.length + 1, depth)];
  }
  return found;
}

/** The element at the start; all that is there when it is cut off. */
function firstElement(octets: string): string {
  return attempt(() => new Reader(octets, '').any().whole) ?? octets;
}

/** What follows the DER of a file: a private key must not hide there. */
function explainTrailing(rest: string, index: number, depth: number): Recognised {
  const [first] = recogniseWithin(rest, depth + 1);
  if (first?.kind === 'private-key') return first;
  return refuse(`${rest.length} octets that are no certificate follow; export the certificate again`, index);
}

function recogniseDer(octets: string, index: number): readonly Recognised[] {
  const content = contentOf(octets);
  if ('message' in content) return [{ ...content, index }];
  // Whatever is broken in an unknown thing, the judge of certificates says it best.
  return content.kind === 'pkcs7' ? readPkcs7(octets, index) : [certificate(octets, index)];
}

/**
 * The certificates inside a PKCS#7 (RFC 2315, 9.1; RFC 5652, 5.1), each with its exact octets. They count as entries of
 * the file, from `index` on.
 */
function readPkcs7(octets: string, index: number): readonly Recognised[] {
  const read = (der: string): readonly Recognised[] =>
    readMembers(membersOf(new Reader(der, '').enter(tags.sequence)), octets, index);
  const found = attempt(() => read(octets)) ?? attempt(() => read(asDer(octets)));
  if (found?.length === 0) return [refuse('it is a PKCS#7 without certificates; export it with the chain', index)];
  const damaged = 'it is a PKCS#7 of another kind than signed data, or a damaged one; export the certificates';
  return found ?? [refuse(damaged, index)];
}

/** Members that do not stand in DER need a search each; a file full of them is not worth one. */
const maxStrange = 8;

/** The set of certificates in signed data. */
function membersOf(outer: Reader): Reader {
  if (outer.oid() !== '1.2.840.113549.1.7.2') outer.fail();
  const signed = outer.enter(constructed(0)).enter(tags.sequence);
  while (!signed.empty && !signed.peek(constructed(0))) signed.any();
  return signed.empty ? signed : signed.enter(constructed(0));
}

function readMembers(members: Reader, file: string, index: number): readonly Recognised[] {
  const found: Recognised[] = [];
  let at = 0;
  let strange = 0;
  while (!members.empty && found.length <= maxEntries && strange < maxStrange) {
    const { tag, whole } = members.any();
    const start = tag === tags.sequence ? file.indexOf(whole, at) : -1;
    found.push(start < 0 ? explainMember(tag, index + found.length) : certificate(whole, index + found.length));
    if (start < 0) strange += 1;
    else at = start + whole.length;
  }
  return found;
}

/** A member that is no certificate, or that stands in the file in other octets than those that were signed. */
function explainMember(tag: number, index: number): Recognised {
  const isKnown = tag === tags.sequence;
  const what = isKnown ? 'not in DER, so its signature cannot hold' : 'an attribute certificate or of an unknown kind';
  return refuse(`in its PKCS#7: it is ${what}`, index);
}

/** Repairs what is clear to a reader but not to OpenSSL; the certificates are written anew anyway. */
function repair(text: string): string {
  // Files joined without a final newline between them.
  const parted = text.replaceAll('----------BEGIN ', '-----\n-----BEGIN ');
  // Pasted from an indented place, as YAML has it.
  return /^[ \t]+-----BEGIN /m.test(parted) ? parted.replace(/^[ \t]+/gm, '') : parted;
}

function readPem(text: string): readonly Recognised[] {
  const found: Recognised[] = [];
  const parameters: Recognised[] = [];
  for (const block of pemBlocks(repair(text))) {
    const read = readBlock(block, found.length + parameters.length + 1);
    // Parameters beside certificates do no harm; openssl ecparam leaves them there.
    const isHarmless = block.label.endsWith(' PARAMETERS') && read.every(({ kind }) => kind !== 'private-key');
    (isHarmless ? parameters : found).push(...read);
    if (found.length > maxEntries) break;
  }
  const all = found.length > 0 ? found : parameters;
  return all.length > 0 ? all : [refuse('it speaks of PEM but holds no PEM block; put in the whole certificate')];
}

function readBlock({ label, der, problem = '' }: PemBlock, index: number): readonly Recognised[] {
  if (der === undefined) return [refuse(`the PEM block ${label} cannot be read: ${problem}`, index)];
  const octets = octetString(der);
  const content = contentOf(octets);
  const secret = content.kind === 'private-key' ? content : privateKeyInText(octets);
  if (secret !== undefined) return [{ ...secret, index }];
  if (!certificateLabels.has(label) && !pkcs7Labels.has(label)) return [{ ...describeLabel(label), index }];
  if (octets.slice(0, 16).includes('-----BEGIN')) return [refuse(encodedTwice, index)];
  return label === 'TRUSTED CERTIFICATE' ? [readTrusted(octets, index)] : recogniseDer(octets, index);
}

/** OpenSSL's own form: the certificate and, after it, the uses it is trusted or rejected for (X509_CERT_AUX). */
function readTrusted(octets: string, index: number): Recognised {
  const whole = firstElement(octets);
  const uses = attempt(() => readRejected(octets.slice(whole.length))) ?? [];
  // RFC 5280, 4.2.1.12: TLS servers, and every use.
  if (!uses.includes('1.3.6.1.5.5.7.3.1') && !uses.includes('2.5.29.37.0')) return certificate(whole, index);
  return refuse('its TRUSTED CERTIFICATE block says that servers must not be trusted by it; take it out', index);
}

/** The second list, of the rejected uses. */
function readRejected(settings: string): readonly string[] {
  const fields = new Reader(settings, '').enter(tags.sequence);
  fields.optional(tags.sequence);
  const rejected = fields.enter(constructed(0));
  const uses: string[] = [];
  while (!rejected.empty) uses.push(rejected.oid());
  return uses;
}

/** A file without PEM or DER: base64 of something, a key store, or plain text. */
function explainText(octets: string, text: string, isBinary: boolean, depth: number): Recognised {
  const content = contentOf(octets);
  if ('message' in content) return content;
  if (isBinary) return refuse('it is binary data of no known kind; give the certificate as PEM, DER or PKCS#7');
  const base64 = text.replace(/\s+/g, '');
  const isBase64 = base64.length >= 16 && /^[A-Za-z0-9+/_-]+={0,2}$/.test(base64);
  return (
    (isBase64 ? explainBase64(base64, depth) : undefined) ??
    refuse('it is plain text without a certificate; put in PEM, DER or PKCS#7')
  );
}

/** What base64 without PEM lines stands for, or undefined when it is more likely a long word. */
function explainBase64(base64: string, depth: number): Recognised | undefined {
  const octets = Buffer.from(base64, 'base64').toString('latin1');
  const [first] = recogniseWithin(octets, depth + 1);
  if (first?.kind === 'private-key') return first;
  if (octets.includes('-----BEGIN ')) return refuse(encodedTwice);
  if (first !== undefined && 'message' in first && first.message === encodedTwice) return first;
  if (!octets.startsWith('0')) return undefined;
  const content = contentOf(octets);
  if ('message' in content) return content;
  const advice = 'it is base64 without the lines BEGIN and END around it; put in whole PEM, or the decoded DER';
  return content.kind === 'unknown' ? undefined : refuse(advice);
}
