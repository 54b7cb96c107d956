/**
 * Who trusts what, as a person reads it.
 */
import type { OutputStream } from './config.ts';
import { type Cell, type Style, count, daysLeft, paint, rows } from './rows.ts';
import type { ClusterStatus, StatusLine } from './status-lines.ts';

/** As much of a digest as tells bundles apart. */
const shortDigest = 12;
/** As many characters of a reason as a terminal can show beside the rest. */
const shortReason = 160;
const soonDays = 30;
/** Clocks that differ by less agree. */
const skewMs = 120_000;

/** A time span in its largest unit that leaves two digits, as kubectl prints it. @param ms milliseconds */
function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

const styled = (text: string, style: Style | undefined): Cell => (style === undefined ? { text } : { text, style });

function expiryCell({ expires }: StatusLine, now: Date): Cell {
  if (expires === undefined) return { text: '-' };
  const text = daysLeft(expires, now);
  if (text.startsWith('expired')) return { text, style: 'red' };
  return styled(text, Number.parseInt(text, 10) < soonDays ? 'yellow' : undefined);
}

const runtimeStyles: Readonly<Record<string, Style>> = { trusts: 'green', 'revoked-after-restart': 'yellow' };

function runtimeCell({ runtime }: StatusLine): Cell {
  return runtime === undefined ? { text: '-' } : { text: runtime, style: runtimeStyles[runtime] ?? 'red' };
}

function readyCell({ enabled, ready }: StatusLine): Cell {
  if (!enabled) return { text: 'leftover', style: 'yellow' };
  return ready ? { text: 'yes', style: 'green' } : { text: 'no', style: 'red' };
}

function reasonOf({ reason, provenAt }: StatusLine, now: Date): string {
  const ahead = provenAt === undefined ? 0 : Date.parse(provenAt) - now.getTime();
  return reason ?? (ahead > skewMs ? `its clock is ahead of this machine's by ${span(ahead)}` : '');
}

/** The cells that every table has, but for the reason. */
function cellsOf(line: StatusLine, now: Date): Cell[] {
  const digest = line.digest?.slice(0, shortDigest) ?? '-';
  const age = line.provenAt === undefined ? '-' : span(now.getTime() - Date.parse(line.provenAt));
  return [
    { text: line.node },
    readyCell(line),
    { text: String(line.anchors ?? '-') },
    styled(digest, line.proven ? 'green' : line.enabled ? 'red' : undefined),
    expiryCell(line, now),
    runtimeCell(line),
    { text: age },
  ];
}

function wideCells({ version, pod }: StatusLine): Cell[] {
  const name = pod === undefined ? '-' : `${pod.namespace}/${pod.name}`;
  return [{ text: version ?? '-' }, { text: name }, { text: String(pod?.restarts ?? '-') }];
}

/** One line that sums the cluster up. */
export function summaryOf({ digest, enabled, proven, leftovers, nodes }: ClusterStatus): string {
  const broken = nodes.filter((line) => line.enabled && !line.ready).length;
  const notReady = broken === 0 ? '' : `; ${broken} not ready`;
  const left = leftovers === 0 ? '' : `; ${count(leftovers, 'leftover')}`;
  if (enabled === 0) return `no node bears the label${left}`;
  const what = digest === undefined ? 'a bundle' : digest.slice(0, shortDigest);
  return `${proven} of ${count(enabled, 'node')} ${enabled === 1 ? 'has' : 'have'} proven ${what}${notReady}${left}`;
}

/**
 * The table with its summary.
 * @param height lines that there is room for; what does not fit is counted
 */
export function statusTable(
  status: ClusterStatus,
  stream: OutputStream,
  now: Date,
  { isWide, height }: { isWide: boolean; height?: number | undefined },
): string {
  const limit = stream.isTTY === true && !isWide ? shortReason : undefined;
  const shown = height === undefined ? status.nodes : status.nodes.slice(0, Math.max(1, height));
  const body = shown.map((line) => [
    ...cellsOf(line, now),
    ...(isWide ? wideCells(line) : []),
    { text: reasonOf(line, now).slice(0, limit) },
  ]);
  const head = ['NODE', 'READY', 'ANCHORS', 'DIGEST', 'EXPIRES', 'RUNTIME', 'AGE'];
  const table = rows(stream, [...head, ...(isWide ? ['VERSION', 'POD', 'RESTARTS'] : []), 'REASON'], body);
  const summary = `${paint(stream, status.converged ? 'green' : 'red', summaryOf(status))}\n`;
  if (status.nodes.length === 0) return summary;
  return `${height === undefined ? table : cut(table, height - 3)}\n${summary}`;
}

/** The first lines; the last of them says that there are more. */
function cut(table: string, height: number): string {
  const lines = table.trimEnd().split('\n');
  if (lines.length <= height) return table;
  return `${lines.slice(0, Math.max(1, height - 1)).join('\n')}\n... (more below)\n`;
}
