/**
 * Where the tables and keys of a TOML text stand. The parser says what a text means, not where; an edit that leaves
 * every other byte alone needs both. Only for texts that the parser has taken.
 */
import { parse } from 'smol-toml';

/** A string, punctuation, or a run of anything else; no blanks, no comments. */
interface Token {
  readonly at: number;
  readonly text: string;
}

/** A key with its value, or the header of a table, with the lines that they take. Offsets count UTF-16 units. */
interface Statement {
  readonly start: number;
  /** Where the next line begins. */
  readonly end: number;
  /** The names before the `=`, or all those of the table, without quotes and escapes. */
  readonly path: readonly string[];
}

export interface Key extends Statement {
  readonly value: readonly Token[];
}

/** A table that has a header, and its keys; or the top level, whose path is empty and whose header the first comments. */
export interface Section extends Statement {
  readonly keys: Key[];
}

const tokens =
  /"""(?:\\[^]|[^\\])*?"{3,5}|'''[^]*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*|\n|[[\]{},=]|[ \t\r]+|[^\s"'#[\]{},=]+/g;

/** Whether a parsed value is a table, be it inline or not. */
export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** The names on the way to what is innermost in a single statement. */
function pathOf(statement: string): readonly string[] {
  const path: string[] = [];
  let value: unknown = parse(statement);
  while (isTable(value)) {
    const [entry] = Object.entries(value);
    if (entry === undefined) break;
    path.push(entry[0]);
    value = entry[1];
  }
  return path;
}

/** The tokens of each statement, and where its first line begins and the line after it. */
function* statementsOf(text: string): Generator<{ start: number; end: number; found: readonly [Token, ...Token[]] }> {
  let found: Token[] = [];
  let [start, depth] = [0, 0];
  // A line end of our own ends the last statement.
  for (const { 0: token, index: at } of `${text}\n`.matchAll(tokens)) {
    if (/^[[{]$/.test(token)) depth += 1;
    if (/^[\]}]$/.test(token)) depth -= 1;
    if (!/^[\s#]/.test(token)) found.push({ at, text: token });
    if (token !== '\n' || depth > 0) continue;
    const [first, ...rest] = found;
    const end = Math.min(at + 1, text.length);
    if (first !== undefined) yield { start, end, found: [first, ...rest] };
    [found, start] = [[], end];
  }
}

/** The tables of a valid TOML text without byte order mark, in their order, the top level first. */
export function sectionsOf(text: string): readonly Section[] {
  const comments = /^(?:[ \t]*#[^\n]*(?:\n|$))*/.exec(text)?.[0].length ?? 0;
  let section: Section = { start: 0, end: comments, path: [], keys: [] };
  const sections = [section];
  for (const { start, end, found } of statementsOf(text)) {
    const equals = found.findIndex((token) => token.text === '=');
    if (found[0].text === '[') {
      section = { start, end, path: pathOf(text.slice(start, end)), keys: [] };
      sections.push(section);
    } else {
      const path = pathOf(`${text.slice(start, found[equals]?.at)}= 0`);
      section.keys.push({ start, end, path, value: found.slice(equals + 1) });
    }
  }
  return sections;
}
