/**
 * PEM (RFC 7468): finds the blocks of a text as OpenSSL and Go find them, and writes the one form that is installed.
 * One pass over the text, whatever it holds: a host's bundle of a thousand certificates is read in every pass.
 */
import { printable } from './text.ts';

export interface PemBlock {
  /** What stands between BEGIN and the dashes: "CERTIFICATE". Control characters are escaped. */
  readonly label: string;
  /** Counted from 1, broken blocks included. */
  readonly index: number;
  /** Where it begins and ends in the text, as `unixLines` gives it. */
  readonly start: number;
  readonly end: number;
  /** The decoded body; absent when there is a problem. */
  readonly der?: Uint8Array;
  /** Why no program can read this block, as a phrase for a person. */
  readonly problem?: string;
  /** A blank line is in it: OpenSSL then reads nothing of the file, though others do. */
  readonly hasGap?: true;
}

/** The blocks that hold a certificate for OpenSSL. */
export const certificateLabels = new Set(['CERTIFICATE', 'X509 CERTIFICATE', 'TRUSTED CERTIFICATE']);

const dashes = '-----';
const begin = '-----BEGIN ';
const end = '-----END ';
const cutOff = 'it is cut off: its END line is missing';

/** A block under way: where it was found, and where to look for the next one. */
interface Found {
  readonly block: Omit<PemBlock, 'index' | 'start' | 'end'>;
  readonly next: number;
}

const isLineStart = (text: string, at: number): boolean => at === 0 || text[at - 1] === '\n';

/** The position of the next line break, or of the end. */
function lineEnd(text: string, at: number): number {
  const feed = text.indexOf('\n', at);
  return feed < 0 ? text.length : feed;
}

/** The text with its lines ended as here. Windows ends them with two characters, old Macs with the first of them. */
export function unixLines(text: string): string {
  return text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
}

/**
 * Every block of a text, in order, with any text between them. A block that is cut off, ends under another name, holds
 * no base64 or does not begin on a line of its own comes with a problem and no bytes. Never throws. One after the other, so
 * that the bytes of all of a host's bundle need not be there at once.
 */
export function* pemBlocks(input: string): Generator<PemBlock> {
  const text = unixLines(input);
  let index = 0;
  let lastEnd = text.indexOf(end);
  let at = text.indexOf(begin);
  while (at >= 0) {
    if (lastEnd >= 0 && lastEnd < at) lastEnd = text.indexOf(end, at);
    const found = isLineStart(text, at) ? readBlock(text, at) : readMisplaced(text, at, lastEnd);
    if (found !== undefined) yield { index: (index += 1), start: at, end: found.next, ...found.block };
    at = text.indexOf(begin, found?.next ?? at + begin.length);
  }
}

/** A BEGIN in the middle of a line: prose that speaks of PEM, unless an END follows before the next BEGIN. */
function readMisplaced(text: string, at: number, endAt: number): Found | undefined {
  const next = at + begin.length;
  const nextBegin = text.indexOf(begin, next);
  if (endAt < 0 || (nextBegin >= 0 && nextBegin < endAt)) return undefined;
  const label = printable(text.slice(next, next + 64).split(dashes, 1)[0] ?? '', 64);
  return { block: { label, problem: 'other text stands before its BEGIN line' }, next: endAt };
}

/** The block whose BEGIN stands at the start of the line at `at`. */
function readBlock(text: string, at: number): Found {
  const bodyAt = lineEnd(text, at);
  const line = text.slice(at + begin.length, bodyAt).trimEnd();
  const label = printable(line.split(dashes, 1)[0] ?? '', 64);
  if (!line.endsWith(dashes) || line.length - dashes.length !== line.indexOf(dashes)) {
    return { block: { label, problem: explainBeginLine(line) }, next: at + begin.length };
  }
  const stop = text.indexOf(dashes, bodyAt);
  if (stop < 0) return { block: { label, problem: cutOff }, next: text.length };
  if (!text.startsWith(end, stop)) return { block: { label, problem: cutOff }, next: stop };
  const next = lineEnd(text, stop);
  const problem = explainEndLine(text.slice(stop, next).trimEnd(), line, isLineStart(text, stop));
  // A glued BEGIN may follow on the END line.
  if (problem !== undefined) return { block: { label, problem }, next: stop + end.length };
  return { block: { label, ...decodeBody(text.slice(bodyAt, stop)) }, next };
}

function explainBeginLine(line: string): string {
  if (!line.includes(dashes)) return 'its BEGIN line is not complete';
  if (line.includes('\\n')) return 'its line breaks are written as the two characters \\n; write real line breaks';
  return 'its BEGIN line goes on after the dashes; put each line of the block on a line of its own';
}

/** What is wrong with an END line, `wanted` being what followed BEGIN. */
function explainEndLine(line: string, wanted: string, startsLine: boolean): string | undefined {
  if (!startsLine) return 'its END is not on a line of its own';
  if (line === `${end}${wanted}`) return undefined;
  if (line.startsWith(`${end}${wanted}`)) return 'its END line goes on after the dashes';
  return `it ends as ${printable(line.slice(end.length).split(dashes, 1)[0] ?? '', 64)}`;
}

/** Headers before the body (RFC 1421, 4.4): lines with a colon, and the indented ones that continue them. */
const headers = /^(?:[^\n:]*:[^\n]*\n(?:[ \t]+\S[^\n]*\n)*)+/;

/** Base64 with its padding (RFC 4648, section 4) and blanks anywhere. */
function decodeBody(body: string): Pick<PemBlock, 'der' | 'problem' | 'hasGap'> {
  const lines = body.trimStart().replace(headers, '');
  const base64 = lines.replace(/\s+/g, '');
  const stranger = /[^A-Za-z0-9+/=]/u.exec(base64)?.[0];
  if (stranger !== undefined) return { problem: `it holds "${printable(stranger)}", which is not base64` };
  if (base64 === '') return { problem: 'it is empty' };
  if (base64.length % 4 === 0 && /^[^=]+={0,2}$/.test(base64)) {
    const hasGap = /\n[ \t]*\n/.test(lines.trimStart());
    return { der: Buffer.from(base64, 'base64'), ...(hasGap && { hasGap }) };
  }
  return { problem: 'its base64 is incomplete or damaged; copy the whole file again' };
}

/** The PEM of a certificate's DER as it is installed: 64 columns, LF, one final newline (RFC 7468, section 2). */
export function toPem(der: Uint8Array, label = 'CERTIFICATE'): string {
  const base64 = Buffer.from(der).toString('base64');
  const lines: string[] = [];
  for (let at = 0; at < base64.length; at += 64) lines.push(base64.slice(at, at + 64));
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
