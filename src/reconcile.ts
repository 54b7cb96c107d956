/**
 * The pass: read, decide, apply, prove, report. It starts from what is there, never from what an event said, and
 * whatever kills it, the next one goes on from what is there then.
 */
import { fitBundle, openReader } from './bundle/bundle.ts';
import type { Bundle, BundleRules, Reading } from './bundle/types.ts';
import { type Outcome, type StoreScene, account, changeUntilProven, survey, unchanged } from './change.ts';
import type { Clock } from './host/clock.ts';
import { type Host, openHost } from './host/host.ts';
import { stateDirectory } from './host/ledger.ts';
import { readMoment } from './host/moment.ts';
import { type Lock, lockDirectory, noLock } from './host/lock.ts';
import { explain } from './host/problem.ts';
import type { WatchTarget } from './host/watch.ts';
import { type Policy, isIdle } from './plan.ts';
import { bundleNotes, bundleReasons } from './proof.ts';
import { type Pace, type Pulls, type PullsPass, noFailures, tellPulls } from './pulls.ts';
import { type Report, hasChanged, printed } from './report/report.ts';
import { type RuntimeRefresh, type Runtimes, openRuntimes } from './runtimes/runtimes.ts';
import { openStore } from './stores/detect.ts';
import { type Address, type Probe, probeAll } from './stores/probe.ts';
import type { TrustStore } from './stores/store.ts';
import { type StoreRefresh, leaveToUnit } from './stores/unit.ts';

export interface PassSettings {
  readonly hostRoot: string;
  readonly instance: string;
  readonly rules: Omit<BundleRules, 'now'>;
  readonly policy: Policy;
  /** Change nothing, report what would change. */
  readonly dryRun: boolean;
  /** How long to wait for another pass on the same host. */
  readonly lockWaitMs: number;
  /** Who runs the host's refresh command: this program, unless told otherwise. */
  readonly storeRefresh?: StoreRefresh;
  /** How pulls of the host's container runtimes come to trust the store, and of which registries by name. */
  readonly refresh: RuntimeRefresh;
  readonly registries: readonly string[];
  /** Servers to verify after a change. */
  readonly probes: readonly Address[];
  /** In a daemon: how much later than others this one restarts a runtime. A command that a person waits for does it now. */
  readonly jitterMs?: number;
}

export interface PassMade {
  readonly report: Report;
  readonly bundle: Bundle;
  /** The store is as decided, whatever is wrong with the bundle or the runtimes. */
  readonly isProven: boolean;
  /** In so many milliseconds another pass has something to do: a restart that has to wait. */
  readonly dueMs?: number | undefined;
}

export interface Reconciler {
  /** Makes one pass. Never throws: what goes wrong is a reason in the report. Not to be called while one is under way. */
  pass(): Promise<PassMade>;
  /** Directories in which a change can mean drift, as this process sees them; none before a pass has found the store. */
  watched(): readonly WatchTarget[];
}

interface Scene extends StoreScene {
  readonly runtimes: Runtimes;
  readonly settings: PassSettings;
  readonly pace: Pace;
}

/** What there is to tell of the runtimes, before and after this pass. */
function pullsOf(
  { host, settings, pace }: Scene,
  told: Pick<PullsPass, 'before' | 'after' | 'needed' | 'changes' | 'failures'>,
): Pulls {
  return tellPulls(host, { ...told, refresh: settings.refresh, pace });
}

/** Makes one of the restarts that are due, the first that does no harm, and looks again. */
async function restartDue(scene: Scene, pulls: Pulls, tellAgain: () => Promise<Pulls>): Promise<Pulls> {
  if (pulls.restarts.length === 0) return pulls;
  const failures: string[] = [];
  for (const due of pulls.restarts) {
    // What goes wrong with it must not hide what was done to the store.
    const made = scene.runtimes.restart(due).catch((error: unknown) => ({ isAsked: true, failure: explain(error) }));
    const { isAsked, failure } = await made;
    if (failure !== undefined) failures.push(failure);
    if (isAsked) break;
  }
  const after = await tellAgain();
  return { ...after, reasons: [...failures, ...after.reasons] };
}

/** The store and then the runtimes' directories; where something goes that they lead to, the other way round. */
async function changeAll(scene: Scene, lock: Lock, needed: boolean): Promise<readonly [Outcome, Pulls]> {
  const { runtimes } = scene;
  const before = await runtimes.observe(needed);
  const released = before.todo === 'release' ? runtimes.release(before) : noFailures;
  const outcome = await changeUntilProven(scene, lock);
  const { isSound } = outcome;
  const failures = before.todo === 'keep' && isSound ? runtimes.keep(before) : released;
  const made = before.todo === 'keep' && !isSound ? { ...before, edits: [] } : before;
  const tellNow = async (): Promise<Pulls> =>
    pullsOf(scene, { before: made, after: await runtimes.observe(needed), needed, changes: outcome.ledger, failures });
  return [outcome, await restartDue(scene, await tellNow(), tellNow)];
}

/** Decides without the lock; only what has to be changed is decided again under it. */
async function converge(scene: Scene): Promise<readonly [Outcome, Pulls]> {
  const { host, store, settings, runtimes } = scene;
  const seen = survey(scene);
  const { plan, state, ledger } = seen;
  const needed = plan.present.length > 0;
  const found = await runtimes.observe(needed);
  const pulls = pullsOf(scene, { before: found, after: found, needed, changes: ledger, failures: noFailures });
  if ((isIdle(plan) && found.todo === 'nothing' && pulls.restarts.length === 0) || settings.dryRun) {
    const notes = [...plan.strangers, ...state.notes];
    return [{ plan, ...unchanged(scene, seen), ...account(seen, store), refreshed: plan.refresh, notes }, pulls];
  }
  store.requireTools();
  const lock =
    store.isRefreshedByUnit === true ? noLock : await lockDirectory(host, stateDirectory, settings.lockWaitMs);
  try {
    return await changeAll(scene, lock, needed);
  } finally {
    lock.release();
  }
}

/** What a pass itself tells. */
type Told = Omit<Report, 'instance' | 'digest' | 'anchors' | 'findings' | 'dryRun' | 'milliseconds'> &
  Partial<Pick<Report, 'findings'>>;

const nothingDone: Omit<Told, 'converged' | 'reasons'> = {
  added: [],
  repaired: [],
  removed: [],
  heldBack: [],
  stillTrusted: [],
  refreshed: [],
  notes: [],
  runtimes: [],
  edits: [],
  probes: [],
};

function tell(
  { bundle, store, policy }: Scene,
  { plan, proof, added, repaired, removed, refreshed, notes, isFailed }: Outcome,
  pulls: Pulls,
): Omit<Told, 'probes'> {
  const ofBundle = policy.removeAll ? [] : bundleReasons(bundle, plan.heldBack.length);
  const reasons = [...proof.hostReasons, ...pulls.reasons, ...ofBundle];
  return {
    added,
    repaired,
    removed,
    refreshed,
    notes: [...bundleNotes(bundle, plan.heldBack.length), ...notes, ...pulls.notes],
    runtimes: pulls.runtimes,
    runtimesUnseen: pulls.runtimesUnseen,
    edits: pulls.edits,
    converged: reasons.length === 0,
    heldBack: plan.heldBack.map(({ fingerprint, name }) => fingerprint ?? name),
    stillTrusted: proof.stillTrusted,
    // A failure tells of no store: whoever watches the host goes by that.
    ...(!isFailed && { store: { family: store.family, bundle: store.bundle } }),
    reasons,
  };
}

/** What stays from one pass to the next: what the host's files held, so that an idle pass only looks at their versions. */
interface Memory {
  store?: TrustStore;
  runtimes?: Runtimes;
  /** When its first pass was, in seconds since the host's boot. */
  started?: number | undefined;
  watched: readonly WatchTarget[];
  /** Where runtimes that were seen show when they are started anew, also while none of them runs. */
  sockets: readonly WatchTarget[];
  probes?: readonly Probe[];
  dueMs?: number | undefined;
  isProven: boolean;
  /** When hooks that had failed were last told again, by the steady clock. */
  retoldAt?: number;
}

/** Hooks that failed are told again at the first pass, and no sooner than so after: what they write can bring a pass. */
const retellMs = 600_000;

/** Whether it is time to tell hooks again what they have not heard. */
function mayRetell(memory: Memory, clock: Clock): boolean {
  const now = clock.steady();
  if (memory.retoldAt !== undefined && now - memory.retoldAt < retellMs) return false;
  memory.retoldAt = now;
  return true;
}

/** A daemon keeps its distance from its own start, and from the daemons of other nodes. */
function paceOf({ jitterMs }: PassSettings, { started }: Memory): Pace {
  return { agentStarted: jitterMs === undefined ? undefined : started, jitterMs: jitterMs ?? 0 };
}

/** @throws Problem when the host cannot be served */
function storeOf(host: Host, { instance, storeRefresh }: PassSettings, clock: Clock): TrustStore {
  const opened = openStore(host, instance, clock);
  const store = storeRefresh === 'unit' ? leaveToUnit(opened, host, clock) : opened;
  return { ...store, observe: (wanted) => host.atOnce(() => store.observe(wanted)) };
}

/** A pass on a bundle. @throws Problem when the host cannot be examined or changed */
async function passOn(settings: PassSettings, whole: Bundle, memory: Memory, clock: Clock): Promise<Told> {
  const { instance, policy } = settings;
  const host = openHost(settings.hostRoot);
  const store = (memory.store ??= storeOf(host, settings, clock));
  const bundle = fitBundle(whole, (anchor) => store.drops?.(anchor));
  const runtimes = (memory.runtimes ??= openRuntimes(host, store.bundle, { ...settings, clock }));
  memory.started ??= readMoment(host)?.seconds;
  const locate = (target: WatchTarget): WatchTarget => ({ ...target, path: host.locate(target.path) });
  memory.watched = store.watched.map(locate);
  const [pace, retell] = [paceOf(settings, memory), mayRetell(memory, clock)];
  const scene: Scene = { host, store, clock, runtimes, settings, instance, policy, bundle, pace, retell };
  const [outcome, pulls] = await converge(scene);
  const sockets = pulls.watched.filter(({ isShared }) => isShared === true);
  if (sockets.length > 0) memory.sockets = sockets;
  memory.watched = [...store.watched, ...pulls.watched, ...memory.sockets].map(locate);
  memory.dueMs = pulls.dueMs;
  memory.isProven = outcome.proof.hostReasons.length === 0;
  const told = tell(scene, outcome, pulls);
  if (settings.probes.length > 0 && (memory.probes === undefined || hasChanged(told))) {
    memory.probes = await probeAll(host, store.bundle, settings.probes);
  }
  return { ...printed({ ...told, probes: memory.probes ?? [] }), findings: bundle.findings };
}

/**
 * Opens the reconciler of one host and instance.
 * @param read the sources, read anew in each pass
 */
export function openReconciler(settings: PassSettings, read: () => readonly Reading[], clock: Clock): Reconciler {
  const memory: Memory = { watched: [], sockets: [], isProven: false };
  const readBundle = openReader();
  return {
    watched: () => memory.watched,
    async pass() {
      const started = clock.steady();
      // One that fails knows of nothing that is due.
      memory.dueMs = undefined;
      memory.isProven = false;
      const bundle = readBundle(read(), { ...settings.rules, now: new Date(clock.now()) });
      const anchors = bundle.anchors.map(({ fingerprint }) => fingerprint);
      const { digest, findings } = bundle;
      const basis = { instance: settings.instance, digest, anchors, findings, dryRun: settings.dryRun };
      const told = await passOn(settings, bundle, memory, clock).catch((error: unknown) =>
        printed({ ...nothingDone, converged: false, reasons: [explain(error)] }),
      );
      const report = { ...basis, ...told, milliseconds: Math.round(clock.steady() - started) };
      return { report, bundle, isProven: memory.isProven, dueMs: memory.dueMs };
    },
  };
}
