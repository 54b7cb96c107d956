/**
 * `run`: the daemon. It makes a pass whenever the bundle or the host may have changed, tells who asks, and ends on
 * SIGTERM once the pass under way has ended.
 */
import { type WatchTarget, openWatch } from '../host/watch.ts';
import { openReconciler } from '../reconcile.ts';
import { hasChanged } from '../report/report.ts';
import { longestJitterMs } from '../runtimes/restart.ts';
import { openHealth } from '../report/health.ts';
import { openLag } from '../report/lag.ts';
import { type Logger, openLog, openPassLog } from '../report/log.ts';
import { openScrape } from '../report/scrape.ts';
import { type Answers, openServer } from '../report/server.ts';
import { readEnabled, readLabels } from '../sources/node-label.ts';
import { bundleTargets } from './bundle-targets.ts';
import { systemClock } from './clock.ts';
import { type Cluster, openCluster } from './cluster.ts';
import { type RunConfig, type Streams, exitCodes } from './config.ts';
import type { Daemon, Outside } from './daemon.ts';
import { type Cause, type Loop, type Pass, openLoop } from './loop.ts';
import { removalOf, settingsOf } from './settings.ts';
import { openTidying } from './tidying.ts';

export const outside: Outside = {
  clock: systemClock,
  random: Math.random,
  pacing: { foldMs: 150, retryMs: 1_000, longestRetryMs: 60_000, recheckMs: 5_000 },
  readLabels,
  // An agent that asks for nothing does not carry the client.
  openApi: async () => (await import('../api/api.ts')).openApi(),
};

/** Within the pod's grace period, with room for the refresh itself. */
const lockWaitMs = 60_000;
/** After SIGTERM a removal that fails is tried again for so long, within the pod's grace period of 120 s. */
const leaveMs = 90_000;

interface Agent {
  readonly answers: Answers;
  readonly pass: Pass;
  close(): Promise<void>;
}

/** A watch that asks for a pass. */
function watchFor(cause: Cause, loop: Loop, log: Logger) {
  const ask = (): void => {
    loop.trigger(cause);
  };
  const watch = openWatch(ask, (reason) => {
    log.warn(reason);
  });
  return {
    // What changed before it stood is found by a pass after it does.
    follow: async (targets: readonly WatchTarget[]): Promise<void> => {
      if (await watch.follow(targets)) ask();
    },
    close: () => watch.close(),
  };
}

/** The pass as the loop calls it: made, told to everyone, and the watches moved to where they are needed now. */
function openAgent({ config, log, clock, random }: Daemon, loop: Loop, { sources, node }: Cluster): Agent {
  const settings = { ...settingsOf(config), dryRun: false, lockWaitMs, jitterMs: random() * longestJitterMs };
  const reconciler = openReconciler(settings, () => sources.read(), clock);
  const health = openHealth();
  const scrape = openScrape();
  const lag = openLag();
  const logPass = openPassLog(log);
  const tidy = openTidying();
  const [bundleWatch, hostWatch] = [watchFor('part', loop, log), watchFor('drift', loop, log)];
  return {
    answers: {
      '/healthz': () => health.live(clock.steady()),
      '/livez': () => health.liveWithReason(clock.steady()),
      '/readyz': () => health.ready(),
      '/metrics': async () => ({ status: 200, ...(await scrape.answer()) }),
    },
    pass: async (askedAt) => {
      health.begin(clock.steady());
      const { report, bundle, isProven, dueMs } = await reconciler.pass();
      const result = { ...report, anchors: bundle.anchors, stale: bundle.stale };
      scrape.record(result, lag(result, askedAt, clock.steady()));
      for (const told of [health.end, logPass]) told(result);
      if (bundle.provisional?.soon !== true) node?.tell(result);
      await bundleWatch.follow(bundleTargets(sources.paths()));
      await hostWatch.follow(reconciler.watched());
      const changed = hasChanged(report);
      tidy(changed);
      // One that was ended by a failure tells of no store.
      const failedHalfWay = !isProven && (changed || report.store === undefined);
      return { converged: report.converged, changed, failedHalfWay, dueMs };
    },
    close: async () => {
      await Promise.all([bundleWatch.close(), hostWatch.close()]);
    },
  };
}

/** Takes everything of this instance off the host, as often as it takes within the time there is. */
async function removeAll({ config, log, clock, pacing }: Daemon, { node }: Cluster): Promise<number> {
  const reconciler = openReconciler({ ...removalOf(config), dryRun: false, lockWaitMs }, () => [], clock);
  const end = clock.steady() + leaveMs;
  for (;;) {
    const { removed, converged, reasons, notes, stillTrusted, milliseconds } = (await reconciler.pass()).report;
    if (converged) {
      log.info(
        { removed, stillTrusted, notes, milliseconds },
        'removed; the host trusts nothing of this instance any more',
      );
      await node?.removed(removed.length);
      return exitCodes.ok;
    }
    log.error({ removed, reasons, milliseconds }, `not removed: ${reasons[0] ?? 'unknown'}`);
    if (clock.steady() + pacing.retryMs > end) return exitCodes.refused;
    await clock.sleep(pacing.retryMs);
  }
}

/** The end: what is installed stays, unless the Node says that it is no longer enabled (design, "Unlabelling"). */
async function leave(daemon: Daemon, cluster: Cluster): Promise<number> {
  const { config, log } = daemon;
  if (config.nodeName === undefined) {
    log.info('stopped; what is installed stays');
    return exitCodes.ok;
  }
  const { enabled, why } = await readEnabled(config.nodeName, config.nodeLabel, daemon.readLabels, (ms) =>
    daemon.clock.sleep(ms),
  );
  if (enabled) log.info(`stopped; what is installed stays: ${why}`);
  else log.info(`${why}: removing what is installed`);
  return enabled ? exitCodes.ok : removeAll(daemon, cluster);
}

/**
 * Runs until `stop` is aborted.
 * @returns the exit code
 * @throws UsageProblem when it cannot listen where it was told to
 */
export async function run(
  config: RunConfig,
  { stdout }: Pick<Streams, 'stdout'>,
  stop: AbortSignal,
  from: Outside = outside,
): Promise<number> {
  const log = openLog(config.logLevel, config.instance, stdout);
  const daemon: Daemon = { ...from, config, log };
  const loop = openLoop({ ...from.pacing, resyncMs: config.resyncMs }, from.clock, from.random);
  const cluster = await openCluster(daemon, () => {
    loop.trigger('whole');
  });
  const agent = openAgent(daemon, loop, cluster);
  const server = await openServer(config.listen.host, config.listen.port, agent.answers);
  log.info({ bundle: config.bundle, hostRoot: config.hostRoot, listen: server.address }, 'started');
  stop.addEventListener('abort', () => void loop.stop());
  const following = cluster.follow(stop);
  await cluster.sources.settled(stop);
  if (!stop.aborted) await loop.run(agent.pass);
  await Promise.all([agent.close(), server.close(), following]);
  return leave(daemon, cluster);
}
