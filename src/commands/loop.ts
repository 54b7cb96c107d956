/**
 * When passes are made: on every trigger, folded; at the resync interval; again after a failure, ever less often. One
 * at a time, and never one that was not asked for.
 */
import type { Clock } from '../stores/store.ts';

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
}

export interface Loop {
  /** Something changed: make a pass soon. */
  trigger(): void;
  /** Lets the pass under way end, makes no further one, and resolves when `run` has. */
  stop(): Promise<void>;
  /** Makes passes until stopped, the first at once. `pass` must not throw. */
  run(pass: () => Promise<PassEnd>): Promise<void>;
}

/** How long until the next pass when nothing triggers one; +-10 %, so that nodes do not march in step. */
export function pause(pacing: Pacing, end: PassEnd, failures: number, random: () => number): number {
  const spread = 0.9 + random() * 0.2;
  if (!end.converged) return Math.min(pacing.retryMs * 2 ** (failures - 1), pacing.longestRetryMs) * spread;
  return Math.min((end.changed ? pacing.recheckMs : pacing.resyncMs) * spread, longestTimerMs);
}

interface State {
  triggered: boolean;
  stopping: boolean;
  failures: number;
  running: Promise<void>;
}

/** A wait that can be cut short. */
interface Alarm {
  wait(ms: number): Promise<void>;
  ring(): void;
}

function openAlarm(): Alarm {
  let ring: () => void = () => undefined;
  return {
    wait: (ms) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        ring = () => {
          clearTimeout(timer);
          resolve();
        };
      }),
    ring: () => {
      ring();
    },
  };
}

/** Opens a loop. */
export function openLoop(pacing: Pacing, clock: Pick<Clock, 'sleep'>, random: () => number = Math.random): Loop {
  const alarm = openAlarm();
  const state: State = { triggered: false, stopping: false, failures: 0, running: Promise.resolve() };

  const isAsked = (): boolean => state.triggered || state.stopping;
  const next = async (pass: () => Promise<PassEnd>): Promise<void> => {
    state.triggered = false;
    const end = await pass();
    state.failures = end.converged ? 0 : state.failures + 1;
    if (!isAsked()) await alarm.wait(pause(pacing, end, state.failures, random));
    if (!state.stopping) await clock.sleep(isAsked() ? pacing.foldMs : 0);
  };
  const passes = async (pass: () => Promise<PassEnd>): Promise<void> => {
    while (!state.stopping) await next(pass);
  };
  return {
    trigger() {
      state.triggered = true;
      alarm.ring();
    },
    run(pass) {
      state.running = passes(pass);
      return state.running;
    },
    async stop() {
      state.stopping = true;
      alarm.ring();
      await state.running;
    },
  };
}
