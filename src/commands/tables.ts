/**
 * Tables for people: coloured on a terminal, tab-separated when piped.
 */
import { type Anchor, type Bundle, type Finding, hasErrors } from '../bundle/types.ts';
import type { Report, RuntimeState } from '../report/report.ts';
import type { OutputStream } from './config.ts';
import { type Cell, type Style, count, daysLeft, paint, rows } from './rows.ts';

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

/** A bundle as `check` shows it: its anchors, its findings, and one line that sums them up. */
export function bundleTable(bundle: Bundle, stream: OutputStream, now: Date): string {
  const body = bundle.anchors.map((anchor): Cell[] => [
    { text: anchor.subject },
    { text: anchor.fingerprint.slice(0, 16) },
    { text: daysLeft(anchor.notAfter, now) },
    { text: anchor.key },
    verdictOn(anchor, bundle.findings),
  ]);
  const anchors = rows(stream, ['SUBJECT', 'FINGERPRINT', 'EXPIRES', 'KEY', 'VERDICT'], body);
  const errors = bundle.findings.filter(({ severity }) => severity === 'error').length;
  const sum = errors === 0 ? paint(stream, 'green', 'no errors') : paint(stream, 'red', count(errors, 'error'));
  return `${anchors}${findingRows(stream, bundle.findings)}\n${count(bundle.anchors.length, 'anchor')}, ${sum}, digest ${bundle.digest}\n`;
}

/** One line each. */
function lines(title: string, list: readonly string[]): string {
  return list.map((text) => `${title}\t${text}\n`).join('');
}

/** What a dry run comes to: what would be done is listed above it. */
function dryRunLine(report: Report): string {
  const refused = hasErrors(report.findings) || report.store === undefined;
  const reason = refused ? report.reasons.at(-1) : undefined;
  return `dry run, nothing was changed${reason === undefined ? '' : `; not converged: ${reason}`}\n`;
}

function verdictLine(report: Report, stream: OutputStream): string {
  const [reason = 'unknown', ...more] = report.reasons;
  if (report.converged) {
    const trusted = report.anchors.length === 0 ? 'nothing of this instance' : 'the bundle';
    return `${paint(stream, 'green', 'converged')}: the host is proven to trust ${trusted}\n`;
  }
  const rest = more.map((text) => `  ${text}\n`).join('');
  return `${paint(stream, 'red', 'not converged')}: ${reason}\n${rest}`;
}

/** A runtime, and what its admin would run. */
function runtimeLine({ name, version, state, message, command }: RuntimeState, stream: OutputStream): string {
  const style = state === 'trusts' ? 'green' : state === 'revoked-after-restart' ? 'yellow' : 'red';
  const what = [name, version].filter((word) => word !== undefined).join(' ');
  const run = command === undefined ? '' : `; ${command}`;
  return `pulls\t${what}: ${paint(stream, style, state)}: ${message}${run}\n`;
}

function probeLine({ address, verified, message }: Report['probes'][number], stream: OutputStream): string {
  const said = verified ? paint(stream, 'green', 'verified') : paint(stream, 'red', `not verified: ${message}`);
  return `probe\t${address}: ${said}\n`;
}

/** A pass as `apply` and `remove` show it: the texts of a report are fit for a line (`printed`). */
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
