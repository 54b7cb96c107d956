/**
 * `run`: the daemon. It makes a pass whenever the bundle or the host may have changed, tells who asks, and ends on
 * SIGTERM once the pass under way has ended.
 */
import { statSync } from 'node:fs';
import { dirname, basename, join } from 'node:path';
import { type WatchTarget, openWatch } from '../host/watch.ts';
import { type Reconciler, type Report, openReconciler } from '../reconcile.ts';
import { type Logger, openLog, openPassLog } from '../report/log.ts';
import { openMetrics } from '../report/metrics.ts';
import { type Answers, openServer } from '../report/server.ts';
import { readSource } from '../sources/directory.ts';
import { systemClock } from './apply.ts';
import { type RunConfig, exitCodes } from './config.ts';
import { type Loop, openLoop } from './loop.ts';

const foldMs = 150;
const retryMs = 1_000;
const longestRetryMs = 60_000;
const recheckMs = 5_000;
/** Within the pod's grace period, with room for the refresh itself. */
const lockWaitMs = 60_000;
/** A pass that takes longer than the longest lock wait and refresh together hangs: liveness fails. */
const longestPassMs = 600_000;

/** The directories in which a change can mean another bundle. A file is watched by its directory: it may be replaced. */
function bundleTargets(paths: readonly string[]): readonly WatchTarget[] {
  return paths.map((path) => {
    const name = basename(path);
    const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true;
    // The kubelet's names, which begin with two dots, tell of a new version of the file too.
    return isDirectory
      ? { path, concerns: () => true }
      : { path: dirname(path), concerns: (entry) => entry === name || entry.startsWith('..') };
  });
}

function hostTargets(reconciler: Reconciler, hostRoot: string): readonly WatchTarget[] {
  return (reconciler.store()?.watched ?? []).map(({ path, concerns }) => ({ path: join(hostRoot, path), concerns }));
}

function hasChanged({ added, repaired, removed, refreshed }: Report): boolean {
  return [added, repaired, removed, refreshed].some((list) => list.length > 0);
}

interface Health {
  readonly startedAt: number;
  endedAt: number | undefined;
  passing: boolean;
  report: Report | undefined;
}

/** Ready is proven: 200 only while the last pass converged; otherwise why not, one reason per line. */
function readiness({ report }: Health): { status: number; text: string } {
  if (report === undefined) return { status: 503, text: 'the first pass has not ended yet\n' };
  if (report.converged)
    return { status: 200, text: `ready: ${report.anchors.length} anchors, digest ${report.digest}\n` };
  return { status: 503, text: report.reasons.map((reason) => `${reason}\n`).join('') };
}

function liveness({ startedAt, endedAt, passing }: Health, now: number): { status: number; text: string } {
  const hanging = passing && now - (endedAt ?? startedAt) > longestPassMs;
  return hanging ? { status: 503, text: 'a pass hangs\n' } : { status: 200, text: 'alive\n' };
}

/** The pass as the loop calls it: made, told to everyone, and the watches moved to where they are needed now. */
function openPass(config: RunConfig, log: Logger, health: Health, loop: Loop) {
  const { hostRoot, instance, strict } = config;
  const settings = {
    hostRoot,
    instance,
    dryRun: false,
    lockWaitMs,
    rules: config,
    policy: { strict, removeAll: false },
  };
  const reconciler = openReconciler(settings, () => config.bundle.map(readSource), systemClock);
  const metrics = openMetrics();
  const logPass = openPassLog(log);
  const watch = openWatch(
    () => {
      loop.trigger();
    },
    (reason) => {
      log.warn(reason);
    },
  );
  return {
    metrics,
    watch,
    pass: async () => {
      health.passing = true;
      const { report, bundle } = await reconciler.pass();
      const result = { ...report, anchors: bundle.anchors };
      metrics.record(result);
      logPass(result);
      Object.assign(health, { report, passing: false, endedAt: systemClock.now() });
      // What changed before the watches stood is found by a pass after they do.
      if (await watch.follow([...bundleTargets(config.bundle), ...hostTargets(reconciler, hostRoot)])) loop.trigger();
      return { converged: report.converged, changed: hasChanged(report) };
    },
  };
}

/**
 * Runs until `stop` is aborted.
 * @returns the exit code
 * @throws UsageProblem when it cannot listen where it was told to
 */
export async function run(config: RunConfig, stop: AbortSignal): Promise<number> {
  const log = openLog(config.logLevel, config.instance);
  const health: Health = { startedAt: systemClock.now(), endedAt: undefined, passing: false, report: undefined };
  const loop = openLoop({ foldMs, retryMs, longestRetryMs, recheckMs, resyncMs: config.resyncMs }, systemClock);
  const { metrics, watch, pass } = openPass(config, log, health, loop);
  const answers: Answers = {
    '/healthz': () => liveness(health, systemClock.now()),
    '/readyz': () => readiness(health),
    '/metrics': async () => ({ status: 200, text: await metrics.text(), type: metrics.contentType }),
  };
  const server = await openServer(config.listen.host, config.listen.port, answers);
  log.info({ bundle: config.bundle, hostRoot: config.hostRoot, listen: server.address }, 'started');
  stop.addEventListener('abort', () => void loop.stop());
  if (!stop.aborted) await loop.run(pass);
  await Promise.all([watch.close(), server.close()]);
  log.info('stopped; what is installed stays');
  return exitCodes.ok;
}
