/**
 * The own Node at the API server: what it says of us, and the three changes that are made to it. Each is one request that
 * touches nothing but our condition, our annotation and our taint.
 */
import * as z from 'zod/mini';
import type { Api } from '../api/api.ts';
import { list, texts } from '../api/shapes.ts';
import type { NodeNames } from '../api/trust-annotation.ts';
import type { Condition } from './standing.ts';

/** Ours may be others' too, and hold anything. */
const text = z.catch(z.string(), '');
const nodeShape = z.object({
  metadata: z.object({ name: z.string(), uid: z.string(), annotations: z.optional(texts) }),
  spec: z.optional(z.object({ taints: z.optional(list) })),
  status: z.optional(z.object({ conditions: z.optional(list) })),
});
const conditionShape = z.object({ status: text, reason: text, message: text, lastTransitionTime: text });

/** Whether an entry of a list is the one of this name. */
function isNamed(entry: unknown, field: 'key' | 'type', name: string): boolean {
  return typeof entry === 'object' && entry !== null && (entry as Record<string, unknown>)[field] === name;
}

/** What the Node says, as far as it concerns us. */
export interface NodeView {
  readonly uid: string;
  readonly condition: Readonly<Record<'status' | 'reason' | 'message' | 'lastTransitionTime', string>> | undefined;
  /** The annotation's text. */
  readonly annotation: string | undefined;
  /** Our taints: each with its place among all. */
  readonly taints: readonly { readonly index: number; readonly taint: unknown }[];
}

/** What is to be written: what is left out stays as it is, and null goes. */
export interface NodeChange {
  readonly condition?: (Condition & Record<'lastTransitionTime' | 'lastHeartbeatTime', string>) | null;
  readonly annotation?: string | null;
}

export interface NodeObject {
  /** @throws Refusal, Error */
  read(): Promise<NodeView>;
  /** Condition and annotation, in one request. @returns the Node as it is then, which may be another of this name */
  write(change: NodeChange): Promise<NodeView>;
  /** Takes our taint off, unless somebody has changed the taints since they were read. */
  untaint(view: NodeView): Promise<void>;
}

/** In a strategic merge patch: the entry of this type goes. */
const gone = { $patch: 'delete' };

const patches = { merge: 'application/strategic-merge-patch+json', json: 'application/json-patch+json' } as const;

export function openNodeObject(nodeName: string, names: NodeNames, api: Api): NodeObject {
  const path = `/api/v1/nodes/${nodeName}`;
  const viewOf = (answer: unknown): NodeView => {
    const { success, data } = nodeShape.safeParse(answer);
    if (!success || data.metadata.name !== nodeName)
      throw new Error('what answered is not the API server, or not for this Node');
    const { uid, annotations = {} } = data.metadata;
    const condition = data.status?.conditions?.find((entry) => isNamed(entry, 'type', names.condition));
    const taints = (data.spec?.taints ?? []).flatMap((taint, index) =>
      isNamed(taint, 'key', names.taint) ? { index, taint } : [],
    );
    return {
      uid,
      condition: conditionShape.safeParse(condition).data,
      annotation: annotations[names.annotation],
      taints,
    };
  };
  return {
    read: async () => viewOf(await api.ask({ path })),
    async write({ condition, annotation }) {
      const body = {
        ...(annotation !== undefined && { metadata: { annotations: { [names.annotation]: annotation } } }),
        ...(condition !== undefined && { status: { conditions: [{ type: names.condition, ...(condition ?? gone) }] } }),
      };
      return viewOf(await api.ask({ method: 'PATCH', path: `${path}/status`, body, type: patches.merge }));
    },
    async untaint({ taints }) {
      // From the last to the first, so that each is where it was; a list has no key to patch by, hence the tests.
      const body = taints.toReversed().flatMap(({ index, taint }) => [
        { op: 'test', path: `/spec/taints/${index}`, value: taint },
        { op: 'remove', path: `/spec/taints/${index}` },
      ]);
      await api.ask({ method: 'PATCH', path, body, type: patches.json });
    },
  };
}
