/**
 * What the health endpoints answer. Alive means that passes go on; ready means that the last one proved the host.
 */
import type { PassResult } from './report.ts';
import type { Answer } from './server.ts';

export interface Health {
  /** A pass begins. */
  readonly begin: (now: number) => void;
  /** It has ended like this. */
  readonly end: (result: PassResult) => void;
  live(now: number): Answer;
  /**
   * The same for the kubelet's liveness probe, which shows what it was answered in an event of the pod only with a
   * redirect's status. That counts as alive, so while the host is not proven, the reason is answered with one that leads
   * nowhere.
   * (https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#http-probes)
   */
  liveWithReason(now: number): Answer;
  ready(): Answer;
}

/** A pass that takes longer than the longest wait for the lock and the longest refresh together hangs. */
const longestPassMs = 600_000;

/** Opens the health of one agent: alive, and not ready before the first pass has ended. */
export function openHealth(): Health {
  let begun: number | undefined;
  let last: PassResult | undefined;
  const live = (now: number): Answer => {
    const hangs = begun !== undefined && now - begun > longestPassMs;
    return hangs ? { status: 503, text: 'a pass hangs\n' } : { status: 200, text: 'alive\n' };
  };
  return {
    live,
    begin(now) {
      begun = now;
    },
    end(result) {
      begun = undefined;
      last = result;
    },
    liveWithReason(now) {
      const answer = live(now);
      const [reason] = last?.reasons ?? [];
      return answer.status !== 200 || reason === undefined ? answer : { status: 300, text: reason };
    },
    ready() {
      if (last === undefined) return { status: 503, text: 'the first pass has not ended yet\n' };
      if (!last.converged) return { status: 503, text: last.reasons.map((reason) => `${reason}\n`).join('') };
      return { status: 200, text: `ready, anchors: ${last.anchors.length}, digest: ${last.digest}\n` };
    },
  };
}
