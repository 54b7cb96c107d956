// How the demo speaks: a headline per step, commands in one style, what they say indented and shortened. Colours only
// on a terminal (styleText looks at the stream and at NO_COLOR).
import { styleText } from 'node:util';

/** What a step expected and what came instead. */
export class Failure extends Error {
  readonly expected: string;
  readonly came: string;

  constructor(expected: string, came: string) {
    super(`expected ${expected}, came ${came}`);
    this.expected = expected;
    this.came = came;
  }
}

/** Throws a Failure unless it is as expected. */
export function expect(expected: string, isSo: boolean, came: string): void {
  if (!isSo) throw new Failure(expected, came);
}

const width = process.stdout.isTTY ? process.stdout.columns : 120;
const names: (readonly [path: string, name: string])[] = [];
let steps = 0;

/** A line under the title. */
export function note(name: string, text: string): void {
  line(`  ${name.padEnd(9)}${styleText('dim', cut(text, 11))}`);
}

/** From now on a long path is printed by its name. */
export function nameIt(name: string, path: string): void {
  note(name, path);
  names.push([path, name]);
}

/** How many steps there were. */
export function stepsTaken(): number {
  return steps;
}

export function title(text: string): void {
  line(styleText('bold', text));
}

export function step(text: string): void {
  steps += 1;
  line(`\n${styleText(['bold', 'cyan'], `${steps}  ${text}`)}`);
}

/** A command line, never cut: it can be read as it was run. */
export function command(...words: readonly string[]): void {
  line(`   ${styleText('yellow', '$')} ${shorten(words.join(' '))}`);
}

/** Something done that is no command. */
export function action(text: string): void {
  line(`   ${styleText('yellow', '»')} ${shorten(text)}`);
}

/** What a command, a log or a probe said; of long output only the first lines. */
export function output(text: string, most = 4): void {
  const said = shorten(text).replaceAll('\t', '  ').trimEnd().split('\n').filter(Boolean);
  for (const each of said.slice(0, most)) line(styleText('dim', `     ${cut(each, 5)}`));
  if (said.length > most) line(styleText('dim', `     … ${said.length - most} more lines`));
}

/** What a step has shown. */
export function shown(text: string): void {
  line(`   ${styleText('green', '✓')} ${text}`);
}

export function failed(error: unknown): void {
  const [first, ...more]: readonly [string, ...string[]] =
    error instanceof Failure
      ? [`expected: ${error.expected}`, ...`came:     ${error.came.trim()}`.split('\n')]
      : [error instanceof Error ? (error.stack ?? error.message) : String(error)];
  line(`   ${styleText('red', `✗ ${shorten(first)}`)}`);
  for (const each of more) line(styleText('red', `     ${shorten(each)}`));
}

function shorten(text: string): string {
  return names.reduce((so, [path, name]) => so.replaceAll(path, name), text);
}

function cut(text: string, indent: number): string {
  const room = width - indent;
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}

function line(text: string): void {
  process.stdout.write(`${text}\n`);
}
