/**
 * Events on the Node. An Event that says what the last one of its kind said counts that one up, and of a flood only the
 * beginning is told, so that a node that two writers fight over does not fill the cluster's database.
 *
 * They are of events.k8s.io/v1: the core group's are its predecessor, kept for old clients. kubectl shows both.
 */
import type { Api } from '../api/api.ts';
import { Refusal } from '../api/refusal.ts';
import type { Clock } from '../host/clock.ts';
import type { NodeEvent } from './standing.ts';

export interface NodeEvents {
  /** Whether the last one of its kind said the same, and the API server still knows of it. */
  isRepeated(event: NodeEvent, uid: string): boolean;
  /** Counts that one up. @throws Refusal, Error */
  count(event: NodeEvent): Promise<void>;
  /** @param uid the Node's. @throws Refusal, Error */
  tell(event: NodeEvent, uid: string): Promise<void>;
}

/** An API server forgets an Event an hour after its last change, and some sooner. */
const rememberedMs = 1_800_000;
/** So many at once, and then one in five minutes: as client-go has it for every source of Events. */
const burst = 25;
const refillMs = 300_000;

/** Events about what is in no namespace are in this one. */
const path = '/apis/events.k8s.io/v1/namespaces/default/events';

interface Told {
  readonly note: string;
  /** The Node's: one that was registered anew is another. */
  readonly uid: string;
  readonly name: string;
  readonly at: number;
  readonly count: number;
}

/** A permission for each Event, as long as they last. */
function openBucket(steady: () => number): () => boolean {
  let left = burst;
  let filled = steady();
  return () => {
    const more = Math.floor((steady() - filled) / refillMs);
    filled += more * refillMs;
    left = Math.min(left + more, burst);
    if (left === 0) return false;
    left -= 1;
    return true;
  };
}

/** The API server's MicroTime. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}

function objectOf(
  { reason, type, note }: NodeEvent,
  name: string,
  about: { nodeName: string; uid: string },
  at: number,
): unknown {
  const { nodeName, uid } = about;
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name, namespace: 'default' },
    eventTime: microTime(at),
    type,
    reason,
    action: 'Reconcile',
    note,
    regarding: { apiVersion: 'v1', kind: 'Node', name: nodeName, uid },
    reportingController: 'node-ca-trust.io/agent',
    reportingInstance: nodeName.slice(0, 128),
  };
}

export function openNodeEvents(
  nodeName: string,
  instance: string,
  api: Api,
  { now, steady }: Pick<Clock, 'now' | 'steady'>,
  random: () => number,
): NodeEvents {
  const last = new Map<NodeEvent['reason'], Told>();
  const isAllowed = openBucket(steady);
  return {
    isRepeated: ({ reason, note }, uid) => {
      const told = last.get(reason);
      return told?.note === note && told.uid === uid && steady() - told.at < rememberedMs;
    },
    async count(event) {
      const told = last.get(event.reason);
      if (told === undefined || !isAllowed()) return;
      const count = told.count + 1;
      const body = { series: { count, lastObservedTime: microTime(now()) } };
      const request = { path: `${path}/${told.name}`, body, type: 'application/merge-patch+json' };
      try {
        await api.ask({ method: 'PATCH', ...request });
        last.set(event.reason, { ...told, at: steady(), count });
      } catch (error) {
        // It was forgotten sooner: the next one is told anew.
        if (!(error instanceof Refusal) || error.code !== 404) throw error;
        last.delete(event.reason);
      }
    },
    async tell(event, uid) {
      if (!isAllowed()) return;
      const at = now();
      const name = `node-ca-trust-${instance}.${at.toString(36)}${Math.floor(random() * 2 ** 32).toString(36)}`;
      await api.ask({ method: 'POST', path, body: objectOf(event, name, { nodeName, uid }, at) });
      last.set(event.reason, { note: event.note, uid, name, at: steady(), count: 1 });
    },
  };
}
