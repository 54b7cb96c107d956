/**
 * The proof: what is on the host, read back and held against what was decided. The refresh command's exit code proves
 * nothing (design, rule 4).
 */
import type { Bundle } from './bundle/types.ts';
import type { Plan, Removal } from './plan.ts';
import type { StoreState, TrustStore } from './stores/store.ts';

export interface Proof {
  /** What is not as decided on the host; empty when it is proven. */
  readonly hostReasons: readonly string[];
  /** Removed by us, but still trusted because a file of another carries it. */
  readonly stillTrusted: readonly { readonly fingerprint: string; readonly file: string }[];
  /** The names of those that were removed, each by itself: nothing of ours is left of it, whatever else is not as decided. */
  readonly finished: readonly string[];
}

function short(fingerprint: string): string {
  return fingerprint.slice(0, 16);
}

/** Each wanted anchor is in the host's bundle, and its hash link finds it. */
function presenceReasons({ wanted, required }: Plan, state: StoreState, store: TrustStore): readonly string[] {
  const possible = new Set(required);
  const feasible = wanted.filter(({ fingerprint }) => possible.has(fingerprint));
  return feasible.flatMap(({ fingerprint, subject }) => {
    if (!state.trusted.has(fingerprint))
      return [`${short(fingerprint)} (${subject}) is not in ${store.bundle} on the host`];
    return state.unlinked.has(fingerprint) ? [`${short(fingerprint)} (${subject}) is not found by its hash link`] : [];
  });
}

/**
 * Where removed certificates are still trusted: in the file of another that carries one; in the bundle, for no reason;
 * in a file that somebody left beside the bundle.
 */
function remains(store: TrustStore, { remove }: Plan, state: StoreState): ReadonlyMap<string, string> {
  const prints = remove.flatMap(({ fingerprint }) => fingerprint ?? []);
  const held = prints.length === 0 ? new Map<string, string>() : store.holders();
  const found = prints.flatMap((print): [string, string][] => {
    const holder = held.get(print);
    if (holder === undefined) return [];
    return [[print, state.carriers.get(print) ?? (state.trusted.has(print) ? store.bundle : holder)]];
  });
  return new Map(found);
}

/** The names of files of ours that are on the host. A directory of such a name is another's: what we had there is gone. */
function filesIn({ own }: StoreState): ReadonlySet<string> {
  return new Set(own.flatMap(({ name, content }) => (content === 'directory' ? [] : [name])));
}

/** Tells whether there is anything of what is to be removed: its file, a link to it, or its place in the bundle. */
export function remnantsIn(state: StoreState): (removal: Removal) => boolean {
  const names = new Set([...filesIn(state), ...state.dangling]);
  return ({ name, fingerprint = '' }) => names.has(name) || state.trusted.has(fingerprint);
}

/** Whether programs can be led to the bundle: it is whole, and has something of ours in it where it must have. */
export function isSound({ required }: Plan, { problems, own, trusted }: StoreState): boolean {
  const holdsOurs = own.some(({ fingerprint = '' }) => trusted.has(fingerprint));
  return problems.length === 0 && (required.length === 0 || holdsOurs);
}

/** Proves a plan against the state of the host after it. */
export function prove(store: TrustStore, plan: Plan, state: StoreState): Proof {
  const held = [...remains(store, plan, state)];
  const revived = held.filter(([, file]) => file === store.bundle);
  const stillTrusted = held.filter(([, file]) => file !== store.bundle);
  const [files, links] = [filesIn(state), new Set(state.dangling)];
  const left = plan.remove.filter(({ name }) => files.has(name));
  const linked = plan.remove.filter(({ name }) => links.has(name));
  const isRevived = ({ fingerprint }: Removal): boolean => revived.some(([print]) => print === fingerprint);
  const isFinished = (one: Removal): boolean => !files.has(one.name) && !links.has(one.name) && !isRevived(one);
  return {
    hostReasons: [
      ...plan.conflicts,
      ...presenceReasons(plan, state, store),
      ...revived.map(([print, file]) => `${short(print)} was removed but is still in ${file} on the host`),
      ...left.map(({ name }) => `${store.anchorDirectory}/${name} on the host is still there`),
      ...linked.map(
        ({ name }) => `links to ${store.anchorDirectory}/${name} on the host, which is gone, are still there`,
      ),
      ...state.problems,
      ...(state.unmade ?? []),
    ],
    stillTrusted: stillTrusted.map(([fingerprint, file]) => ({ fingerprint, file })),
    // What is in a bundle that is broken, nobody knows.
    finished: state.problems.length > 0 ? [] : plan.remove.filter(isFinished).map(({ name }) => name),
  };
}

/** What is to be said of a bundle that may be out of date, once nobody waits for a better one. */
export function bundleNotes({ provisional }: Bundle, heldBack: number): readonly string[] {
  if (provisional === undefined || provisional.soon) return [];
  return [`${provisional.why}; removals held back until then: ${heldBack}`];
}

/** Why the bundle itself keeps the host from being converged. */
export function bundleReasons(bundle: Bundle, heldBack: number): readonly string[] {
  const errors = bundle.findings.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (first === undefined) return bundle.provisional?.soon === true ? [bundle.provisional.why] : [];
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  const place = first.index === undefined ? first.source : `${first.source}[${first.index}]`;
  const held = heldBack > 0 ? `; removals held back until the bundle is valid: ${heldBack}` : '';
  return [`${first.code}: ${place}: ${first.message}${more}${held}`];
}
