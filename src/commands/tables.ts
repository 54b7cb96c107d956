/**
 * Tables for people: coloured on a terminal, tab-separated when piped.
 */
import { styleText } from 'node:util';
import Table from 'cli-table3';
import { printable } from '../bundle/text.ts';
import type { Anchor, Bundle, Finding } from '../bundle/types.ts';
import type { Report, RuntimeState } from '../report/report.ts';
import type { OutputStream } from './config.ts';

/** Longer than any line that was meant to be read. */
const lineLimit = 2_000;

type Style = 'red' | 'yellow' | 'green' | 'dim' | 'bold';

/** Colours a text for this stream: none when it is piped, or NO_COLOR is set (https://no-color.org). */
function paint(stream: OutputStream, style: Style, text: string): string {
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

interface Cell {
  readonly text: string;
  readonly style?: Style;
}

/** Rows under a heading. On a terminal aligned within its width, else one line each, fields separated by tabs. */
function rows(stream: OutputStream, head: readonly string[], body: readonly (readonly Cell[])[]): string {
  const clean = body.map((row) => row.map((cell): Cell => ({ ...cell, text: printable(cell.text, lineLimit) })));
  const plain = [head, ...clean.map((row) => row.map(({ text }) => text))];
  if (stream.isTTY !== true) return plain.map((row) => `${row.join('\t')}\n`).join('');
  const natural = head.map((_, column) => Math.max(...plain.map((row) => row[column]?.length ?? 0)));
  const widths = fit(natural, stream.columns ?? 80);
  const edges = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'];
  const inner = ['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'];
  const table = new Table({
    head: head.map((text) => paint(stream, 'bold', text)),
    chars: { ...Object.fromEntries([...edges, ...inner].map((name) => [name, ''])), middle: gap },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colWidths: widths,
    wordWrap: true,
  });
  const cellText = ({ text, style }: Cell, column: number): string => {
    const broken = breakWords(text, widths[column] ?? text.length);
    return style === undefined ? broken : paint(stream, style, broken);
  };
  table.push(...clean.map((row) => row.map(cellText)));
  return `${table.toString()}\n`;
}

function daysLeft(anchor: Anchor, now: Date): string {
  const days = Math.floor((Date.parse(anchor.notAfter) - now.getTime()) / 86_400_000);
  return days < 0 ? `expired ${-days} d ago` : `${days} d`;
}

const severityStyle: Readonly<Record<Finding['severity'], Style>> = { error: 'red', warning: 'yellow', info: 'dim' };

function placeOf({ source, index }: Finding): string {
  return index === undefined ? source : `${source}[${index}]`;
}

/** What the rules say of an anchor: that it is one, and the warning at the places that carry it. */
function verdictOn(anchor: Anchor, findings: readonly Finding[]): Cell {
  const places = new Set(anchor.carriers);
  const warning = findings.find(
    ({ severity, source, index }) => severity === 'warning' && places.has(`${source}#${index ?? ''}`),
  );
  return warning === undefined
    ? { text: 'anchor', style: 'green' }
    : { text: `anchor (${warning.code})`, style: 'yellow' };
}

function findingRows(stream: OutputStream, findings: readonly Finding[]): string {
  if (findings.length === 0) return '';
  const body = findings.map((finding): Cell[] => [
    { text: finding.severity, style: severityStyle[finding.severity] },
    { text: finding.code },
    { text: placeOf(finding) },
    { text: finding.message },
  ]);
  return `\n${rows(stream, ['SEVERITY', 'FINDING', 'WHERE', 'MESSAGE'], body)}`;
}

/** A number and its noun. */
function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** A bundle as `check` shows it: its anchors, its findings, and one line that sums them up. */
export function bundleTable(bundle: Bundle, stream: OutputStream, now: Date): string {
  const body = bundle.anchors.map((anchor): Cell[] => [
    { text: anchor.subject },
    { text: anchor.fingerprint.slice(0, 16) },
    { text: daysLeft(anchor, now) },
    { text: anchor.key },
    verdictOn(anchor, bundle.findings),
  ]);
  const anchors = rows(stream, ['SUBJECT', 'FINGERPRINT', 'EXPIRES', 'KEY', 'VERDICT'], body);
  const errors = bundle.findings.filter(({ severity }) => severity === 'error').length;
  const sum = errors === 0 ? paint(stream, 'green', 'no errors') : paint(stream, 'red', count(errors, 'error'));
  return `${anchors}${findingRows(stream, bundle.findings)}\n${count(bundle.anchors.length, 'anchor')}, ${sum}, digest ${bundle.digest}\n`;
}

/** One line each, whatever a host's hooks print or its files are called. */
function lines(title: string, list: readonly string[]): string {
  return list.map((text) => `${title}\t${printable(text, lineLimit)}\n`).join('');
}

/** What a dry run comes to: what would be done is listed above it. */
function dryRunLine(report: Report): string {
  const refused = report.findings.some(({ severity }) => severity === 'error') || report.store === undefined;
  const reason = refused ? report.reasons.at(-1) : undefined;
  return `dry run, nothing was changed${reason === undefined ? '' : `; not converged: ${printable(reason, lineLimit)}`}\n`;
}

function verdictLine(report: Report, stream: OutputStream): string {
  const [reason, ...more] = report.reasons;
  if (report.converged) {
    const trusted = report.anchors.length === 0 ? 'nothing of this instance' : 'the bundle';
    return `${paint(stream, 'green', 'converged')}: the host is proven to trust ${trusted}\n`;
  }
  const rest = more.map((text) => `  ${printable(text, lineLimit)}\n`).join('');
  return `${paint(stream, 'red', 'not converged')}: ${printable(reason ?? 'unknown', lineLimit)}\n${rest}`;
}

/** A runtime, and what its admin would run. */
function runtimeLine({ name, version, state, message, command }: RuntimeState, stream: OutputStream): string {
  const style = state === 'trusts' ? 'green' : state === 'revoked-after-restart' ? 'yellow' : 'red';
  const what = [name, version].filter((word) => word !== undefined).join(' ');
  const run = command === undefined ? '' : `; ${command}`;
  return `pulls\t${printable(what)}: ${paint(stream, style, state)}: ${printable(`${message}${run}`, lineLimit)}\n`;
}

function probeLine({ address, verified, message }: Report['probes'][number], stream: OutputStream): string {
  const said = verified
    ? paint(stream, 'green', 'verified')
    : paint(stream, 'red', `not verified: ${printable(message)}`);
  return `probe\t${address}: ${said}\n`;
}

/** A pass as `apply` and `remove` show it. */
export function reportTable(report: Report, stream: OutputStream): string {
  const store = report.store === undefined ? '' : `store\t${report.store.family}, ${report.store.bundle}\n`;
  const changes = [
    lines('add', report.added),
    lines('repair', report.repaired),
    lines('remove', report.removed),
    lines('held back', report.heldBack),
    lines('refresh', report.refreshed),
    lines('edit', report.edits),
    lines(
      'still trusted',
      report.stillTrusted.map(({ fingerprint, file }) => `${fingerprint}: ${file} carries it`),
    ),
    ...report.runtimes.map((runtime) => runtimeLine(runtime, stream)),
    ...report.probes.map((probe) => probeLine(probe, stream)),
    lines('note', report.notes),
  ].join('');
  // What removes all has no bundle to tell of.
  const sum = report.anchors.length === 0 ? '' : `digest\t${report.digest}\nanchors\t${report.anchors.length}\n`;
  return `${store}${sum}${changes}${findingRows(stream, report.findings)}${report.dryRun ? dryRunLine(report) : verdictLine(report, stream)}`;
}
