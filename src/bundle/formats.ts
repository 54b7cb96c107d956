/**
 * Recognises what a file holds by its content, never by its name, and takes the certificates out of it: PEM with any
 * text around, DER, PKCS#7. Of everything else it says what it is and what to do.
 */
import { asDer, contentOf, describeLabel, privateKeyInText, type Refusal } from './contents.ts';
import { attempt, constructed, octetString, Reader, tags } from './der.ts';
import { serverUsages } from './extensions.ts';
import { certificateLabels, pemBlocks, type PemBlock, unixLines } from './pem.ts';

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

const otherEncoding = 'the file goes on in another encoding there, as UTF-16 beside UTF-8; write all of it as UTF-8';

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

/** The encoding that a mark at the start names, where it has more than one octet for each character. */
function wideEncoding(octets: string): string | undefined {
  if (octets.startsWith('\xff\xfe')) return 'utf-16le';
  return octets.startsWith('\xfe\xff') ? 'utf-16be' : undefined;
}

/**
 * The file as text with one character per octet, or the characters themselves where a mark says UTF-16. Files that were
 * joined have marks in the middle too.
 */
function readText(octets: string): string {
  const encoding = wideEncoding(octets);
  if (encoding === undefined) return octets.replaceAll('\xef\xbb\xbf', '');
  return new TextDecoder(encoding).decode(Buffer.from(octets, 'latin1')).replaceAll('\ufeff', '');
}

function recogniseForm(octets: string, text: string, depth: number): readonly Recognised[] {
  if (/^[\s\0]*$/.test(text)) return [refuse('the file is empty; put a certificate into it, or take it out')];
  // Text holds none of the control characters below the tab, DER always does.
  const isBinary = /[\cA-\cH]/.test(text);
  if (isBinary && octets.startsWith('0')) return readDer(octets, depth);
  if (!text.includes('-----BEGIN ')) return [explainText(octets, text, isBinary, depth)];
  const { found, lost } = readPem(text);
  const isMixed = wideEncoding(octets) !== undefined && octets.includes('-----BEGIN ');
  const mixed = isMixed
    ? otherEncoding
    : isBinary
      ? 'it mixes PEM with binary data; give each its own file'
      : undefined;
  const beside = mixed === undefined ? lost : refuse(mixed);
  return beside === undefined ? found : [...found, beside];
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

/** A certificate that no program would find: an END alone, its first octets in base64, or twice so, or NULs between letters. */
const stray = /-----END |^[ \t]*(?:MI[A-Za-z0-9+/]{38,}={0,2}|LS0tLS1CRUdJTi[A-Za-z0-9+/]+={0,2})[ \t]*$|\0[^\0\s]/m;

/** What stands between and beside whole blocks and would be taken for prose though it is none; undefined when all is prose. */
function findStray(text: string, blocks: readonly PemBlock[]): Refusal | undefined {
  const starts = [...blocks.map(({ start }) => start), text.length];
  const ends = [0, ...blocks.map(({ end }) => end)];
  for (const [at, from] of ends.entries()) {
    const match = stray.exec(text.slice(from, starts[at]));
    if (match === null) continue;
    const line = text.slice(0, from + match.index).split('\n').length;
    const what = match[0].startsWith('\0')
      ? otherEncoding
      : 'here seems to be a certificate without a whole BEGIN line, which no program would read; copy it again as a whole';
    return refuse(`line ${line}: ${what}`);
  }
  return undefined;
}

/** @returns lost: a certificate beside them that is in no block */
function readPem(input: string): { readonly found: readonly Recognised[]; readonly lost: Refusal | undefined } {
  const text = unixLines(repair(input));
  const blocks: PemBlock[] = [];
  const found: Recognised[] = [];
  const parameters: Recognised[] = [];
  for (const block of pemBlocks(text)) {
    blocks.push(block);
    const read = readBlock(block, found.length + parameters.length + 1);
    // Parameters beside certificates do no harm; openssl ecparam leaves them there.
    const isHarmless = block.label.endsWith(' PARAMETERS') && read.every(({ kind }) => kind !== 'private-key');
    (isHarmless ? parameters : found).push(...read);
    if (found.length > maxEntries) break;
  }
  const all = found.length > 0 ? found : parameters;
  const isWhole = found.length <= maxEntries && all.every(({ kind }) => kind === 'certificate');
  // What is wrong with a block is the better thing to say.
  const lost = isWhole ? findStray(text, blocks) : undefined;
  if (all.length > 0) return { found: all, lost };
  return { found: [refuse('it speaks of PEM but holds no PEM block; put in the whole certificate')], lost: undefined };
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
  if (attempt(() => isForServers(octets.slice(whole.length))) !== false) return certificate(whole, index);
  return refuse('its TRUSTED CERTIFICATE block says that servers must not be trusted by it; take it out', index);
}

/** The list of trusted uses, which rules out all others where it is there, and the list of rejected ones. */
function isForServers(settings: string): boolean {
  const fields = new Reader(settings, '').enter(tags.sequence);
  const [trusted, rejected] = [tags.sequence, constructed(0)].map((tag) => fields.optional(tag));
  const namesServers = (list: string): boolean => {
    const uses = new Reader(list, '');
    // RFC 5280, 4.2.1.12: TLS servers, and every use.
    while (!uses.empty) if (serverUsages.has(uses.oid())) return true;
    return false;
  };
  return (trusted === undefined || namesServers(trusted)) && (rejected === undefined || !namesServers(rejected));
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
