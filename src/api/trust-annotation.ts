/**
 * What an agent says on its Node, and under which names: one annotation and one condition.
 */
import * as z from 'zod/mini';
import { jsonOf } from './refusal.ts';

/** The names on the Node: the annotation's, the condition's type, the startup taint's key. */
export interface NodeNames {
  readonly condition: string;
  readonly annotation: string;
  readonly taint: string;
}

/** They carry the instance's name; condition and taint do not when it is the default. */
export function namesOf(instance: string): NodeNames {
  const suffix = instance === 'default' ? '' : `-${instance}`;
  return {
    condition: `CATrustReady${suffix}`,
    annotation: `node-ca-trust.io/${instance}`,
    taint: `node-ca-trust.io/not-ready${suffix}`,
  };
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
/** The same but for when: what makes one proof another. */
export type Proof = Omit<Trust, 'proven'>;

/** The annotation's value: keys in the order in which they are documented. */
export function writeTrust(proof: Proof, proven: string): string {
  return JSON.stringify({ ...proof, proven } satisfies Trust);
}

/**
 * Reads the annotation's value. Whoever may change a Node can write there.
 * @returns undefined when no agent wrote it like this
 */
export function readTrust(text: string): Trust | undefined {
  return text.length > maxLength ? undefined : z.safeParse(shape, jsonOf(text)).data;
}
