/**
 * How long a changed bundle took from its arrival at the agent to its proof on the host. It begins when the agent heard
 * that something changed (the event of the watch on the Secret, or of the kubelet's new files) and not when the API server
 * wrote it: that time is of another clock, and in whole seconds.
 */
import type { PassResult } from './report.ts';

/** @returns milliseconds, when the pass proved a bundle that is another than before */
export type Lag = (
  pass: Pick<PassResult, 'digest' | 'converged'>,
  askedAt: number | undefined,
  now: number,
) => number | undefined;

/** Opens the measuring. The bundle that an agent starts with is no change. */
export function openLag(): Lag {
  let last: string | undefined;
  let since: number | undefined;
  return ({ digest, converged }, askedAt, now) => {
    if (last !== undefined && digest !== last) since = askedAt;
    last = digest;
    if (!converged || since === undefined) return undefined;
    const lag = now - since;
    since = undefined;
    return lag;
  };
}
