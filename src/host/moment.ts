/**
 * When something happened on the host, so that it can be compared with when a process was started: no clock that somebody
 * sets is asked.
 */
import * as z from 'zod/mini';
import type { Host } from './host.ts';

export const momentShape = z.object({
  /** The kernel's name for this boot. */
  boot: z.string(),
  /** Seconds since it began. */
  seconds: z.number(),
});

export type Moment = z.infer<typeof momentShape>;

/** Now; undefined on a host whose /proc is not to be seen, and so none of its processes either. */
export function readMoment(host: Pick<Host, 'read'>): Moment | undefined {
  const boot = host.read('/proc/sys/kernel/random/boot_id')?.toString('utf8').trim();
  const seconds = Number.parseFloat(host.read('/proc/uptime')?.toString('utf8') ?? '');
  return boot === undefined || Number.isNaN(seconds) ? undefined : { boot, seconds };
}

/** The times of files and the clock since the boot are no finer, in seconds. */
const grain = 0.02;

/**
 * When something was at the latest that has a time by the clock that people set: now where that time is still to come; zero
 * where it was before this boot.
 */
export function momentOf(now: Moment, nowMs: number, thenMs: number): Moment {
  const age = (nowMs - thenMs) / 1000 - grain;
  return age < 0 ? now : { ...now, seconds: Math.max(0, Math.ceil((now.seconds - age) * 100) / 100) };
}

/** The later of two. One of an earlier boot counts for nothing. */
export function later(one: Moment | undefined, other: Moment): Moment {
  return one?.boot === other.boot && one.seconds > other.seconds ? one : other;
}
