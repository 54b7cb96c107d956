/**
 * `apply` and `remove`: one pass, made now, told on standard output.
 */
import { existsSync } from 'node:fs';
import { type Reading, hasErrors } from '../bundle/types.ts';
import { openHost } from '../host/host.ts';
import { UsageProblem } from '../host/problem.ts';
import { type PassSettings, openReconciler } from '../reconcile.ts';
import type { Report } from '../report/report.ts';
import { readSource } from '../sources/directory.ts';
import { systemClock } from './clock.ts';
import { type ApplyConfig, type RemoveConfig, type Streams, exitCodes } from './config.ts';
import { showProgress } from './progress.ts';
import { say } from './say.ts';
import { removalOf, settingsOf } from './settings.ts';
import { reportTable } from './tables.ts';

/** Longer than any refresh takes; a person at a terminal is told what is waited for when it is over. */
const lockWaitMs = 120_000;

/** A dry run did its job when it could say what would change, and nothing would be refused. */
function exitCodeOf(report: Report): number {
  const refused = hasErrors(report.findings) || report.store === undefined;
  const good = report.dryRun ? !refused : report.converged;
  return good ? exitCodes.ok : exitCodes.refused;
}

async function onePass(
  settings: PassSettings,
  read: () => readonly Reading[],
  output: RemoveConfig['output'],
  streams: Streams,
): Promise<number> {
  openHost(settings.hostRoot);
  const progress = showProgress(streams.stderr, (seconds) => `working on the host's trust store, ${seconds} s`);
  const { report } = await openReconciler(settings, read, systemClock).pass();
  progress.end();
  streams.stdout.write(
    output === 'json' ? `${JSON.stringify(report, undefined, 2)}\n` : reportTable(report, streams.stdout),
  );
  const [reason] = report.reasons;
  if (output === 'json' && reason !== undefined && !report.dryRun) say(streams, reason);
  return exitCodeOf(report);
}

/** @returns the exit code: 0 when the host is proven to trust the bundle */
export async function apply(config: ApplyConfig, streams: Streams): Promise<number> {
  for (const path of config.bundle) {
    if (!existsSync(path)) throw new UsageProblem(`--bundle ${path}: no such file or directory`);
  }
  const settings = { ...settingsOf(config), dryRun: config.dryRun, lockWaitMs };
  return onePass(settings, () => config.bundle.map(readSource), config.output, streams);
}

/** @returns the exit code: 0 when the host is proven to trust nothing of this instance any more */
export async function remove(config: RemoveConfig, streams: Streams): Promise<number> {
  return onePass({ ...removalOf(config), dryRun: config.dryRun, lockWaitMs }, () => [], config.output, streams);
}
