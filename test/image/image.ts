// Builds the project's Dockerfile and takes the image apart as a registry would hold it.
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildah, run } from './machine.ts';

export interface ImageConfig {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Labels?: Readonly<Record<string, string>>;
}

export interface Image {
  readonly config: ImageConfig;
  /** Compressed size of each layer, in bytes. */
  readonly layers: readonly number[];
  /** Where its root file system was unpacked; nobody may change it. */
  readonly root: string;
  /** What is in it, one line for each file, in order: mode, time, size, path, link target or SHA-256. */
  readonly listing: readonly string[];
}

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

/**
 * Builds the image and unpacks it below `directory`.
 * @param cached take what earlier builds left of the unchanged steps
 */
export function buildImage(directory: string, { cached = true, name = 'image' } = {}): Image {
  const tag = `localhost/node-ca-trust:${name}`;
  const layout = join(directory, `${name}.oci`);
  bud(directory, tag, cached);
  buildah(directory, 'push', '--quiet', tag, `oci:${layout}:${name}`);
  // The layers of a cached build stay for the next one.
  if (!cached) buildah(directory, 'rmi', tag);
  const image = unpack(layout, join(directory, `${name}.root`));
  rmSync(layout, { recursive: true });
  return image;
}

/** Builds the image and gives an archive of it as `docker save` makes one, under that name. */
export function saveImage(directory: string, reference: string): string {
  const archive = join(directory, 'image.tar');
  bud(directory, reference, true);
  buildah(directory, 'push', '--quiet', reference, `docker-archive:${archive}:${reference}`);
  return archive;
}

function bud(directory: string, tag: string, cached: boolean): void {
  const build = ['--isolation', 'chroot', '--pull-never', cached ? '--layers' : '--no-cache'];
  buildah(directory, 'bud', ...build, ...npmSettings(directory), '--tag', tag, '.');
}

/** A machine behind a proxy that inspects TLS has npm trust that proxy's CA; the npm of the build must do so too. */
function npmSettings(directory: string): string[] {
  const [found = '', registry = ''] = ['cafile', 'registry'].map((key) => run('npm', ['config', 'get', key]).trim());
  const cafile = found.startsWith('/') ? found : (process.env['NODE_EXTRA_CA_CERTS'] ?? '');
  const npmrc = join(directory, 'npmrc');
  const known = cafile.startsWith('/');
  writeFileSync(npmrc, `registry=${registry}\n${known ? `cafile=${cafile}\n` : ''}`);
  return ['--volume', `${npmrc}:/usr/local/etc/npmrc:ro`, ...(known ? ['--volume', `${cafile}:${cafile}:ro`] : [])];
}

function unpack(layout: string, root: string): Image {
  const blob = ({ digest }: Descriptor): string => join(layout, 'blobs', digest.replace(':', '/'));
  const parse = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));
  const index = parse(join(layout, 'index.json')) as { manifests: [Descriptor] };
  const manifest = parse(blob(index.manifests[0])) as { config: Descriptor; layers: readonly Descriptor[] };
  const { config } = parse(blob(manifest.config)) as { config: ImageConfig };
  mkdirSync(root);
  for (const layer of manifest.layers) run('tar', ['-xpzf', blob(layer), '--numeric-owner', '-C', root]);
  return { config, layers: manifest.layers.map(({ size }) => size), root, listing: list(root) };
}

function list(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(root, name);
      const stats = lstatSync(path);
      const mode = stats.mode.toString(8).padStart(6, '0');
      const line = `${mode} ${stats.mtime.toISOString()} ${String(stats.isFile() ? stats.size : 0).padStart(10)} /${name}`;
      if (stats.isSymbolicLink()) return `${line} -> ${readlinkSync(path)}`;
      return stats.isFile() ? `${line} ${createHash('sha256').update(readFileSync(path)).digest('hex')}` : line;
    });
}
