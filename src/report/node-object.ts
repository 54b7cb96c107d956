/**
 * The own Node at the API server: what it says of us, and the three changes that are made to it. Each is one request that
 * touches nothing but our condition, our annotation and our taint.
 */
import * as z from 'zod/mini';
import type { Api } from '../api/api.ts';
import type { NodeNames } from '../api/trust-annotation.ts';
import type { Condition } from './standing.ts';

/** Others' entries may hold anything. */
const text = z.catch(z.string(), '');
const nodeShape = z.object({
  metadata: z.object({
    name: z.string(),
    uid: z.string(),
    annotations: z.optional(z.record(z.string(), z.string())),
  }),
  spec: z.optional(z.object({ taints: z.optional(z.array(z.looseObject({ key: z.string() }))) })),
  status: z.optional(
    z.object({
      conditions: z.optional(
        z.array(z.object({ type: text, status: text, reason: text, message: text, lastTransitionTime: text })),
      ),
    }),
  ),
});

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
    const taints = (data.spec?.taints ?? []).map((taint, index) => ({ index, taint }));
    return {
      uid,
      condition: data.status?.conditions?.find(({ type }) => type === names.condition),
      annotation: annotations[names.annotation],
      taints: taints.filter(({ taint }) => taint.key === names.taint),
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
