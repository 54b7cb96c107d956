// What the bench says: lines of one table, some with a bound.
import type { Ratio } from './measure.ts';

export interface Bound {
  /** The figure, or its ratio to what stands beside it, may be so large at most. */
  readonly of: 'figure' | 'ratio';
  readonly max: number;
  /**
   * Whether to be beyond it makes the bench fail. Not so for absolute times, which say as much about the machine as
   * about the program.
   */
  readonly counts: boolean;
}

export interface Line {
  readonly what: string;
  /** NaN when it could not be taken here. */
  readonly ours: number;
  /** What is said then. */
  readonly instead?: string;
  readonly unit: 's' | 'ms' | 'MiB' | '' | '/min' | 's/h';
  /** What it is held against. */
  readonly beside?: { readonly what: string; readonly figure: number };
  /** Ours to the other's, from pairs where there are any. */
  readonly ratio?: Ratio;
  readonly bound?: Bound;
}

/** A line whose ratio is simply that of its two figures. */
export function compared(line: Line & { readonly beside: NonNullable<Line['beside']> }): Line {
  const value = line.ours / line.beside.figure;
  return { ...line, ratio: { value, low: value, high: value } };
}

export interface Verdict {
  readonly text: string;
  /** The bench fails by it. */
  readonly fails: boolean;
  /** What it is about must never be, however busy the machine is. */
  readonly isNever: boolean;
}

function figureText(figure: number, unit: Line['unit']): string {
  const text = figure >= 100 || Number.isInteger(figure) ? figure.toFixed(0) : figure.toFixed(1);
  return `${text}${unit.startsWith('/') || unit === '' ? unit : ` ${unit}`}`;
}

function ratioText({ value, low, high }: Ratio): string {
  const range = low === high || high === Number.POSITIVE_INFINITY ? '' : ` (${low.toFixed(2)} to ${high.toFixed(2)})`;
  return `${value.toFixed(2)}x${range}`;
}

function boundText({ bound, unit }: Line): string {
  if (bound === undefined) return '';
  return bound.of === 'ratio' ? `${bound.max.toFixed(2)}x` : figureText(bound.max, unit);
}

/** Lines as a table in Markdown, its columns aligned for those who read it as text. */
export function table(lines: readonly Line[]): string {
  const head = ['measured', 'node-ca-trust', 'beside it', 'ratio', 'at most'];
  const rows = lines.map((line) => [
    line.what,
    line.instead ?? figureText(line.ours, line.unit),
    line.beside === undefined ? '' : `${figureText(line.beside.figure, line.unit)} ${line.beside.what}`,
    line.ratio === undefined ? '' : ratioText(line.ratio),
    boundText(line),
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const join = (cells: readonly string[], fill = ' '): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0, fill)).join(' | ')} |`;
  return [
    join(head),
    join(
      head.map(() => ''),
      '-',
    ),
    ...rows.map((row) => join(row)),
  ].join('\n');
}

function verdict(line: Line, bound: Bound): Verdict {
  const figure = bound.of === 'ratio' ? (line.ratio?.value ?? Number.NaN) : line.ours;
  const met = figure <= bound.max;
  const seen = bound.of === 'ratio' && line.ratio !== undefined ? ratioText(line.ratio) : figureText(figure, line.unit);
  // Beyond the bound by the median alone may be noise; so counts only what is beyond it with 95 % certainty.
  const certain = bound.of === 'figure' || (line.ratio?.low ?? figure) > bound.max;
  const fails = !met && bound.counts && certain;
  const why = met || fails ? '' : bound.counts ? ' (not beyond noise)' : ' (not counted: depends on the machine)';
  const text = `${met ? 'PASS' : 'FAIL'} ${line.what}: ${seen}, at most ${boundText(line)}${why}`;
  // What a process needs of memory is the same on a busy machine.
  return { text, fails, isNever: bound.max === 0 || (bound.counts && line.unit === 'MiB') };
}

/** One verdict for each line with a bound. */
export function verdicts(lines: readonly Line[]): readonly Verdict[] {
  return lines.flatMap((line) => (line.bound === undefined ? [] : [verdict(line, line.bound)]));
}
