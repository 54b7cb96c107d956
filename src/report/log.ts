/**
 * The log: one line of JSON per pass that changed or failed something, and quiet otherwise.
 */
import { type DestinationStream, type Logger, pino } from 'pino';
import { type PassResult, hasChanged } from './report.ts';

export type { Logger };

/** Opens the log of one agent. */
export function openLog(level: string, instance: string, destination: DestinationStream): Logger {
  const options = {
    level,
    base: { instance },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, destination);
}

/** The reason says how many there are; a line that holds thousands is cut to pieces by who collects the log. */
const mostFindings = 50;

/** What a reader of the log is told once: the same failure again and again is one line. */
function gist(result: PassResult): string {
  const runtimes = result.runtimes.map(({ name, pid, state, message }) => [name, pid, state, message]);
  const { converged, digest, reasons, notes, findings, probes, runtimesUnseen } = result;
  return JSON.stringify([converged, digest, reasons, notes, findings, probes, runtimes, runtimesUnseen]);
}

/** Logs passes, leaving out those that changed nothing and failed no other way than the one before. */
export function openPassLog(log: Logger): (result: PassResult) => void {
  let before = '';
  return (result) => {
    const now = gist(result);
    const news = now !== before;
    before = now;
    if (!hasChanged(result) && !news) return;
    const { converged, digest, added, repaired, removed, heldBack, stillTrusted, refreshed } = result;
    const { runtimes, runtimesUnseen, edits, probes, notes, reasons, milliseconds } = result;
    const fields = {
      digest,
      anchors: result.anchors.length,
      ...{ added, repaired, removed, heldBack, stillTrusted, refreshed },
      ...{ runtimes, runtimesUnseen, edits, probes },
      findings: result.findings.slice(0, mostFindings),
      notes,
      reasons,
      milliseconds,
    };
    if (converged) log.info(fields, 'the host trusts the bundle');
    else log.error(fields, `not converged: ${reasons[0] ?? 'unknown'}`);
  };
}
