/**
 * When the host came to trust something through an instance, and when it ceased to: what a program that has read the store
 * before does not know.
 */
import type { Clock } from './host/clock.ts';
import type { Host } from './host/host.ts';
import { type Ledger, datedNames } from './host/ledger.ts';
import { type Moment, later, momentOf, readMoment } from './host/moment.ts';
import { Problem, caught } from './host/problem.ts';
import type { Plan } from './plan.ts';
import { type Proof, remnantsIn } from './proof.ts';
import type { StoreState, TrustStore } from './stores/store.ts';

/**
 * Since when the bundle is what it is, at the latest: what is in it is trusted since then, what is not there is gone since
 * then. To be asked before a change; undefined where nothing can be dated.
 */
export function publishedAt(host: Host, { bundle }: TrustStore, clock: Pick<Clock, 'now'>): Moment | undefined {
  const now = readMoment(host);
  // Which link leads to it counts too. Without a bundle, or with one that cannot be looked at, nothing is known.
  const times = [() => host.entry(bundle), () => host.target(bundle)].map((look) => {
    const entry = caught(look);
    return entry instanceof Problem ? Number.POSITIVE_INFINITY : (entry?.changed ?? Number.POSITIVE_INFINITY);
  });
  return now && momentOf(now, clock.now(), Math.max(...times));
}

/** What a change has made of a host. */
export interface Course {
  readonly plan: Plan;
  readonly before: StoreState;
  readonly after: StoreState;
  readonly finished: Proof['finished'];
  readonly nameOf: (fingerprint: string) => string;
  readonly published: Moment;
  readonly now: Moment;
}

/** The names of those required that a state has in the bundle: they can be dated. */
export function trustedNames({ required }: Plan, { trusted }: StoreState, nameOf: Course['nameOf']): readonly string[] {
  return required.filter((print) => trusted.has(print)).map(nameOf);
}

function addedAt(ledger: Ledger, course: Course): Moment {
  const { added: last } = ledger;
  const { plan, before, after, nameOf, published, now } = course;
  if (plan.required.some((print) => !before.trusted.has(print) && after.trusted.has(print))) return now;
  // In the bundle, and news to the record: a pass that was killed has published it, or another did: the node's first boot.
  const known = new Set(datedNames(ledger));
  const isNews = trustedNames(plan, before, nameOf).some((name) => !known.has(name));
  return last !== undefined && !isNews ? last : later(last, published);
}

function removedAt({ removed: last }: Ledger, course: Course): Moment | undefined {
  const { plan, before, after, finished, published, now } = course;
  const [wasThere, isThere] = [remnantsIn(before), remnantsIn(after)];
  const done = new Set(finished);
  const over = plan.remove.filter((one) => done.has(one.name) || (wasThere(one) && !isThere(one)));
  if (over.length === 0) return last;
  return over.some(wasThere) ? now : later(last, published);
}

/** The dates of the record after a change. @param ledger the record before it */
export function datesOf(ledger: Ledger, course: Course): Pick<Ledger, 'added' | 'removed'> {
  const removed = removedAt(ledger, course);
  return { added: addedAt(ledger, course), ...(removed !== undefined && { removed }) };
}
