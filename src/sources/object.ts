/**
 * What an object of the API holds: the keys of a Secret or of a ConfigMap, each a file.
 */
import * as z from 'zod/mini';
import { jsonOf } from '../api/refusal.ts';
import { texts } from '../api/shapes.ts';
import { maxFiles } from '../bundle/bundle.ts';
import { printable } from '../bundle/text.ts';
import type { Reading } from '../bundle/types.ts';

const values = z.optional(z.nullable(texts));
const named = z.object({ name: z.string(), namespace: z.optional(z.string()) });
const objectShape = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('Secret'), metadata: named, data: values }),
  z.object({ kind: z.literal('ConfigMap'), metadata: named, data: values, binaryData: values }),
]);

/**
 * The files of an object's keys; one more than are taken, for then all are refused.
 * @param source the object as findings name it
 */
export function filesIn(
  source: string,
  data: Readonly<Record<string, string>> | null | undefined,
  encoding: 'base64' | 'utf8' = 'base64',
): Reading['files'] {
  return Object.entries(data ?? {})
    .slice(0, maxFiles + 1)
    .map(([key, text]) => ({ source: printable(`${source}:${key}`), bytes: Buffer.from(text, encoding) }));
}

/**
 * What `kubectl get -o json` prints of one Secret or ConfigMap.
 * @returns undefined for anything else
 */
export function readObject(bytes: Buffer): Reading | undefined {
  if (bytes[0] !== '{'.charCodeAt(0)) return undefined;
  const { data: object } = objectShape.safeParse(jsonOf(bytes.toString('utf8')));
  if (object === undefined) return undefined;
  const { kind, metadata } = object;
  const source = `${kind.toLowerCase()} ${[metadata.namespace, metadata.name].filter(Boolean).join('/')}`;
  if (object.kind === 'Secret') return { files: filesIn(source, object.data), findings: [] };
  return { files: [...filesIn(source, object.data, 'utf8'), ...filesIn(source, object.binaryData)], findings: [] };
}
