/**
 * Tables for people: coloured on a terminal, tab-separated when piped.
 */
import { styleText } from 'node:util';
import Table from 'cli-table3';
import type { Anchor, Bundle, Finding } from '../bundle/types.ts';
import type { Report } from '../reconcile.ts';
import type { OutputStream } from './config.ts';

type Style = 'red' | 'yellow' | 'green' | 'dim' | 'bold';

/** Colours a text for this stream: none when it is piped, or NO_COLOR is set. */
function paint(stream: OutputStream, style: Style, text: string): string {
  return stream.isTTY === true ? styleText(style, text, { validateStream: false }) : text;
}

/** Rows under a heading. On a terminal aligned and cut to its width, else one line each, fields separated by tabs. */
function rows(stream: OutputStream, head: readonly string[], body: readonly (readonly string[])[]): string {
  if (stream.isTTY !== true) return [head, ...body].map((row) => `${row.join('\t')}\n`).join('');
  const none = Object.fromEntries(
    ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'].map((k) => [
      k,
      '',
    ]),
  );
  const inner = Object.fromEntries(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'].map((k) => [k, '']));
  const table = new Table({
    head: head.map((text) => paint(stream, 'bold', text)),
    chars: { ...none, ...inner, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    wordWrap: true,
  });
  table.push(...body.map((row) => [...row]));
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

/** What the rules say of an anchor: the warnings at the places that carry it, else that it is good. */
function verdictOn(stream: OutputStream, anchor: Anchor, findings: readonly Finding[]): string {
  const places = new Set(anchor.carriers);
  const warning = findings.find(
    ({ severity, source, index }) => severity === 'warning' && places.has(`${source}#${index ?? ''}`),
  );
  if (warning === undefined) return paint(stream, 'green', 'anchor');
  return `${paint(stream, 'green', 'anchor')} ${paint(stream, 'yellow', `(${warning.code})`)}`;
}

function findingRows(stream: OutputStream, findings: readonly Finding[]): string {
  if (findings.length === 0) return '';
  const body = findings.map((finding) => [
    paint(stream, severityStyle[finding.severity], finding.severity),
    finding.code,
    placeOf(finding),
    finding.message,
  ]);
  return `\n${rows(stream, ['SEVERITY', 'FINDING', 'WHERE', 'MESSAGE'], body)}`;
}

/** A number and its noun. */
function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** A bundle as `check` shows it: its anchors, its findings, and one line that sums them up. */
export function bundleTable(bundle: Bundle, stream: OutputStream, now: Date): string {
  const body = bundle.anchors.map((anchor) => [
    anchor.subject,
    anchor.fingerprint.slice(0, 16),
    daysLeft(anchor, now),
    anchor.key,
    verdictOn(stream, anchor, bundle.findings),
  ]);
  const anchors = rows(stream, ['SUBJECT', 'FINGERPRINT', 'EXPIRES', 'KEY', 'VERDICT'], body);
  const errors = bundle.findings.filter(({ severity }) => severity === 'error').length;
  const sum = errors === 0 ? paint(stream, 'green', 'no errors') : paint(stream, 'red', count(errors, 'error'));
  return `${anchors}${findingRows(stream, bundle.findings)}\n${count(bundle.anchors.length, 'anchor')}, ${sum}, digest ${bundle.digest}\n`;
}

function lines(title: string, list: readonly string[]): string {
  return list.map((text) => `${title}\t${text}\n`).join('');
}

function verdictLine(report: Report, stream: OutputStream): string {
  if (report.dryRun) return 'dry run: nothing was changed\n';
  const [reason, ...more] = report.reasons;
  if (report.converged) {
    const trusted = report.anchors.length === 0 ? 'nothing of this instance' : 'the bundle';
    return `${paint(stream, 'green', 'converged')}: the host is proven to trust ${trusted}\n`;
  }
  const rest = more.map((text) => `  ${text}\n`).join('');
  return `${paint(stream, 'red', 'not converged')}: ${reason ?? 'unknown'}\n${rest}`;
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
    lines(
      'still trusted',
      report.stillTrusted.map(({ fingerprint, file }) => `${fingerprint}: ${file} carries it`),
    ),
    lines('note', report.notes),
  ].join('');
  // What removes all has no bundle to tell of.
  const sum = report.anchors.length === 0 ? '' : `digest\t${report.digest}\nanchors\t${report.anchors.length}\n`;
  return `${store}${sum}${changes}${findingRows(stream, report.findings)}${verdictLine(report, stream)}`;
}
