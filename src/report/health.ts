/**
 * What the probes are told. Alive means that passes go on; ready means that the last one proved the host.
 */
import type { PassResult } from './report.ts';
import type { Answer } from './server.ts';

export interface Health {
  /** A pass begins. */
  readonly begin: (now: number) => void;
  /** It has ended like this. */
  readonly end: (result: PassResult) => void;
  live(now: number): Answer;
  ready(): Answer;
}

/** A pass that takes longer than the longest wait for the lock and the longest refresh together hangs. */
const longestPassMs = 600_000;

/** Opens the health of one agent: alive, and not ready before the first pass has ended. */
export function openHealth(): Health {
  let begun: number | undefined;
  let last: PassResult | undefined;
  return {
    begin(now) {
      begun = now;
    },
    end(result) {
      begun = undefined;
      last = result;
    },
    live(now) {
      const hangs = begun !== undefined && now - begun > longestPassMs;
      return hangs ? { status: 503, text: 'a pass hangs\n' } : { status: 200, text: 'alive\n' };
    },
    ready() {
      if (last === undefined) return { status: 503, text: 'the first pass has not ended yet\n' };
      if (!last.converged) return { status: 503, text: last.reasons.map((reason) => `${reason}\n`).join('') };
      return { status: 200, text: `ready, anchors: ${last.anchors.length}, digest: ${last.digest}\n` };
    },
  };
}
