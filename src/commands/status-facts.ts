/**
 * What `status` keeps of a Node and of an agent's pod: little, since a cluster has thousands of them.
 */
import * as z from 'zod/mini';
import { type Trust, namesOf, readTrust } from '../api/trust-annotation.ts';
import { listOf, texts } from '../api/shapes.ts';
import { printable } from '../bundle/text.ts';
import type { NodeLabel } from '../sources/node-label.ts';

export interface Condition {
  readonly status: string;
  readonly said: string;
}

export interface NodeFacts {
  readonly name: string;
  /** It bears the label; else it is a leftover, which only bears what an agent wrote. */
  readonly enabled: boolean;
  /** What it has proven; undefined when it bears no annotation, or not one that an agent wrote. */
  readonly trust?: Trust | undefined;
  readonly annotated: boolean;
  /** The agent's own condition. */
  readonly condition?: Condition | undefined;
  /** Why the node itself is not ready; absent when it is. */
  readonly down?: string | undefined;
}

export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  /** The Node that it is on, or waits for. */
  readonly node: string;
  readonly ready: boolean;
  readonly leaving: boolean;
  readonly restarts: number;
  /** Why it is not ready, as far as the cluster knows. */
  readonly trouble?: string | undefined;
}

const text = z.optional(z.string());
const conditions = z.optional(listOf(z.object({ type: z.string(), status: z.string(), reason: text, message: text })));
const words = z.optional(texts);

export const nodeShape = z.object({
  metadata: z.object({ name: z.string(), labels: words, annotations: words }),
  status: z.optional(z.object({ conditions })),
});

const ended = z.optional(z.object({ reason: text, exitCode: z.optional(z.number()) }));
const state = z.optional(
  z.object({ waiting: z.optional(z.object({ reason: text, message: text })), terminated: ended }),
);
const container = z.object({ restartCount: z.optional(z.number()), state, lastState: state });

const fields = z.optional(listOf(z.object({ values: z.optional(listOf(z.string())) })));
const affinity = z.object({
  nodeAffinity: z.object({
    requiredDuringSchedulingIgnoredDuringExecution: z.object({
      nodeSelectorTerms: listOf(z.object({ matchFields: fields })),
    }),
  }),
});

export const podShape = z.object({
  metadata: z.object({ name: z.string(), namespace: z.string(), deletionTimestamp: text }),
  spec: z.object({ nodeName: text, affinity: z.optional(z.unknown()) }),
  status: z.object({
    phase: text,
    reason: text,
    message: text,
    conditions,
    initContainerStatuses: z.optional(listOf(container)),
    containerStatuses: z.optional(listOf(container)),
  }),
});

type Node = z.infer<typeof nodeShape>;
type Pod = z.infer<typeof podShape>;
type Container = z.infer<typeof container>;

/** Longer than anything that helps; a pod's message can hold a whole log. */
const wordLimit = 500;

/** A reason in one word, and the sentence behind it. */
function saidOf({ reason, message }: { reason?: string | undefined; message?: string | undefined }): string {
  const said = [reason, message].filter((part) => part !== undefined && part !== '').join(': ');
  return printable(said.replace(/\s+/g, ' ').trim(), wordLimit);
}

/**
 * One that has proven nothing has installed what is valid all the same. A proven removal takes annotation and condition off;
 * a good condition alone stays where an admin has removed by hand.
 */
const hasFailed = (own: Condition | undefined): boolean => own !== undefined && own.status !== 'True';

/** Keeps of a Node what says whether it trusts; nothing of a Node that has nothing to do with the instance. */
export function nodePicker(instance: string, labels: readonly NodeLabel[]): (node: Node) => NodeFacts | undefined {
  const { annotation, condition: type } = namesOf(instance);
  return ({ metadata, status }) => {
    const enabled = labels.some(({ key, value }) => metadata.labels?.[key] === value);
    const value = metadata.annotations?.[annotation];
    const find = (wanted: string): Condition | undefined => {
      const found = status?.conditions?.find((condition) => condition.type === wanted);
      return found && { status: found.status, said: saidOf(found) };
    };
    const own = find(type);
    if (!enabled && value === undefined && !hasFailed(own)) return undefined;
    const up = find('Ready');
    return {
      name: printable(metadata.name),
      enabled,
      trust: value === undefined ? undefined : readTrust(value),
      annotated: value !== undefined,
      condition: own,
      down: up?.status === 'True' ? undefined : (up?.said ?? 'its kubelet has not reported yet'),
    };
  };
}

/** The Node that a pod of a DaemonSet is for, before the scheduler has put it there. */
function waitsFor(pod: Pod): string | undefined {
  const found = z.safeParse(affinity, pod.spec.affinity).data;
  const terms = found?.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms;
  return terms?.[0]?.matchFields?.[0]?.values?.[0];
}

/** Why a container does not run, and how it ended the last time. */
function troubleOf({ state: now, lastState }: Container): string | undefined {
  const last = now?.terminated ?? lastState?.terminated;
  const end = last && `it ended with ${[last.reason, `exit code ${last.exitCode ?? '?'}`].filter(Boolean).join(', ')}`;
  if (now?.waiting === undefined) return now?.terminated && end;
  return [saidOf(now.waiting), end].filter(Boolean).join('; ');
}

/** Keeps of an agent's pod where it is and why it does not run. */
export function pickPod(pod: Pod): PodFacts {
  const { metadata, spec, status } = pod;
  // Those that come before the agent keep it waiting until they have done their work.
  const before = status.initContainerStatuses?.filter(({ state: now }) => now?.terminated?.exitCode !== 0) ?? [];
  const containers = [...before, ...(status.containerStatuses ?? [])];
  const isTrue = (wanted: string): boolean =>
    status.conditions?.some(({ type, status: is }) => type === wanted && is === 'True') === true;
  const unscheduled = status.conditions?.find(({ type, status: is }) => type === 'PodScheduled' && is === 'False');
  const troubles = [
    unscheduled && `not scheduled: ${saidOf(unscheduled)}`,
    status.reason === undefined ? undefined : saidOf(status),
    ...containers.map(troubleOf),
    status.phase === 'Running' ? undefined : saidOf({ reason: status.phase }),
  ];
  return {
    namespace: printable(metadata.namespace),
    name: printable(metadata.name),
    node: printable(spec.nodeName ?? waitsFor(pod) ?? ''),
    ready: isTrue('Ready'),
    leaving: metadata.deletionTimestamp !== undefined,
    restarts: containers.reduce((sum, { restartCount = 0 }) => sum + restartCount, 0),
    trouble: troubles.find((trouble) => trouble !== undefined && trouble !== ''),
  };
}
