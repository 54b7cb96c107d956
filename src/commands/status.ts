/**
 * `status`: who in the cluster trusts what, from the Nodes and the agents' pods. It needs `list` on both, and
 * changes nothing.
 *
 * It looks again by listing, not by watching: that needs no further permission, and has no state that a lost watch or an
 * old version could leave wrong. On a large cluster it looks less often, so that at most a tenth of the time goes there.
 */
import { type Cluster, openCluster } from '../api/cluster.ts';
import { Refusal } from '../api/refusal.ts';
import { loadKubeconfig } from '../api/kubeconfig.ts';
import { printable } from '../bundle/text.ts';
import { UsageProblem } from '../host/problem.ts';
import { type Alarm, systemClock } from './clock.ts';
import { type StatusConfig, type Streams, exitCodes } from './config.ts';
import type { Environment } from './environment.ts';
import { showProgress } from './progress.ts';
import { lineLimit, say } from './say.ts';
import { type PodFacts, nodePicker, nodeShape, pickPod, podShape } from './status-facts.ts';
import { type ClusterStatus, statusOf } from './status-lines.ts';
import { type Screen, openScreen } from './status-screen.ts';
import { summaryOf } from './status-table.ts';

/** What the command meets, passed in so that a test can hold it. */
export interface Outside {
  readonly clock: Alarm;
  readonly open: (config: StatusConfig, environment: Environment) => Cluster;
}

const outside: Outside = {
  clock: systemClock,
  open: (config, environment) => openCluster(loadKubeconfig(config, environment), environment),
};

const pauseMs = 2_000;
const pauseFactor = 10;

/** What is told while it goes on. */
interface Telling {
  /** Objects listed so far. */
  counted: number;
  /** What keeps the picture from being whole or new. */
  notice: string;
  status?: ClusterStatus;
}

interface Work extends Outside {
  readonly config: StatusConfig;
  readonly cluster: Cluster;
  readonly streams: Streams;
  readonly stop: AbortSignal;
  readonly telling: Telling;
}

function note({ streams, telling }: Work, said: string): void {
  // What others say must not reach the terminal as a command: the screen writes it as it is.
  const line = printable(said, lineLimit);
  const isNew = telling.notice !== line;
  telling.notice = line;
  // On a terminal it stands in the progress, or on the screen.
  if (isNew && line !== '' && streams.stderr.isTTY !== true) say(streams, line);
}

/** Without them the Nodes have to do: they say who trusts what, not why an agent never started. */
async function listPods({ config, cluster, stop: signal }: Work): Promise<readonly PodFacts[] | string> {
  const { namespace, instance } = config;
  const path = namespace === undefined ? '/api/v1/pods' : `/api/v1/namespaces/${namespace}/pods`;
  const labelSelector = `app.kubernetes.io/name=node-ca-trust,app.kubernetes.io/instance=${instance}`;
  try {
    return await cluster.list({ path, labelSelector, shape: podShape, pick: pickPod, signal });
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== 403) throw error;
    const advice = namespace === undefined ? '; name their namespace by --namespace' : '';
    return `the agents' pods are left out, ${error.message}${advice}`;
  }
}

/** One picture of the cluster. */
async function look(work: Work): Promise<ClusterStatus> {
  const { config, cluster, stop: signal, telling } = work;
  const onPage = (count: number): void => {
    telling.counted = count;
  };
  const pick = nodePicker(config.instance, config.nodeLabel);
  const nodes = cluster.list({ path: '/api/v1/nodes', shape: nodeShape, pick, onPage, signal });
  const [found, pods] = await Promise.all([nodes, listPods(work)]);
  const isWhole = typeof pods !== 'string';
  note(work, isWhole ? '' : pods);
  return statusOf(found, isWhole ? pods : undefined, config);
}

/** The same, while it is repeated: what fails now may work the next time. @returns whether it worked */
async function lookAgain(work: Work): Promise<boolean> {
  try {
    work.telling.status = await look(work);
    return true;
  } catch (error) {
    if (work.stop.aborted) return false;
    if (work.telling.status === undefined || !(error instanceof UsageProblem)) throw error;
    note(work, error.message);
    return false;
  }
}

function isOver({ config, stop }: Work, status: ClusterStatus, deadline: number, now: number): boolean {
  if (stop.aborted || !(config.wait || config.watch)) return true;
  // Where no node is enabled there is nothing to wait for: a label is misspelt, or not set yet.
  return config.wait && (status.converged || status.enabled === 0 || now >= deadline);
}

async function repeat(work: Work, screen: Screen): Promise<void> {
  const { config, clock, stop, telling } = work;
  const deadline = clock.steady() + (config.wait ? config.timeoutMs : Number.POSITIVE_INFINITY);
  for (;;) {
    const began = clock.steady();
    const isSeen = await lookAgain(work);
    const { status } = telling;
    if (status === undefined) return;
    screen.show(status, telling.notice);
    const now = clock.steady();
    if (isOver(work, status, deadline, now)) return;
    // One that failed has listed nothing, but may have asked somebody to log in, who is not to be asked at once again.
    const pause = Math.max(pauseMs, (isSeen ? pauseFactor : 1) * (now - began));
    // Ended early by the signal, which the next look sees.
    await clock.sleep(Math.min(pause, deadline - now), stop).catch(() => undefined);
  }
}

function progressOf({ counted, notice, status }: Telling): string {
  const what = status === undefined ? `listing the nodes: ${counted}` : `waiting: ${summaryOf(status)}`;
  return printable(notice === '' ? what : `${what}; ${notice}`);
}

function conclude({ config, streams, telling, stop }: Work): number {
  const { status, notice } = telling;
  if (status === undefined) return exitCodes.refused;
  if (notice !== '' && streams.stderr.isTTY === true) say(streams, notice);
  if (status.enabled === 0) {
    const labels = config.nodeLabel.map(({ key, value }) => `${key}=${value}`).join(' or ');
    say(streams, `no node bears ${labels}; label one, or name the label by --node-label`);
  } else if (config.wait && !status.converged && !stop.aborted)
    say(streams, `not within ${config.timeoutMs / 1000} s: ${summaryOf(status)}`);
  return status.converged ? exitCodes.ok : exitCodes.refused;
}

/**
 * Shows the cluster once, or until it is as asked or `stop` is aborted.
 * @returns the exit code: 0 when there are enabled nodes and each has proven the digest; without one, when all agree and
 * are ready
 * @throws UsageProblem when the cluster cannot be reached at first
 */
export async function status(
  config: StatusConfig,
  environment: Environment,
  streams: Streams,
  stop: AbortSignal,
  from: Outside = outside,
): Promise<number> {
  const telling: Telling = { counted: 0, notice: '' };
  const work: Work = { ...from, config, streams, stop, telling, cluster: from.open(config, environment) };
  const screen = openScreen(config, streams.stdout, from.clock);
  const progress = showProgress(streams.stderr, () => progressOf(telling));
  const shown: Screen = {
    ...screen,
    show(seen, notice) {
      if (config.watch) progress.end();
      screen.show(seen, notice);
    },
  };
  try {
    await repeat(work, shown);
  } finally {
    progress.end();
    screen.end(telling.status);
  }
  return conclude(work);
}
