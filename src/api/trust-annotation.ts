/**
 * What an agent says on its Node, and under which names: one annotation and one condition.
 */
import * as z from 'zod/mini';

/** The annotation of an instance. */
export function annotationOf(instance: string): string {
  return `node-ca-trust.io/${instance}`;
}

/** The type of an instance's condition. */
export function conditionOf(instance: string): string {
  return instance === 'default' ? 'CATrustReady' : `CATrustReady-${instance}`;
}

/** Longer than any agent writes. */
const maxLength = 4_096;

/** Printable ASCII: it goes to a terminal. */
const word = z.string().check(z.regex(/^[ -~]{1,64}$/));

const shape = z.object({
  digest: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  anchors: z.int().check(z.nonnegative()),
  /** When the first anchor expires, ISO 8601; absent without anchors. */
  expires: z.optional(z.iso.datetime()),
  /** The worst state of the node's container runtimes; absent without one. */
  runtime: z.optional(word),
  /** Of the agent. */
  version: word,
  /** When the proof was made, ISO 8601. */
  proven: z.iso.datetime(),
});

/** What a node has proven last. */
export type Trust = z.infer<typeof shape>;

/**
 * Reads the annotation's value. Whoever may change a Node can write there.
 * @returns undefined when no agent wrote it like this
 */
export function readTrust(text: string): Trust | undefined {
  if (text.length > maxLength) return undefined;
  try {
    return z.safeParse(shape, JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
