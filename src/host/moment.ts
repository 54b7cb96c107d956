/**
 * When something happened on the host, so that it can be compared with when a process was started: no clock that somebody
 * sets is asked.
 */
import * as z from 'zod/mini';
import type { Host } from './host.ts';

export const momentShape = z.object({
  /** The kernel's name for this run of the machine. */
  boot: z.string(),
  /** Seconds since then. */
  seconds: z.number(),
});

export type Moment = z.infer<typeof momentShape>;

/** Now; undefined on a host whose /proc is not to be seen, and so none of its processes either. */
export function readMoment(host: Pick<Host, 'read'>): Moment | undefined {
  const boot = host.read('/proc/sys/kernel/random/boot_id')?.toString('utf8').trim();
  const seconds = Number.parseFloat(host.read('/proc/uptime')?.toString('utf8') ?? '');
  return boot === undefined || Number.isNaN(seconds) ? undefined : { boot, seconds };
}
