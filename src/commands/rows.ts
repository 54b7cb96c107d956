/**
 * Rows for people: coloured and aligned on a terminal, tab-separated when piped.
 */
import { styleText } from 'node:util';
import Table from 'cli-table3';
import { printable } from '../bundle/text.ts';
import type { OutputStream } from './config.ts';
import { lineLimit } from './say.ts';

export type Style = 'red' | 'yellow' | 'green' | 'dim' | 'bold';

/** Colours a text for this stream: none when it is piped, or NO_COLOR is set (https://no-color.org). */
export function paint(stream: OutputStream, style: Style, text: string): string {
  const colours = stream.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
  return colours ? styleText(style, text, { validateStream: false }) : text;
}

const gap = '  ';
const narrowest = 8;

/** The widths of columns that fit side by side into a terminal: the widest give way first. */
function fit(widths: readonly number[], total: number): number[] {
  const fitted = [...widths];
  const excess = (): number => fitted.reduce((sum, width) => sum + width + gap.length, -gap.length) - total;
  for (let widest = Math.max(...fitted); excess() > 0 && widest > narrowest; widest = Math.max(...fitted)) {
    fitted[fitted.indexOf(widest)] = Math.max(widest - excess(), narrowest, secondWidest(fitted, widest) - 1);
  }
  return fitted;
}

function secondWidest(widths: readonly number[], widest: number): number {
  return Math.max(...widths.filter((width) => width !== widest), narrowest);
}

/** Breaks words that are longer than their column, such as paths, so that no end of them is lost. */
function breakWords(text: string, width: number): string {
  return text.replace(new RegExp(`[^\\s]{${width}}(?=[^\\s])`, 'g'), '$&\n');
}

export interface Cell {
  readonly text: string;
  readonly style?: Style;
}

const edges = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'];
const inner = ['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'];

/** One row, over several lines where a text does not fit its column or is of other than narrow letters. */
function align(stream: OutputStream, row: readonly Cell[], widths: readonly number[]): string {
  const painted = ({ text, style }: Cell, shown = text): string =>
    style === undefined ? shown : paint(stream, style, shown);
  const widthOf = (column: number): number => widths[column] ?? 0;
  // Most rows are like this; the table takes ten times as long, and the square of it for many rows at once.
  if (row.every(({ text }, column) => text.length <= widthOf(column) && /^[ -~]*$/.test(text)))
    return row.map((cell, column) => painted(cell) + ' '.repeat(widthOf(column) - cell.text.length)).join(gap);
  const table = new Table({
    chars: { ...Object.fromEntries([...edges, ...inner].map((name) => [name, ''])), middle: gap },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colWidths: [...widths],
    wordWrap: true,
  });
  table.push(row.map((cell, column) => painted(cell, breakWords(cell.text, widthOf(column)))));
  return table.toString();
}

/** Rows under a heading. On a terminal aligned within its width, else one line each, fields separated by tabs. */
export function rows(stream: OutputStream, head: readonly string[], body: readonly (readonly Cell[])[]): string {
  const clean = body.map((row) => row.map((cell): Cell => ({ ...cell, text: printable(cell.text, lineLimit) })));
  const plain = [head, ...clean.map((row) => row.map(({ text }) => text))];
  if (stream.isTTY !== true) return plain.map((row) => `${row.join('\t')}\n`).join('');
  const natural = head.map((_, column) => Math.max(...plain.map((row) => row[column]?.length ?? 0)));
  const widths = fit(natural, stream.columns ?? 80);
  const titles = head.map((text): Cell => ({ text, style: 'bold' }));
  return [titles, ...clean].map((row) => `${align(stream, row, widths)}\n`).join('');
}

/** A number and its noun. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** How long until an anchor expires. @param notAfter ISO 8601 */
export function daysLeft(notAfter: string, now: Date): string {
  const days = Math.floor((Date.parse(notAfter) - now.getTime()) / 86_400_000);
  return days < 0 ? `expired ${-days} d ago` : `${days} d`;
}
