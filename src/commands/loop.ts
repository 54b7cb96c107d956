/**
 * When passes are made: on every trigger, folded; at the resync interval; again after a failure, ever less often. One
 * at a time, and never one that was not asked for.
 */
import type { Alarm } from './clock.ts';

/** A longer timer fires at once. */
const longestTimerMs = 2 ** 31 - 1;

export interface Pacing {
  /** Triggers that come so close together are one. */
  readonly foldMs: number;
  readonly resyncMs: number;
  /** The first retry after a failure; each further one doubles it. */
  readonly retryMs: number;
  readonly longestRetryMs: number;
  /** A pass that changed something is followed by another so much later, since others write to the store too. */
  readonly recheckMs: number;
}

/** What the loop needs to know of a pass to say when the next one is due. */
export interface PassEnd {
  readonly converged: boolean;
  readonly changed: boolean;
  /** It has written to a host that is not as decided afterwards. */
  readonly failedHalfWay: boolean;
  /** In so many milliseconds another pass has something to do. */
  readonly dueMs?: number | undefined;
}

/**
 * Why a pass is asked for. part: something changed, and more may be about to. whole: what came has nothing to be folded
 * with, so at once. drift: something changed on the host, which a pass that fails half-way does itself: after one that
 * does, only the retry is made.
 */
export type Cause = 'part' | 'whole' | 'drift';

export interface Loop {
  /** Something changed: make a pass soon. */
  trigger(cause: Cause): void;
  /** Lets the pass under way end, makes no further one, and resolves when `run` has. */
  stop(): Promise<void>;
  /** Makes passes until stopped, the first at once. `pass` must not throw. */
  run(pass: Pass): Promise<void>;
}

/** @param askedAt when something changed that no pass before has seen, by the steady clock; undefined when nothing is known to have */
export type Pass = (askedAt: number | undefined) => Promise<PassEnd>;

/** How long until the next pass when nothing triggers one; +-10 %, so that nodes do not march in step. */
export function pause(pacing: Pacing, end: PassEnd, failures: number, random: () => number): number {
  const spread = 0.9 + random() * 0.2;
  if (!end.converged) return Math.min(pacing.retryMs * 2 ** (failures - 1), pacing.longestRetryMs) * spread;
  const dueMs = end.changed ? Math.min(pacing.recheckMs, pacing.resyncMs) : pacing.resyncMs;
  return Math.min(dueMs * spread, longestTimerMs);
}

/** What is asked for between two passes: since when, by the steady clock, and what that ends the wait by. */
interface Asked {
  at: number | undefined;
  readonly bell: AbortController;
}

const nothingAsked = (): Asked => ({ at: undefined, bell: new AbortController() });

/** What ends the wait after a pass. */
function wakers({ failedHalfWay }: PassEnd, asked: Asked, drifted: Asked): AbortSignal {
  return failedHalfWay ? asked.bell.signal : AbortSignal.any([asked.bell.signal, drifted.bell.signal]);
}

/** Since when a pass is asked for. One that drift brings may be the first to see a change of the bundle. */
function sinceOf(asked: Asked, drifted: Asked, last: PassEnd | undefined): number | undefined {
  return asked.at ?? (last?.failedHalfWay === true ? undefined : drifted.at);
}

/** Opens a loop. */
export function openLoop(pacing: Pacing, clock: Alarm, random: () => number): Loop {
  let [asked, drifted] = [nothingAsked(), nothingAsked()];
  let end: PassEnd | undefined;
  let [stopping, failures] = [false, 0];
  /** When to look again after a change: the agent's own writes bring a pass before, which must not put it off. */
  let recheckAt = Number.POSITIVE_INFINITY;
  let running = Promise.resolve();

  const next = async (pass: Pass): Promise<void> => {
    const since = sinceOf(asked, drifted, end);
    [asked, drifted] = [nothingAsked(), nothingAsked()];
    end = await pass(since);
    const now = clock.steady();
    failures = end.converged ? 0 : failures + 1;
    const ms = pause(pacing, end, failures, random);
    if (end.converged && end.changed) recheckAt = now + ms;
    else if (recheckAt <= now) recheckAt = Number.POSITIVE_INFINITY;
    const woken = wakers(end, asked, drifted);
    await clock.sleep(Math.min(ms, recheckAt - now, end.dueMs ?? ms), woken).catch(() => undefined);
    if (woken.aborted && asked.bell.signal.reason !== 'whole' && !stopping) await clock.sleep(pacing.foldMs);
  };
  return {
    trigger(cause) {
      const it = cause === 'drift' ? drifted : asked;
      it.at ??= clock.steady();
      it.bell.abort(cause);
    },
    run(pass) {
      running = (async () => {
        while (!stopping) await next(pass);
      })();
      return running;
    },
    async stop() {
      stopping = true;
      asked.bell.abort();
      await running;
    },
  };
}
