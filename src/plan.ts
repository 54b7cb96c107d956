/**
 * The decision of a pass, and nothing else: a pure function of the bundle, the ledger, what is on the host and the
 * policy. Rules 1 and 2 of the design live here.
 */
import { type Anchor, type Bundle, hasErrors } from './bundle/types.ts';
import { type LedgerFile, datedNames } from './host/ledger.ts';
import type { OwnFile, StoreState } from './stores/store.ts';

export interface Policy {
  /** Any error finding refuses the whole bundle. */
  readonly strict: boolean;
  /** Take off everything of this instance; the bundle does not count. */
  readonly removeAll: boolean;
}

/** A file of ours to take off, or one that is off already and whose removal is not proven yet. */
export interface Removal {
  readonly name: string;
  readonly fingerprint: string | undefined;
}

export interface Plan {
  /** What the host must be proven to trust: the bundle's, and what must not be taken off. */
  readonly wanted: readonly Anchor[];
  /** Fingerprints of those whose files can be there. */
  readonly required: readonly string[];
  readonly add: readonly Anchor[];
  readonly remove: readonly Removal[];
  /** What would be removed, were the bundle valid and known to be the last word. */
  readonly heldBack: readonly Removal[];
  readonly clean: readonly string[];
  /** Those that are there, and are not found by their hash. */
  readonly relink: readonly Anchor[];
  /** Why the host's refresh command has to run; empty when it has not. */
  readonly refresh: readonly string[];
  /** Names of the files of ours that are there afterwards. */
  readonly present: readonly string[];
  /** The host's hooks have not heard of exactly those. */
  readonly announce: boolean;
  /** Names of files of ours that the host trusts, and since when is not on record: another has published them. */
  readonly undated: readonly string[];
  /** The ledger has to go: nothing of ours is to be left. */
  readonly forget: boolean;
  /** What stands in the way: each a line for the admin. */
  readonly conflicts: readonly string[];
  /** Files that bear our name, are not ours and stand in nobody's way: each a line for the admin. */
  readonly strangers: readonly string[];
}

export interface PlanInput {
  readonly bundle: Bundle;
  readonly ledger: LedgerFile;
  readonly state: StoreState;
  /** What files of ours hold and the bundle does not, as far as the store takes it. */
  readonly others?: readonly Anchor[];
  readonly policy: Policy;
  /** Hooks are told again what they have not heard. */
  readonly retell?: boolean;
  /** The name of an anchor's file. */
  readonly nameOf: (fingerprint: string) => string;
}

/** The anchors that must be there: all valid ones; none when strict and there is an error, or when all goes. */
function wantedAnchors({ bundle, policy }: PlanInput): readonly Anchor[] {
  if (policy.removeAll || (policy.strict && hasErrors(bundle.findings))) return [];
  return bundle.anchors;
}

/** Those that are installed, not wanted and not to be taken off: the host goes on trusting them. */
function stayingAnchors(input: PlanInput, wanted: readonly Anchor[]): readonly Anchor[] {
  if (mayRemove(input)) return [];
  const there = new Set(input.state.own.flatMap(({ fingerprint }) => fingerprint ?? []));
  const known = [...input.bundle.anchors, ...(input.others ?? [])];
  return known.filter((anchor) => there.has(anchor.fingerprint) && !wanted.includes(anchor));
}

/**
 * Which anchors' files have to be written: those missing, and those of ours that somebody altered. Barred are those whose
 * name is taken by a file that is not ours.
 */
function decideFiles(input: PlanInput, wanted: readonly Anchor[]): Record<'add' | 'barred', readonly Anchor[]> {
  const present = new Map(input.state.own.map((file) => [file.name, file]));
  const add: Anchor[] = [];
  const barred: Anchor[] = [];
  for (const anchor of wanted) {
    const file = present.get(input.nameOf(anchor.fingerprint));
    if (file?.fingerprint === anchor.fingerprint) continue;
    (file === undefined || isOurs(file, input) ? add : barred).push(anchor);
  }
  return { add, barred };
}

/** Whether a file that bears our name is ours: its content hashes to its name, or the ledger says so of what is a file. */
function isOurs(file: OwnFile, input: PlanInput): boolean {
  if (file.content === 'directory') return false;
  return file.content === 'intact' || input.ledger.ledger.files.some(({ name }) => name === file.name);
}

/** Everything of ours that is not wanted: files, links left without one, and removals that were not proven. */
function unwanted(input: PlanInput, wanted: readonly Anchor[]): readonly Removal[] {
  const keep = new Set(wanted.map((anchor) => input.nameOf(anchor.fingerprint)));
  // Of a link that was left without its file the ledger says none.
  const recorded = new Map(input.ledger.ledger.files.map((file) => [file.name, file.fingerprint || undefined]));
  const found = new Map<string, string | undefined>(recorded);
  for (const file of input.state.own) {
    if (isOurs(file, input)) found.set(file.name, file.fingerprint ?? recorded.get(file.name));
  }
  const files = new Set(input.state.own.map(({ name }) => name));
  for (const link of input.state.dangling) if (!found.has(link) && !files.has(link)) found.set(link, undefined);
  return [...found]
    .filter(([name]) => !keep.has(name))
    .map(([name, fingerprint]) => ({ name, fingerprint }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Rule 1: removing trust needs a valid bundle, and one that cannot be older than what is installed. */
export function mayRemove({ bundle, policy }: Pick<PlanInput, 'bundle' | 'policy'>): boolean {
  return policy.removeAll || (!hasErrors(bundle.findings) && bundle.provisional === undefined);
}

/** How many certificates of others the host's bundle has lost since the last change; none if not positive. */
function lostOthers({ state, ledger }: PlanInput): number {
  return (ledger.ledger.others ?? 0) - (state.others ?? Number.POSITIVE_INFINITY);
}

/** Why the refresh command has to run. Its cost is seconds of two cores, so never without a reason. */
function refreshReasons(
  input: PlanInput,
  settled: readonly Anchor[],
  { add, relink, remove }: Pick<Plan, 'add' | 'relink' | 'remove'>,
): readonly string[] {
  const { state, ledger } = input;
  const untrusted = settled.filter((anchor) => !state.trusted.has(anchor.fingerprint)).length;
  const lost = lostOthers(input);
  return [
    ...state.problems,
    ...(state.unmade ?? []),
    ...(state.isUnfinished === true ? ['an earlier pass was ended before it was done'] : []),
    ...(lost > 0 ? [`certificates of others that the host's bundle has lost: ${lost}`] : []),
    ...(add.length > 0 ? [`${add.length} to install`] : []),
    ...(remove.length > 0 ? [`${remove.length} to remove`] : []),
    ...(untrusted > 0 ? [`${untrusted} installed, but not in the host's bundle`] : []),
    ...(relink.length > 0 ? [`${relink.length} without a working link`] : []),
    ...(ledger.state !== 'kept' && state.own.some(({ content }) => content === 'intact')
      ? ['the ledger was lost']
      : []),
  ];
}

/** The files of ours that are there after the change. */
function presentFiles(input: PlanInput, add: readonly Anchor[], remove: readonly Removal[]): readonly string[] {
  const removing = new Set(remove.map(({ name }) => name));
  const staying = input.state.own.filter(({ content, name }) => content === 'intact' && !removing.has(name));
  const added = add.map(({ fingerprint }) => input.nameOf(fingerprint));
  return [...new Set([...staying.map(({ name }) => name), ...added])].sort();
}

/** Whether the host's hooks have to be told, at a time when those that failed are told again. */
function mustAnnounce({ ledger, retell }: PlanInput, present: readonly string[]): boolean {
  const { announced, unheard = [] } = ledger.ledger;
  return [...announced].sort().join() !== present.join() || (retell === true && unheard.length > 0);
}

/** The names of those that the host trusts by now, as far as the record has no date for it. */
function undatedNames({ state, ledger, nameOf }: PlanInput, settled: readonly Anchor[]): readonly string[] {
  const dated = new Set(datedNames(ledger.ledger));
  const trusted = settled.filter(({ fingerprint }) => state.trusted.has(fingerprint));
  return trusted.map(({ fingerprint }) => nameOf(fingerprint)).filter((name) => !dated.has(name));
}

/** Decides what a pass does. Pure: the same input gives the same plan. */
export function decide(input: PlanInput): Plan {
  const { state, ledger, policy, nameOf } = input;
  const wanted = wantedAnchors(input);
  const { add, barred } = decideFiles(input, wanted);
  const feasible = wanted.filter((anchor) => !barred.includes(anchor));
  const staying = stayingAnchors(input, wanted);
  const settled = [...feasible.filter((anchor) => !add.includes(anchor)), ...staying];
  const barredNames = new Set(barred.map(({ fingerprint }) => nameOf(fingerprint)));
  const strange = state.own.filter((file) => !isOurs(file, input) && !barredNames.has(file.name));
  const candidates = unwanted(input, wanted);
  const remove = mayRemove(input) ? candidates : [];
  const relink = settled.filter(({ fingerprint }) => state.unlinked.has(fingerprint));
  const refresh = refreshReasons(input, settled, { add, relink, remove });
  const present = presentFiles(input, add, remove);
  const announce = mustAnnounce(input, present);
  const changes = refresh.length > 0 || state.leftovers.length > 0 || announce;
  return {
    wanted: [...wanted, ...staying],
    required: [...feasible, ...staying].map(({ fingerprint }) => fingerprint),
    add,
    remove,
    heldBack: mayRemove(input) ? [] : candidates,
    clean: state.leftovers,
    relink,
    refresh,
    present,
    announce,
    undated: undatedNames(input, settled),
    forget: policy.removeAll && (changes || ledger.state !== 'absent'),
    conflicts: [...barredNames].map(
      (name) => `${name} on the host is not ours, though it bears our name; move it away`,
    ),
    strangers: strange.map(({ name }) => `${name} on the host bears our name but is not ours; it is left alone`),
  };
}

/** A plan that changes nothing of the store: no process is started for it. */
export function leavesStore(plan: Plan): boolean {
  return plan.refresh.length === 0 && plan.clean.length === 0 && !plan.announce && !plan.forget;
}

/** A plan that changes nothing at all: no lock is taken for it. */
export function isIdle(plan: Plan): boolean {
  return leavesStore(plan) && plan.undated.length === 0;
}
