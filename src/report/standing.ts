/**
 * What a Node says of its trust: the condition, the annotation and the Events that follow from a pass. Nothing here asks
 * or writes anything.
 */
import type { Proof } from '../api/trust-annotation.ts';
import { printable } from '../bundle/text.ts';
import type { PassResult, RuntimeState } from './report.ts';

export interface Condition {
  readonly status: 'True' | 'False' | 'Unknown';
  /** CamelCase, for programs. */
  readonly reason: string;
  readonly message: string;
}

/** What a Node says that nothing has been told of yet. */
export const starting: Condition = {
  status: 'Unknown',
  reason: 'Starting',
  message: 'the agent has not ended its first pass yet',
};

export interface NodeEvent {
  readonly reason:
    'TrustUpdated' | 'TrustRefused' | 'TrustRepaired' | 'TrustRemoved' | 'RuntimeRestartNeeded' | 'PullsIncomplete';
  readonly type: 'Normal' | 'Warning';
  readonly note: string;
}

/** The API server takes 32 KiB, and 1 KiB for an Event; whoever reads one wants a line. */
const longestText = 250;
const mostBytes = 1024;

/** From worst to best. */
const runtimeStates: readonly RuntimeState['state'][] = [
  'restart-failed',
  'restart-needed',
  'incomplete',
  'revoked-after-restart',
  'trusts',
];

/** The worst state of a container runtime, or `none` when there is none. Of those not seen no pull is known to see the store. */
function worst({ runtimes, runtimesUnseen }: PassResult): RuntimeState['state'] | 'none' {
  if (runtimesUnseen === true) return 'incomplete';
  return runtimeStates.find((state) => runtimes.some((runtime) => runtime.state === state)) ?? 'none';
}

/** Pulls see the store. */
const good: readonly RuntimeState['state'][] = ['revoked-after-restart', 'trusts'];

function textOf({ name, message }: RuntimeState): string {
  return printable(`${name}: ${message}`, longestText);
}

/** What kind of reason keeps the host from being converged, by the words that it begins with. */
function reasonOf(first: string, { findings, runtimes }: PassResult): string {
  const finding = findings.find(({ severity, code }) => severity === 'error' && first.startsWith(`${code}: `));
  if (finding !== undefined) {
    const words = finding.code.split('-').map((word) => word.charAt(0).toUpperCase() + word.slice(1));
    return `Bundle${words.join('')}`;
  }
  return runtimes.some(({ name }) => first.startsWith(`${name}: `)) ? 'RuntimeNotReady' : 'HostNotProven';
}

export function conditionOf(result: PassResult): Condition {
  const { converged, anchors, digest, reasons, runtimes, heldBack, runtimesUnseen, stale } = result;
  if (converged) {
    const proven = `proven: the node trusts the bundle; anchors: ${anchors.length}, digest: ${digest.slice(0, 16)}`;
    const held = heldBack.length === 0 ? [] : [`removals held back until the API server answers: ${heldBack.length}`];
    const left = runtimes.filter(({ state }) => !good.includes(state)).map(textOf);
    const last = stale === undefined ? [] : [printable(stale, longestText)];
    const unseen = runtimesUnseen === true ? ['the container runtimes could not be looked at'] : [];
    return {
      status: 'True',
      reason: 'Proven',
      message: [proven, ...held, ...left, ...unseen, ...last].join('; '),
    };
  }
  const [first = 'unknown'] = reasons;
  const more = reasons.length > 1 ? ` (and ${reasons.length - 1} more)` : '';
  return { status: 'False', reason: reasonOf(first, result), message: printable(first, longestText) + more };
}

/**
 * @returns undefined when nothing was proven: then what was proven before stands. A node that still trusts what another
 *   bundle held has not proven this one
 */
export function proofOf(result: PassResult, version: string): Proof | undefined {
  const { converged, heldBack, digest, anchors } = result;
  if (!converged || heldBack.length > 0) return undefined;
  const [expires] = anchors.map(({ notAfter }) => notAfter).sort();
  const expiry = expires === undefined ? {} : { expires };
  return { digest, anchors: anchors.length, ...expiry, runtime: worst(result), version };
}

/** What a bundle is told from another by: each node that has the same has the same to say of it. */
export function bundleOf({ digest, findings }: PassResult): string {
  const errors = findings.filter(({ severity }) => severity === 'error');
  return [digest, ...errors.map(({ code, source }) => `${code} ${source}`)].join();
}

/** Workloads that need the bundle may come: the host trusts it, and so do pulls, but for what others have to mend. */
export function mayStart({ converged, runtimes, runtimesUnseen }: PassResult): boolean {
  return (
    converged && runtimesUnseen !== true && runtimes.every(({ state, aside }) => good.includes(state) || aside === true)
  );
}

/**
 * What is told of a pass whatever the Node says.
 * @param before the runtimes as the pass before found them: what was so then was told then
 */
export function eventsOf({ repaired, runtimes }: PassResult, before: readonly RuntimeState[]): readonly NodeEvent[] {
  const worse = runtimes.filter(
    ({ name, state }) =>
      !good.includes(state) && !before.some((earlier) => earlier.name === name && earlier.state === state),
  );
  return [
    ...(repaired.length === 0 ? [] : [repairedEvent(repaired.length)]),
    ...worse.map((runtime): NodeEvent => ({
      reason: runtime.state === 'incomplete' ? 'PullsIncomplete' : 'RuntimeRestartNeeded',
      type: 'Warning',
      note: textOf(runtime),
    })),
  ];
}

function repairedEvent(count: number): NodeEvent {
  const note = `somebody changed the trust store of the node; anchors that were put back: ${count}`;
  return { reason: 'TrustRepaired', type: 'Normal', note };
}

/** What is told when the Node comes to say something else. */
export function eventOf({ status, message }: Condition): NodeEvent {
  // A longer one is refused, and the Events after it wait.
  const note = Buffer.byteLength(message) > mostBytes ? printable(message, longestText) : message;
  return status === 'True'
    ? { reason: 'TrustUpdated', type: 'Normal', note }
    : { reason: 'TrustRefused', type: 'Warning', note };
}

/** What is told once nothing of this instance is trusted any more. */
export function removedEvent(count: number): NodeEvent {
  const note = `the node is not enabled any more; anchors that were removed: ${count}`;
  return { reason: 'TrustRemoved', type: 'Normal', note };
}
