/**
 * What is to be said of the container runtimes: whether their pulls trust what the host trusts, and if not, why and what
 * an admin would do.
 */
import { posix } from 'node:path';
import type { Host } from './host/host.ts';
import { type Moment, readMoment } from './host/moment.ts';
import { runtimeLedgerPath } from './host/runtime-ledger.ts';
import type { WatchTarget } from './host/watch.ts';
import type { RuntimeState } from './report/report.ts';
import { type DueRestart, decideRestart } from './runtimes/restart.ts';
import type { Runtime } from './runtimes/runtime.ts';
import type { Found } from './runtimes/finder.ts';
import type { Failures, RuntimeRefresh, RuntimesState } from './runtimes/runtimes.ts';

/** When the host last came to trust something, and when it last ceased to. */
export interface Changes {
  readonly added?: Moment | undefined;
  readonly removed?: Moment | undefined;
}

/** Its start is by another clock than the host's uptime, and so not known: in LXC that is the container's own. */
const isAhead = ({ process }: Runtime, now: Moment): boolean => process.started > now.seconds;

/** Whether a process was, or may have been, started before a moment, and so may have read the store as it was then. */
function isOlder(runtime: Runtime, moment: Moment | undefined, now: Moment | undefined): boolean {
  if (moment === undefined || moment.boot !== now?.boot) return false;
  return runtime.process.started <= moment.seconds || isAhead(runtime, now);
}

/** What an admin runs to restart it. */
function restartCommand({ name, process }: Runtime): string {
  return process.unit === undefined ? `restart ${name} (process ${process.pid})` : `systemctl restart ${process.unit}`;
}

export const noFailures: Failures = new Map();

type Said = Pick<RuntimeState, 'state' | 'message' | 'command' | 'aside'>;

function restartNeeded(runtime: Runtime, why: string): Said {
  const message = `pulls see the store after a restart of ${runtime.name} only: ${why}`;
  return { state: 'restart-needed', message, command: restartCommand(runtime) };
}

function incomplete(reasons: readonly string[]): Said {
  const more = reasons.length > 1 ? ` (and ${reasons.length - 1} more)` : '';
  return {
    state: 'incomplete',
    message: `pulls from some registries do not see the store: ${reasons[0] ?? ''}${more}`,
  };
}

/** What is said of one that reads directories at every pull. */
function saidOfDirectories({ runtime, survey, isNamed }: Found, isStale: boolean, failures: Failures): Said {
  // Those that happen to be there need not be those that are pulled from.
  if (isStale && !isNamed) {
    return restartNeeded(runtime, 'it reads one directory for each registry; name all of yours by --registry');
  }
  const lacking = survey.edits
    .filter(({ kind, isSpare }) => kind !== 'clean' && isSpare !== true)
    .map(({ path }) => path);
  // Without the record nothing is edited, so its failure is that of all.
  const [ofAll] = failures.values();
  const unmade = lacking.map((path) => failures.get(path) ?? ofAll ?? `${path} on the host is not made yet`);
  const reasons = [...new Set([...survey.problems, ...unmade])];
  if (reasons.length > 0) return incomplete([...reasons, ...survey.ofOthers]);
  const places = new Set([...survey.links, ...survey.edited].map((path) => posix.dirname(path))).size;
  if (survey.ofOthers.length > 0) return { ...incomplete(survey.ofOthers), ...(places > 0 && { aside: true }) };
  return { state: 'trusts', message: `pulls see the store; it is in ${places} of its directories` };
}

function saidOf(found: Found, isStale: boolean, failures: Failures): Said {
  const { way } = found.runtime;
  if (way.kind === 'directories') return saidOfDirectories(found, isStale, failures);
  if (isStale) return restartNeeded(found.runtime, way.why);
  return { state: 'trusts', message: 'pulls see the store; it read it when it was started' };
}

const nothingNeeded: Said = { state: 'trusts', message: 'pulls see the store; nothing of this instance is in it' };

/** A unit that did not come back is left to the admin. */
function restartFailed(unit: string): Said {
  const message = `${unit} did not come back from a restart, and is not restarted again before it runs; see journalctl -u ${unit}`;
  return { state: 'restart-failed', message, command: `systemctl restart ${unit}` };
}

function revoked(runtime: Runtime): Said {
  const message = 'pulls see the store; what was removed from it may be trusted by this process until it is restarted';
  return { state: 'revoked-after-restart', message, command: restartCommand(runtime) };
}

/**
 * What is said of a runtime. What was removed, and its process may not know of, is said when all else is well.
 * @param failed units that have not come back from a restart yet
 */
function judge(
  found: Found,
  { changes, failures, needed }: PullsPass,
  failed: readonly string[],
  now: Moment | undefined,
): RuntimeState {
  const { runtime } = found;
  const { name, process, socket, version, way } = runtime;
  const { pid, unit } = process;
  const directories = way.kind === 'directories' ? [...new Set(way.lists.flat())] : [];
  const by = way.kind === 'directories' ? 'certs.d' : 'restart';
  const about = { name, version, socket, pid, unit, way: by, directories } as const;
  if (unit !== undefined && failed.includes(unit)) return { ...about, ...restartFailed(unit) };
  const said = needed ? saidOf(found, isOlder(runtime, changes.added, now), failures) : nothingNeeded;
  const isRevoked = said.state === 'trusts' && isOlder(runtime, changes.removed, now);
  return { ...about, ...(isRevoked ? revoked(runtime) : said) };
}

/** What a pass has to tell of the container runtimes. */
export interface Pulls {
  readonly runtimes: readonly RuntimeState[];
  /** They could not be looked at. */
  readonly runtimesUnseen?: true;
  readonly edits: readonly string[];
  /** What keeps the host from being converged. */
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
  /** The directories in which a change can mean drift, and where a runtime that is started anew shows. */
  readonly watched: readonly WatchTarget[];
  /** The restarts that are due now, of which one is made. */
  readonly restarts: readonly DueRestart[];
  /** In how many milliseconds another may be, or a runtime is to be asked again. */
  readonly dueMs?: number | undefined;
}

/** When restarts may be made. */
export interface Pace {
  /** In seconds since the boot; undefined for a command that a person waits for. */
  readonly agentStarted: number | undefined;
  readonly jitterMs: number;
}

/** A pass, as far as the runtimes go. */
export interface PullsPass {
  readonly before: RuntimesState;
  readonly after: RuntimesState;
  readonly failures: Failures;
  /** This instance has something that pulls should trust. */
  readonly needed: boolean;
  readonly changes: Changes;
  readonly refresh: RuntimeRefresh;
  readonly pace: Pace;
}

const isGuess = ({ way }: Runtime): boolean => way.kind === 'restart' && way.isGuess === true;

/** The restarts that the admin has permitted and a runtime needs: those that are due, and when the next one is. */
function restartsOf(
  { after, changes, refresh, pace }: PullsPass,
  states: readonly RuntimeState[],
  down: readonly string[],
  now: Moment | undefined,
): Pick<Pulls, 'restarts' | 'dueMs'> {
  const asked = after.dueMs === undefined ? [] : [after.dueMs];
  if (now === undefined || refresh !== 'restart') return { restarts: [], dueMs: asked[0] };
  const { restarted } = after.ledger;
  const decided = after.found.flatMap(({ runtime }, index) => {
    const { unit, started } = runtime.process;
    if (states[index]?.state !== 'restart-needed' || unit === undefined || isGuess(runtime)) return [];
    const record = { failed: down.includes(unit), ...(restarted === undefined ? {} : { last: restarted }) };
    const decision = decideRestart({ started, changed: changes.added, ...pace, record, now });
    return [{ runtime, unit, now, down, decision }];
  });
  const waits = decided.flatMap(({ decision }) => (typeof decision === 'object' ? [decision.wait] : []));
  const due = [...asked, ...waits];
  return {
    restarts: decided.filter(({ decision }) => decision === 'now'),
    dueMs: due.length === 0 ? undefined : Math.min(...due),
  };
}

function watchedOf({ runtime, survey }: Found): readonly WatchTarget[] {
  if (runtime.socket === '') return [];
  const socket = posix.basename(runtime.socket);
  const concerns = (name: string): boolean => !name.startsWith('.');
  const places = survey.watched.map((path) => ({ path, concerns, isDeep: true }));
  return [...places, { path: posix.dirname(runtime.socket), concerns: (name) => name === socket, isShared: true }];
}

/** An admin who named a way wants it to work; by `auto` the store alone decides, and the rest is told. */
function reasonsOf(runtimes: readonly RuntimeState[], refresh: RuntimeRefresh): readonly string[] {
  if (refresh === 'auto') return [];
  const good: readonly RuntimeState['state'][] = ['trusts', 'revoked-after-restart'];
  return runtimes.filter(({ state }) => !good.includes(state)).map(({ name, message }) => `${name}: ${message}`);
}

/** Units that did not come back from a restart made here, and were not started since. */
function unitsDown({ found, ledger }: RuntimesState, now: Moment | undefined): readonly string[] {
  // What is down after a start of the machine is not so by a restart made here.
  if (now !== undefined && ledger.restarted !== undefined && ledger.restarted.boot !== now.boot) return [];
  const isBack = (unit: string): boolean =>
    found.some(({ runtime }) => runtime.process.unit === unit && !isOlder(runtime, ledger.restarted, now));
  return ledger.failed.filter((unit) => !isBack(unit));
}

function notesOf({ runtime, survey }: Found, now: Moment | undefined): readonly string[] {
  const ahead = `${runtime.name}: when it was started is not known, since the host's uptime is of another clock than that of its processes, as in LXC: it is taken for older than any change, and never restarted for one`;
  return [...runtime.notes, ...survey.notes, ...(now !== undefined && isAhead(runtime, now) ? [ahead] : [])];
}

/** Tells what a pass found and did. */
export function tellPulls(host: Host, pass: PullsPass): Pulls {
  const { before, after, failures, needed, refresh } = pass;
  const now = readMoment(host);
  const failed = unitsDown(after, now);
  const runtimes = after.found.map((found) => judge(found, pass, failed, now));
  const problems = after.problem === undefined ? [] : [`container runtimes: ${after.problem}`];
  return {
    runtimes,
    ...(after.problem !== undefined && { runtimesUnseen: true }),
    edits: before.edits.filter((path) => !failures.has(path) && !failures.has(runtimeLedgerPath)),
    reasons: [
      ...failed.map((unit) => restartFailed(unit).message),
      ...reasonsOf(runtimes, refresh),
      ...(before.todo === 'release' ? failures.values() : []),
      // Nothing is proven that could not be seen.
      ...(refresh !== 'auto' || !needed ? problems : []),
    ],
    notes: [...problems, ...(after.spared ?? []), ...after.found.flatMap((found) => notesOf(found, now))],
    watched: after.found.flatMap(watchedOf),
    ...restartsOf(pass, runtimes, failed, now),
  };
}
