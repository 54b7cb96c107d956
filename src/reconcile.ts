/**
 * The pass: read, decide, apply, prove, report. It starts from what is there, never from what an event said, and
 * whatever kills it, the next one goes on from what is there then.
 */
import { readBundle } from './bundle/bundle.ts';
import type { Bundle, BundleRules, Reading } from './bundle/types.ts';
import type { Clock } from './host/clock.ts';
import { type Host, openHost } from './host/host.ts';
import { type Ledger, readLedger, removeLedger, writeLedger } from './host/ledger.ts';
import { type Lock, lockDirectory } from './host/lock.ts';
import { explain } from './host/problem.ts';
import { type Plan, type Policy, decide, isIdle } from './plan.ts';
import { type Proof, bundleReasons, prove } from './proof.ts';
import type { Report } from './report/report.ts';
import { openStore } from './stores/detect.ts';
import type { StoreState, TrustStore, WatchedDirectory } from './stores/store.ts';

export interface PassSettings {
  readonly hostRoot: string;
  readonly instance: string;
  readonly rules: Omit<BundleRules, 'now'>;
  readonly policy: Policy;
  /** Change nothing, report what would change. */
  readonly dryRun: boolean;
  /** How long to wait for another pass on the same host. */
  readonly lockWaitMs: number;
}

export interface Reconciler {
  /** Makes one pass. Never throws: what goes wrong is a reason in the report. Not to be called while one is under way. */
  pass(): Promise<{ readonly report: Report; readonly bundle: Bundle }>;
  /** Directories in which a change can mean drift, as this process sees them; none before a pass has found the store. */
  watched(): readonly WatchedDirectory[];
}

/** Other writers of the store can undo a change while it is proven; so often it is made again within one pass. */
const maxRounds = 4;

interface Scene {
  readonly host: Host;
  readonly store: TrustStore;
  readonly settings: PassSettings;
  readonly bundle: Bundle;
}

/** What a pass has to tell of the host. */
interface Outcome {
  readonly plan: Plan;
  readonly proof: Proof;
  readonly added: readonly string[];
  readonly repaired: readonly string[];
  readonly removed: readonly string[];
  readonly refreshed: readonly string[];
  readonly notes: readonly string[];
}

interface Survey {
  readonly state: StoreState;
  readonly plan: Plan;
  readonly ledger: Ledger;
}

/** What is on the host and what follows from it. */
function survey({ host, store, settings, bundle }: Scene): Survey {
  const ledger = readLedger(host, settings.instance, store.family);
  const state = store.observe(settings.policy.removeAll ? [] : bundle.anchors);
  const plan = decide({ bundle, ledger, state, policy: settings.policy, nameOf: (print) => store.nameOf(print) });
  return { state, plan, ledger: ledger.ledger };
}

/** Every file that may be on the host while the change is under way, or whose removal is not proven before its end. */
function intended(store: TrustStore, ledger: Ledger, { required, remove, heldBack }: Plan): Ledger {
  const files = new Map(ledger.files.map(({ name, fingerprint }) => [name, fingerprint]));
  for (const { name, fingerprint } of [...remove, ...heldBack]) files.set(name, fingerprint ?? files.get(name) ?? '');
  for (const fingerprint of required) files.set(store.nameOf(fingerprint), fingerprint);
  return { ...ledger, files: [...files].map(([name, fingerprint]) => ({ name, fingerprint })) };
}

/** The ledger after a change: what is there, and as long as the host is not proven, what may be. */
function recorded(intent: Ledger, plan: Plan, made: readonly string[], proven: boolean): Ledger {
  const kept = new Set([...plan.present, ...plan.heldBack.map(({ name }) => name)]);
  const files = proven ? intent.files.filter(({ name }) => kept.has(name)) : intent.files;
  return { ...intent, files, announced: [...plan.present], made: [...new Set([...intent.made, ...made])].sort() };
}

/** One change of the host, from the intent in the ledger to the proof. */
async function change(scene: Scene, lock: Lock, { ledger, plan }: Survey): Promise<Pick<Outcome, 'proof' | 'notes'>> {
  const { host, store, settings } = scene;
  const intent = intended(store, ledger, plan);
  writeLedger(host, settings.instance, intent);
  const request = {
    add: plan.add,
    remove: plan.remove.map(({ name }) => name),
    clean: plan.clean,
    relink: plan.relink,
    refresh: plan.refresh.length > 0,
    required: new Set(plan.required),
    announced: ledger.announced,
    present: plan.present,
  };
  const { made, notes } = await store.change(request, lock);
  const proof = prove(store, plan, store.observe(plan.wanted));
  const proven = proof.hostReasons.length === 0;
  const record = recorded(intent, plan, made, proven);
  // Only what an anchor directory can need was ever made, whatever the ledger says.
  const above = record.made.filter((directory) => `${store.anchorDirectory}/`.startsWith(`${directory}/`));
  if (plan.forget && proven) removeLedger(host, settings.instance, { ...record, made: above });
  else writeLedger(host, settings.instance, record);
  return { proof, notes };
}

/** What the first look at the host says of this pass, for the report. */
function account({ state, plan, ledger }: Survey, store: TrustStore): Pick<Outcome, 'added' | 'repaired' | 'removed'> {
  const heard = new Set(ledger.announced);
  const adding = new Set(plan.add);
  const lacking = plan.wanted.filter(
    (anchor) => adding.has(anchor) || !state.trusted.has(anchor.fingerprint) || state.unlinked.has(anchor.fingerprint),
  );
  const prints = lacking.map(({ fingerprint }) => fingerprint);
  return {
    added: prints.filter((fingerprint) => !heard.has(store.nameOf(fingerprint))),
    repaired: prints.filter((fingerprint) => heard.has(store.nameOf(fingerprint))),
    removed: plan.remove.map(({ fingerprint, name }) => fingerprint ?? name),
  };
}

/** Changes the host until it is proven. What another writer undoes meanwhile is done again. */
async function changeUntilProven(scene: Scene, lock: Lock): Promise<Outcome> {
  const first = survey(scene);
  const refreshed = new Set<string>();
  const notes = new Set<string>();
  for (let round = 1, seen = first; ; round += 1, seen = survey(scene)) {
    const { plan, state } = seen;
    for (const reason of plan.refresh) refreshed.add(reason);
    const idle = isIdle(plan);
    const done = idle ? { proof: prove(scene.store, plan, state), notes: [] } : await change(scene, lock, seen);
    for (const note of done.notes) notes.add(note);
    if (done.proof.hostReasons.length === 0 || idle || round === maxRounds) {
      const told = account(first, scene.store);
      return {
        plan,
        proof: done.proof,
        ...told,
        refreshed: [...refreshed],
        notes: [...notes, ...plan.strangers, ...state.notes],
      };
    }
  }
}

/** Decides without the lock; only what has to be changed is decided again under it. */
async function converge(scene: Scene): Promise<Outcome> {
  const { host, store, settings } = scene;
  const seen = survey(scene);
  const { plan, state } = seen;
  if (isIdle(plan) || settings.dryRun) {
    const proof = prove(store, { ...plan, remove: [] }, state);
    return {
      plan,
      proof,
      ...account(seen, store),
      refreshed: plan.refresh,
      notes: [...plan.strangers, ...state.notes],
    };
  }
  store.requireTools();
  const lock = await lockDirectory(host, store.lockDirectory, settings.lockWaitMs);
  try {
    return await changeUntilProven(scene, lock);
  } finally {
    lock.release();
  }
}

const nothingDone: Pick<
  Report,
  'added' | 'repaired' | 'removed' | 'heldBack' | 'stillTrusted' | 'refreshed' | 'notes'
> = {
  added: [],
  repaired: [],
  removed: [],
  heldBack: [],
  stillTrusted: [],
  refreshed: [],
  notes: [],
};

type Basis = Pick<Report, 'instance' | 'digest' | 'anchors' | 'findings' | 'dryRun'>;

function reportOf(basis: Basis, scene: Scene, outcome: Outcome): Omit<Report, 'milliseconds'> {
  const { plan, proof, ...told } = outcome;
  const ofBundle = scene.settings.policy.removeAll ? [] : bundleReasons(scene.bundle, plan.heldBack.length);
  const reasons = [...proof.hostReasons, ...ofBundle];
  return {
    ...basis,
    ...told,
    converged: reasons.length === 0,
    heldBack: plan.heldBack.map(({ fingerprint, name }) => fingerprint ?? name),
    stillTrusted: proof.stillTrusted,
    store: { family: scene.store.family, bundle: scene.store.bundle },
    reasons,
  };
}

/**
 * Opens the reconciler of one host and instance. It remembers what the host's files held, so that a later pass with
 * nothing to do only looks at their versions.
 * @param read the sources, read anew in each pass
 */
export function openReconciler(settings: PassSettings, read: () => readonly Reading[], clock: Clock): Reconciler {
  let store: TrustStore | undefined;
  let watched: readonly WatchedDirectory[] = [];
  return {
    watched: () => watched,
    async pass() {
      const started = clock.now();
      const bundle = readBundle(read(), { ...settings.rules, now: new Date(started) });
      const anchors = bundle.anchors.map(({ fingerprint }) => fingerprint);
      const { digest, findings } = bundle;
      const basis: Basis = { instance: settings.instance, digest, anchors, findings, dryRun: settings.dryRun };
      try {
        const host = openHost(settings.hostRoot);
        store ??= openStore(host, settings.instance, clock);
        watched = store.watched.map(({ path, concerns }) => ({ path: host.locate(path), concerns }));
        const scene: Scene = { host, store, settings, bundle };
        const report = reportOf(basis, scene, await converge(scene));
        return { report: { ...report, milliseconds: clock.now() - started }, bundle };
      } catch (error) {
        const reasons = [explain(error)];
        const milliseconds = clock.now() - started;
        return { report: { ...basis, ...nothingDone, converged: false, reasons, milliseconds }, bundle };
      }
    },
  };
}
