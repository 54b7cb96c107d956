/**
 * What a pass sees of the host's trust store, and the change that it makes of it under the lock: from the intent in the
 * ledger to the proof.
 */
import { readBundle } from './bundle/bundle.ts';
import type { Anchor, Bundle } from './bundle/types.ts';
import { datesOf, publishedAt, trustedNames } from './dates.ts';
import type { Clock } from './host/clock.ts';
import type { Host } from './host/host.ts';
import { type Ledger, datedNames, missingAbove, readLedger, removeLedger, writeLedger } from './host/ledger.ts';
import type { Lock } from './host/lock.ts';
import { type Moment, readMoment } from './host/moment.ts';
import { Problem, caught, explain } from './host/problem.ts';
import { type Plan, type Policy, decide, isIdle, leavesStore, mayRemove } from './plan.ts';
import { type Proof, isSound, prove, remnantsIn } from './proof.ts';
import type { StoreState, TrustStore } from './stores/store.ts';

/** Other writers of the store can undo a change while it is proven; so often it is made again within one pass. */
const maxRounds = 4;

/** What a pass decides about. */
export interface StoreScene {
  readonly host: Host;
  readonly store: TrustStore;
  readonly clock: Pick<Clock, 'now'>;
  readonly instance: string;
  readonly policy: Policy;
  readonly bundle: Bundle;
  /** Tell hooks again what they have not heard, also where nothing else changes. */
  readonly retell: boolean;
}

/** What came of a change, or of none. */
export interface Made {
  readonly proof: Proof;
  readonly notes: readonly string[];
  /** The ledger after it, and the host. */
  readonly ledger: Ledger;
  readonly state: StoreState;
  /** It ended half-way, by what the proof has for its first reason. */
  readonly isFailed: boolean;
  /** Programs can be led to the bundle, whatever else is wrong. */
  readonly isSound: boolean;
}

/** What a pass has to tell of the host. */
export interface Outcome extends Made {
  readonly plan: Plan;
  readonly added: readonly string[];
  readonly repaired: readonly string[];
  readonly removed: readonly string[];
  readonly refreshed: readonly string[];
}

export interface Survey {
  readonly state: StoreState;
  readonly plan: Plan;
  readonly ledger: Ledger;
}

const anyCertificate = { now: new Date(0), allowLeaf: true, allowEmpty: true, maxCertificates: 1 };

/** What files of ours hold and the bundle does not. It goes only when the bundle allows it, and is looked at until then. */
function otherAnchors({ host, store, bundle, policy }: StoreScene, { own }: StoreState): readonly Anchor[] {
  if (mayRemove({ bundle, policy })) return [];
  const known = new Set(bundle.anchors.map(({ fingerprint }) => fingerprint));
  const files = own.filter(({ fingerprint }) => fingerprint !== undefined && !known.has(fingerprint));
  const held = files.flatMap(({ name }) => {
    const source = `${store.anchorDirectory}/${name}`;
    const bytes = host.read(source);
    return bytes === undefined
      ? []
      : readBundle([{ files: [{ source, bytes }], findings: [] }], anyCertificate).anchors;
  });
  return held.filter((anchor) => store.drops?.(anchor) === undefined);
}

/** What is on the host and what follows from it. */
export function survey(scene: StoreScene): Survey {
  const { host, store, instance, policy, bundle, retell } = scene;
  const ledger = readLedger(host, instance, store);
  const wanted = policy.removeAll ? [] : bundle.anchors;
  const first = store.observe(wanted);
  const others = otherAnchors(scene, first);
  const state = others.length === 0 ? first : store.observe([...wanted, ...others]);
  const nameOf = (fingerprint: string): string => store.nameOf(fingerprint);
  const plan = decide({ bundle, ledger, state, others, policy, retell, nameOf });
  return { state, plan, ledger: ledger.ledger };
}

/**
 * Every file and directory of ours that may be on the host while the change is under way, or whose removal is not proven
 * before its end.
 */
function intended({ host, store }: StoreScene, { ledger, plan, state }: Survey): Ledger {
  const { required, remove, heldBack } = plan;
  const files = new Map(ledger.files.map(({ name, fingerprint }) => [name, fingerprint]));
  for (const { name, fingerprint } of [...remove, ...heldBack]) files.set(name, fingerprint ?? files.get(name) ?? '');
  for (const fingerprint of required) files.set(store.nameOf(fingerprint), fingerprint);
  const made = [...new Set([...ledger.made, ...missingAbove(host, `${store.anchorDirectory}/any`)])].sort();
  // What the host does not trust now is news once it does, whoever publishes it.
  const trusted = new Set(trustedNames(plan, state, (fingerprint) => store.nameOf(fingerprint)));
  const dated = datedNames(ledger).filter((name) => trusted.has(name));
  return { ...ledger, files: [...files].map(([name, fingerprint]) => ({ name, fingerprint })), made, dated };
}

/** The ledger after a change: what is there, and what may be as long as its removal is not proven. */
function recorded(intent: Ledger, plan: Plan, { finished }: Proof): Ledger {
  const gone = new Set(finished);
  return { ...intent, files: intent.files.filter(({ name }) => !gone.has(name)), announced: [...plan.present] };
}

/** The dates of the record after a change, where there is a clock to go by, and what is dated. */
function dates(
  { host, store }: StoreScene,
  { ledger, plan, state: before }: Survey,
  after: StoreState,
  { finished }: Proof,
  published: Moment | undefined,
): Pick<Ledger, 'added' | 'removed' | 'dated'> {
  const nameOf = (fingerprint: string): string => store.nameOf(fingerprint);
  const dated = [...trustedNames(plan, after, nameOf)];
  const now = readMoment(host);
  if (now === undefined || published === undefined) return { dated };
  return { ...datesOf(ledger, { plan, before, after, finished, nameOf, published, now }), dated };
}

/** Writes the ledger where no more is to be done. Where it cannot be, the next pass dates what this one has seen. */
function tryToWrite({ host, instance }: StoreScene, ledger: Ledger): void {
  caught(() => {
    writeLedger(host, instance, ledger);
  });
}

/**
 * What a change has come to that failed half-way: where what is there is sound, others go by that.
 * @throws Problem the failure, where nothing can be said but that
 */
function failed(failure: Problem, scene: StoreScene, seen: Survey, intent: Ledger, published?: Moment): Made {
  const { store } = scene;
  const state = caught(() => store.observe(seen.plan.wanted));
  if (state instanceof Problem || !isSound(seen.plan, state)) throw failure;
  const proof = { hostReasons: [explain(failure), ...seen.plan.conflicts], stillTrusted: [], finished: [] };
  const ledger = { ...intent, ...dates(scene, seen, state, proof, published) };
  tryToWrite(scene, ledger);
  return { proof, notes: [], ledger, state, isFailed: true, isSound: true };
}

function problemOnly(error: unknown): Problem {
  if (error instanceof Problem) return error;
  throw error;
}

/** One change of the host, from the intent in the ledger to the proof. */
async function change(scene: StoreScene, lock: Lock, seen: Survey): Promise<Made> {
  const { host, store, instance } = scene;
  const { ledger, plan } = seen;
  const intent = intended(scene, seen);
  writeLedger(host, instance, intent);
  const request = {
    add: plan.add,
    remove: plan.remove.map(({ name }) => name),
    clean: plan.clean,
    link: [...plan.add, ...plan.relink],
    refresh: plan.refresh.length > 0,
    required: new Set(plan.required),
    announced: ledger.announced,
    present: plan.present,
    unheard: ledger.unheard ?? [],
  };
  const published = publishedAt(host, store, scene.clock);
  const changed = await store.change(request, lock).catch(problemOnly);
  if (changed instanceof Problem) return failed(changed, scene, seen, intent, published);
  const { notes, unheard } = changed;
  const state = store.observe(plan.wanted);
  const proof = prove(store, plan, state);
  const { others } = state;
  const record = {
    ...recorded(intent, plan, proof),
    unheard: unheard.length > 0 ? [...unheard] : undefined,
    ...(others !== undefined && { others }),
    ...dates(scene, seen, state, proof, published),
  };
  // Only what an anchor directory can need was ever made, whatever the ledger says.
  const above = record.made.filter((directory) => `${store.anchorDirectory}/`.startsWith(`${directory}/`));
  if (plan.forget && proof.hostReasons.length === 0) removeLedger(host, instance, { ...record, made: above });
  else writeLedger(host, instance, record);
  return { proof, notes, ledger: record, state, isFailed: false, isSound: isSound(plan, state) };
}

/** What is there where nothing is changed. */
export function unchanged({ store }: StoreScene, { plan, state, ledger }: Survey): Made {
  const proof = prove(store, { ...plan, remove: [] }, state);
  return { proof, notes: [], ledger, state, isFailed: false, isSound: isSound(plan, state) };
}

/** What is there where nothing of the store is changed, and put on record since when, of what another has published. */
function untouched(scene: StoreScene, seen: Survey): Made {
  const made = unchanged(scene, seen);
  if (isIdle(seen.plan)) return made;
  const published = publishedAt(scene.host, scene.store, scene.clock);
  const ledger = { ...seen.ledger, ...dates(scene, seen, seen.state, made.proof, published) };
  tryToWrite(scene, ledger);
  return { ...made, ledger };
}

/** Those of the wanted anchors that the host does not trust as it should. */
function lackingAnchors({ required }: Plan, { own, trusted, unlinked }: StoreState): readonly string[] {
  const installed = new Set(own.flatMap(({ fingerprint }) => fingerprint ?? []));
  return required.filter((print) => !installed.has(print) || !trusted.has(print) || unlinked.has(print));
}

/**
 * What the first look at the host says of this pass, for the report.
 * @param after what is there since, where it cannot be all that was decided
 */
export function account(
  { ledger, plan, state }: Survey,
  store: TrustStore,
  after?: StoreState,
): Pick<Outcome, 'added' | 'repaired' | 'removed'> {
  const heard = new Set(ledger.announced);
  const still = new Set(after === undefined ? [] : lackingAnchors(plan, after));
  const isLeft = after === undefined ? () => false : remnantsIn(after);
  const prints = lackingAnchors(plan, state).filter((fingerprint) => !still.has(fingerprint));
  return {
    added: prints.filter((fingerprint) => !heard.has(store.nameOf(fingerprint))),
    repaired: prints.filter((fingerprint) => heard.has(store.nameOf(fingerprint))),
    removed: plan.remove.filter((one) => !isLeft(one)).map(({ fingerprint, name }) => fingerprint ?? name),
  };
}

/** Whether another round repairs nothing: all is well, or it failed, or the same is wrong as before it. */
function isOver({ proof: { hostReasons }, isFailed }: Made, before: Made | undefined): boolean {
  return isFailed || hostReasons.length === 0 || hostReasons.join('\n') === before?.proof.hostReasons.join('\n');
}

/**
 * Changes the host until it is proven. What another writer undoes meanwhile is done again; what stays the same when it was
 * done again, no refresh repairs.
 */
export async function changeUntilProven(scene: StoreScene, lock: Lock): Promise<Outcome> {
  const first = survey(scene);
  const refreshed = new Set<string>();
  const notes = new Set<string>();
  let before: Made | undefined;
  for (let round = 1, seen = first; ; round += 1, seen = survey(scene)) {
    const { plan } = seen;
    const idle = isIdle(plan);
    const made = leavesStore(plan) ? untouched(scene, seen) : await change(scene, lock, seen);
    const after = made.isFailed ? made.state : undefined;
    for (const reason of made.isFailed ? [] : plan.refresh) refreshed.add(reason);
    for (const note of made.notes) notes.add(note);
    if (idle || round === maxRounds || isOver(made, before)) {
      const told = account(first, scene.store, after);
      const all = [...notes, ...plan.strangers, ...seen.state.notes];
      return { ...made, plan, ...told, refreshed: [...refreshed], notes: all };
    }
    before = made;
  }
}
