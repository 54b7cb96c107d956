/**
 * A hosts.toml of containerd: every host in it comes to trust a file of CAs, by lines that can be told from the user's
 * and taken back. Only text, no file system. What its tables mean is in containerd's remotes/docker/config/hosts.go.
 *
 * Trust belongs at the top level, which speaks for `server`, or where that is missing for the registry asked for; and in
 * every [host."URL"], which inherits nothing from there. Two of them need none:
 * - `http://`: containerd since 1.6.25 and 1.7.7 would try HTTPS first where it sees a `ca`, at port 443 if the URL names
 *   none, and whatever answers there other than in plain HTTP ends the pull. Older ones would not use it.
 * - `skip_verify = true`: nothing is verified, so a `ca` would only be a file more without which no pull works.
 * Without a scheme a host is HTTPS. To a localhost registry without `server` a `ca` makes no difference.
 */
import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { parse, TomlError } from 'smol-toml';
import * as z from 'zod/mini';
import { isTable, sectionsOf, type Key, type Section } from './toml-lines.ts';

export type HostsTrust =
  | {
      readonly kind: 'trust';
      readonly text: string;
      /**
       * Not so when some containerd passes the file over for the `*.crt` beside it: each one an empty file, 1.6 and 1.7
       * before 1.7.32 one without a host, 2.x one with a byte order mark.
       */
      readonly readByAll: boolean;
    }
  | {
      readonly kind: 'problem';
      /** What is wrong and what to do: the end of a line that begins with the path. */
      readonly problem: string;
      /** When it does not, containerd takes the `*.crt` beside the file instead. */
      readonly parses: boolean;
    };

type Table = Record<string, unknown>;

/** A table that may name CA files: the top level, whose path is empty, or a host. */
interface Place {
  readonly path: readonly string[];
  readonly table: Table;
}

const one = z.string();
const list = z.array(one);
/** As Go's time.ParseDuration takes it. */
const duration = /^(?:[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:h|m|[^\d.]{0,2}s))+))?$/;

/** What containerd takes in a table (hostFileConfig and parseHostConfig there); for anything else it refuses the file. */
const shape = z.object({
  capabilities: z.optional(z.array(one.check(z.regex(/^(?:pull|resolve|push|referrers)$/i)))),
  ca: z.optional(z.union([one, list])),
  client: z.optional(z.union([one, z.array(z.union([one, z.tuple([one, one])]))])),
  skip_verify: z.optional(z.boolean()),
  header: z.optional(z.record(one, z.union([one, list]))),
  override_path: z.optional(z.boolean()),
  dial_timeout: z.optional(one.check(z.regex(duration))),
});

/** Text to stand in the place of what is between two offsets. */
interface Edit {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** Why a file is left as it is, and what to do. */
class Refusal extends Error {
  readonly parses: boolean;
  constructor(problem: string, parses: boolean) {
    super(problem);
    this.parses = parses;
  }
}

/** Nobody writes so many hosts, and the work grows with their square. */
const mostCharacters = 64 * 1024;

const unsafe = 'no edit of it is safe; name the CA file in each "ca" yourself';

const byteOrderMark = /^(?:\uFEFF|\u00EF\u00BB\u00BF)?/;
const marked = /^(.*) # (?:added|changed) by node-ca-trust ([0-9a-f]{8})(?:, was ("(?:[^"\\]|\\.)*"))?\r?$/s;
const isHeader = /^[ \t]*\[/;

/** A text without the byte order mark that it may begin with: the parser takes none. */
export function withoutMark(text: string): string {
  return text.replace(byteOrderMark, '');
}

/** Blanks do not count: a line that a formatter has moved is still ours. */
function digestOf(head: string, was: string): string {
  return hash('sha256', `${head.replace(/\s/g, '')}\n${was}`).slice(0, 8);
}

function mark(head: string, old?: string): string {
  if (old === undefined) return `${head} # added by node-ca-trust ${digestOf(head, '')}`;
  const was = JSON.stringify(old);
  return `${head} # changed by node-ca-trust ${digestOf(head, was)}, was ${was}`;
}

/** A line of ours; undefined when it is another's, or another has altered it. */
function readMark(line: string): { readonly head: string; readonly was: string } | undefined {
  const [, head = '', digest, was = ''] = marked.exec(line) ?? [];
  return digest !== undefined && digest === digestOf(head, was) ? { head, was } : undefined;
}

/** What is left of a line; undefined when it was ours. Below it is what is left of the others, from the last one up. */
function unmark(line: string, below: readonly string[]): string | undefined {
  const mine = readMark(line);
  if (mine === undefined) return line;
  if (mine.was !== '') return String(JSON.parse(mine.was)) + (line.endsWith('\r') ? '\r' : '');
  // A header that we gave a host has to stay once the user has put keys below it.
  const next = below.findLast((each) => /^[ \t]*[^\s#]/.test(each)) ?? '[';
  return isHeader.test(mine.head) && !isHeader.test(next) ? line : undefined;
}

/**
 * Takes every line of ours out of a hosts.toml, or back to what it was, and leaves the rest alone. No ledger is needed:
 * a marker holds a digest of its line, and the line that it replaced. A line that bears our marker but was altered
 * belongs to whoever altered it: it stays, our path in it, since to take it back would take more than we put there.
 * @param text decoded as UTF-8 or byte by byte, as addTrust was given it; it need not be valid
 */
export function removeTrust(text: string): string {
  const [bom] = byteOrderMark.exec(text) ?? [''];
  const lines = text.slice(bom.length).split('\n');
  const kept: string[] = [];
  for (const line of lines.toReversed()) {
    const rest = unmark(line, kept);
    if (rest !== undefined) kept.push(rest);
  }
  const left = kept.toReversed().join('\n');
  // A last line without a line end takes the one before it along, all of it.
  return bom + (kept[0] === lines.at(-1) ? left : left.replace(/\r$/, ''));
}

function nameOf([, url]: readonly string[]): string {
  return url === undefined ? 'the top level' : `[host.${JSON.stringify(url)}]`;
}

/** The top level and every host. @throws Refusal when containerd refuses what is in them */
function placesIn(data: Table): readonly Place[] {
  const { server = '', host = {} } = data;
  if (typeof server !== 'string') throw new Refusal('"server" must be a string; correct it', false);
  if (!isTable(host)) throw new Refusal('"host" must be a table; correct it', false);
  const hosts = Object.entries(host).map(([url, table]) => ({ path: ['host', url], table }));
  return [{ path: [], table: data }, ...hosts].map(({ path, table }) => {
    if (!isTable(table)) throw new Refusal(`${nameOf(path)} must be a table; correct it`, false);
    const key = shape.safeParse(table).error?.issues[0]?.path[0];
    if (key === undefined) return { path, table };
    throw new Refusal(`"${String(key)}" in ${nameOf(path)} is nothing that containerd takes; correct it`, false);
  });
}

function needsTrust({ path: [, url], table }: Place): boolean {
  return table['skip_verify'] !== true && !(url ?? String(table['server'])).startsWith('http:');
}

/** What `ca` has to be: the user's own files first. */
function trusted(own: unknown, ca: string): unknown {
  if (own === undefined) return ca;
  const files: readonly unknown[] = [own].flat();
  return files.includes(ca) ? own : [...files, ca];
}

/** Go's readers take `CA` for `ca`, and where both are there one of them, each reader another one. */
function requireSpelling({ path, table }: Place): void {
  const known = ['ca', 'server', 'skip_verify'];
  const odd = Object.keys(table).find((key) => known.includes(key.toLowerCase()) && !known.includes(key));
  if (odd !== undefined) throw new Refusal(`write "${odd}" in ${nameOf(path)} in small letters`, true);
}

/** Adds the file to the value of a `ca`, in the line where that ends, so that comments among its strings stay. */
function extend(text: string, { value }: Key, ca: string): Edit {
  const [before, last] = [value.at(-2)?.text, value.at(-1)];
  if (last === undefined || last.text.includes('\n')) throw new Refusal('write each "ca" in one line', true);
  const from = text.lastIndexOf('\n', last.at) + 1;
  const [old] = /^[^\r\n]*/.exec(text.slice(from)) ?? [''];
  const comma = before === '[' || before === ',' ? '' : ', ';
  const files = last.text === ']' ? `${comma}${JSON.stringify(ca)}]` : `[${last.text}, ${JSON.stringify(ca)}]`;
  const head = text.slice(from, last.at) + files + old.slice(last.at - from + last.text.length);
  return { from, to: from + old.length, text: mark(head, old) };
}

/** New lines at the beginning of a line, or after a last one that has no end. */
function insert(text: string, at: number, heads: readonly string[]): Edit {
  const [end] = /\r?\n/.exec(text) ?? ['\n'];
  const isLineStart = at === 0 || text[at - 1] === '\n';
  const lines = heads.map((head) => (isLineStart ? mark(head) + end : end + mark(head)));
  return { from: at, to: at, text: lines.join('') };
}

/** A host that only its sub-tables imply gets a table of its own, right above them: the order of hosts means something. */
function define(text: string, sections: readonly Section[], path: readonly string[], line: string): Edit {
  const below = sections.find((each) => isDeepStrictEqual(each.path.slice(0, 2), path));
  // The names as the user wrote them: go-toml 1, which decodes no escape in a header, has to take them for the same.
  const header = /^([ \t]*)\[{1,2}((?:[ \t.]*(?:"(?:\\.|[^"\\])*"|'[^']*'|[\w-]+)){2})/;
  const [, indent = '', name] = header.exec(text.slice(below?.start)) ?? [];
  if (below === undefined || name === undefined) throw new Refusal(`give ${nameOf(path)} a table of its own`, true);
  return insert(text, below.start, [`${indent}[${name}]`, indent + line]);
}

function editFor(text: string, sections: readonly Section[], { path }: Place, ca: string): Edit {
  const line = `ca = ${JSON.stringify(ca)}`;
  const section = sections.find((each) => isDeepStrictEqual(each.path, path));
  if (section === undefined) return define(text, sections, path, line);
  const own = section.keys.find((key) => isDeepStrictEqual(key.path, ['ca']));
  if (own !== undefined) return extend(text, own, ca);
  // Never above the comments that a file begins with: k3s knows those that it made by the first line.
  const above = section.keys.at(-1) ?? section;
  const [indent] = /^[ \t]*/.exec(text.slice(above.start)) ?? [''];
  return insert(text, above.end, [indent + line]);
}

/** The text with the trust, held against the law. @throws TomlError when it would be valid no longer */
function edit(text: string, data: Table, ca: string): string {
  const places = placesIn(data).filter((each) => needsTrust(each));
  const lacking = places.filter(({ table: { ca: own } }) => trusted(own, ca) !== own);
  lacking.forEach(requireSpelling);
  const sections = sectionsOf(text);
  const edits = lacking.map((place) => editFor(text, sections, place, ca)).sort((a, b) => a.from - b.from);
  const parts = edits.map(({ from, text: part }, index) => text.slice(edits[index - 1]?.to ?? 0, from) + part);
  const result = parts.join('') + text.slice(edits.at(-1)?.to ?? 0);
  for (const { table } of lacking) table['ca'] = trusted(table['ca'], ca);
  if (removeTrust(result) === text && isDeepStrictEqual(parse(result), data)) return result;
  throw new Refusal(unsafe, true);
}

function read(text: string): Table {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [, reason = ''] = /^Invalid TOML document: (.*)/.exec(error.message) ?? [];
    throw new Refusal(`it is no TOML at line ${error.line}, column ${error.column} (${reason}); correct it`, false);
  }
}

/**
 * Gives every host of a hosts.toml that needs it the trust of a CA file; nothing else in it changes, by not one byte, and
 * a text that has all of it comes back as it is. The law is checked before anything is returned: removeTrust gives back
 * what was there, and the parser sees no difference but the trust.
 * @param text decoded as UTF-8 or byte by byte
 * @param ca an absolute path in ASCII, of a file that outlives the trust: see removeTrust
 */
export function addTrust(text: string, ca: string): HostsTrust {
  // With our lines it is a few times as long.
  const original = text.length > 16 * mostCharacters ? text : removeTrust(text);
  if (original.length > mostCharacters) {
    return { kind: 'problem', problem: `it is longer than ${mostCharacters} bytes; shorten it`, parses: true };
  }
  const [bom] = byteOrderMark.exec(original) ?? [''];
  const plain = original.slice(bom.length);
  try {
    const data = read(plain);
    const readByAll = bom === '' && data['host'] !== undefined;
    return { kind: 'trust', text: bom + (original === '' ? '' : edit(plain, data, ca)), readByAll };
  } catch (error) {
    // RangeError: nested so deep that nobody can look into it.
    if (error instanceof TomlError || error instanceof RangeError)
      return { kind: 'problem', problem: unsafe, parses: true };
    if (!(error instanceof Refusal)) throw error;
    return { kind: 'problem', problem: error.message, parses: error.parses };
  }
}
