// The image as a registry holds it: its layers compressed, of the image that `npm run test:image` built last. Where there is
// none, the row says so; in CI it has to be there.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Builder, buildah, builderFor } from '../image/machine.ts';
import type { Line } from './line.ts';
import type { Bench } from './scene.ts';

interface Manifest {
  readonly manifests: readonly { readonly digest: string }[];
  readonly layers: readonly { readonly size: number }[];
}

/** In bytes. Throws where there is no buildah, or no image. */
function sizeOf(builder: Builder): number {
  const layout = join(builder.directory, 'bench.oci');
  buildah(builder, 'push', '--quiet', `localhost/node-ca-trust:${builder.architecture}`, `oci:${layout}:bench`);
  const read = (path: string): Manifest => JSON.parse(readFileSync(join(layout, path), 'utf8')) as Manifest;
  const digest = read('index.json').manifests[0]?.digest ?? '';
  return read(join('blobs', digest.replace(':', '/'))).layers.reduce((total, { size }) => total + size, 0);
}

export function measureImage({ say }: Bench): readonly Line[] {
  say('the image');
  const builder = builderFor(process.env['NODE_CA_TRUST_SANDBOX'] ?? '/nowhere');
  const line: Line = { what: `image for ${builder.architecture}, compressed`, ours: Number.NaN, unit: 'MiB' };
  try {
    return [{ ...line, ours: sizeOf(builder) / 2 ** 20 }];
  } catch (error) {
    if (process.env['CI'] !== undefined)
      throw new Error('in CI the image has to be there: npm run test:image builds it', { cause: error });
    return [{ ...line, instead: 'not built here: npm run test:image prints it' }];
  }
}
