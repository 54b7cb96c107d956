/**
 * Lines, as the formats need them.
 */
import { bundleDigest } from '../bundle/bundle.ts';
import type { Rendering } from './node-files.ts';

/** Every line that is not empty moved to the right: a literal block of YAML. */
export function indent(text: string, columns: number): string {
  return text.replace(/^(?=[^\n])/gm, ' '.repeat(columns));
}

/** What a rendering holds, as a comment of a file: the digest is the one that `check` and `status` show. */
export function heading({ anchors, instance }: Rendering): string {
  const digest = bundleDigest(anchors.map(({ fingerprint }) => fingerprint));
  return `# Made by node-ca-trust: instance ${instance}, anchors ${anchors.length}, digest ${digest}`;
}

/** All anchors in PEM, one after the other. */
export function pemOf({ anchors }: Rendering): string {
  return anchors.map(({ pem }) => pem).join('');
}
