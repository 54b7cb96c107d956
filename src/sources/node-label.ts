/**
 * Whether this node is still to trust the bundle: a read of its own Node, at the end, again where it was only broken off. Only
 * an answer that shows the label absent or different says no; whatever else happens keeps what is installed.
 */
import * as z from 'zod/mini';
import { texts } from '../api/shapes.ts';
import { Refusal } from '../api/refusal.ts';
import { type Clock, withinTime } from '../host/clock.ts';
import { errnoOf, explain } from '../host/problem.ts';

export interface NodeLabel {
  readonly key: string;
  readonly value: string;
}

/** How long an API server may take to answer, all tries together. */
const timeoutMs = 10_000;
/** Between two tries: an API server behind a load balancer is replaced within seconds. */
const againMs = 1_000;
const mostTries = 4;

export type Labels = Readonly<Record<string, string>>;

const nodeShape = z.object({
  metadata: z.object({ name: z.string(), labels: z.optional(texts) }),
});

export type ReadLabels = (nodeName: string) => Promise<Labels>;

/** Reads the labels of a Node with the pod's own service account. */
export async function readLabels(nodeName: string): Promise<Labels> {
  // Loaded at the end only: an agent without another use for it does not carry the client.
  const { openApi } = await import('../api/api.ts');
  const api = openApi();
  if (api === undefined) throw new Error('no cluster here (KUBERNETES_SERVICE_HOST is not set)');
  const { success, data } = nodeShape.safeParse(await api.ask({ path: `/api/v1/nodes/${nodeName}` }));
  // An answer of something else, a proxy's say, shows no label either, and must not remove anything.
  if (!success || data.metadata.name !== nodeName)
    throw new Error('what answered is not the API server, or not for this Node');
  return data.metadata.labels ?? {};
}

/** Whether to ask again: what was broken off, or put off by a server that has too much to do, says nothing about the Node. */
const mayPass = (error: unknown): boolean =>
  error instanceof Refusal ? error.code === 429 || error.code >= 500 : errnoOf(error) !== undefined;

async function insist(read: () => Promise<Labels>, sleep: Clock['sleep']): Promise<Labels> {
  for (let left = mostTries; ; left -= 1) {
    try {
      return await read();
    } catch (error) {
      if (!mayPass(error) || left <= 1) throw error;
      await sleep(againMs);
    }
  }
}

/** What an API error says in a few words: its status code where it has one. */
function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'number' ? `the API server answered ${code}` : explain(error);
}

/**
 * Whether the node still bears one of the labels.
 * @param read reads the labels of a Node by its name; throws when they cannot be had
 * @returns never throws: without a clear answer the node counts as enabled
 */
export async function readEnabled(
  nodeName: string,
  wanted: readonly NodeLabel[],
  read: ReadLabels,
  sleep: Clock['sleep'],
): Promise<{ readonly enabled: boolean; readonly why: string }> {
  const named = wanted.map(({ key, value }) => `${key}=${value}`).join(' or ');
  try {
    const labels = await withinTime(
      insist(() => read(nodeName), sleep),
      timeoutMs,
    );
    const borne = wanted.find(({ key, value }) => labels[key] === value);
    if (borne === undefined) return { enabled: false, why: `the Node does not bear ${named} any more` };
    return { enabled: true, why: `the Node bears ${borne.key}=${borne.value}` };
  } catch (error) {
    return { enabled: true, why: `whether the Node bears ${named} is unknown: ${reasonOf(error)}` };
  }
}
