/**
 * The last that an agent says: nothing of its instance is trusted any more. It is said in what is left of the pod's grace
 * period, and no later agent says it: what passes is tried again, and condition and Event do not wait for each other.
 */
import { Refusal, isPassing } from '../api/refusal.ts';
import type { NodeEvents } from './node-events.ts';
import type { NodeObject } from './node-object.ts';
import { type NodeOutside, type Step, lineOf } from './node-steps.ts';
import { removedEvent } from './standing.ts';

interface Farewell extends Pick<NodeOutside, 'sleep' | 'random' | 'failed'> {
  readonly node: NodeObject;
  readonly events: NodeEvents;
  /** The Node's. */
  readonly uid: string;
}

/** Of the pod's grace period of 120 s, 100 s may be over. */
const patienceMs = 20_000;
const retryMs = 1_000;

/** Makes one step, as often as it takes until `signal` is aborted. */
async function persist(
  { sleep, random, failed }: Farewell,
  step: Step,
  make: () => Promise<unknown>,
  signal: AbortSignal,
): Promise<void> {
  let why: unknown = new Error('the API server does not answer in time');
  const isOver = (): boolean => signal.aborted;
  for (let pause = retryMs; !isOver(); pause *= 2) {
    try {
      await make();
      return;
    } catch (error) {
      // What the end cut off says nothing of the server.
      if (!isOver()) why = error;
      if (error instanceof Refusal && !isPassing(error)) break;
    }
    await sleep(pause * (0.5 + random() / 2), signal).catch(() => undefined);
  }
  failed(lineOf(step, why));
}

/**
 * Takes condition and annotation off the Node, and tells an Event. Never throws.
 * @param over is aborted when there is no time left: the requests under way are to end then
 */
export async function tellRemoval(farewell: Farewell, count: number, over: AbortController): Promise<void> {
  const { node, events, uid, sleep } = farewell;
  const said = new AbortController();
  const end = (): void => {
    over.abort();
  };
  void sleep(patienceMs, said.signal).then(end, () => undefined);
  await Promise.all([
    persist(farewell, 'write', () => node.write({ condition: null, annotation: null }), over.signal),
    persist(farewell, 'tell', () => events.tell(removedEvent(count), uid), over.signal),
  ]);
  said.abort();
}
