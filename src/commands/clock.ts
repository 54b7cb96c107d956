/**
 * The machine's own time, as commands take it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../host/clock.ts';

/** A clock whose waits can be cut short: they then end in an AbortError. */
export interface Alarm extends Clock {
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Alarm = {
  now: () => Date.now(),
  steady: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
};
