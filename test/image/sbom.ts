// The image's own list of what it holds.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Image } from './image.ts';

export interface Part {
  readonly type: string;
  readonly group?: string;
  readonly name: string;
  readonly version?: string;
  readonly purl?: string;
  readonly 'bom-ref': string;
  readonly licenses?: readonly unknown[];
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly evidence?: { readonly licenses?: readonly { readonly license: { readonly text: unknown } }[] };
  readonly components?: readonly Part[];
}

export interface Bom {
  readonly metadata: { readonly component: Part };
  readonly components: readonly Part[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
}

export function bomText({ root }: Image): string {
  return readFileSync(join(root, 'app/sbom.cdx.json'), 'utf8');
}

export function readBom(image: Image): Bom {
  return JSON.parse(bomText(image)) as Bom;
}
