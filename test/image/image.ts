// Builds the project's Dockerfile and takes the image apart as a registry would hold it.
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { baseName } from './base.ts';
import { buildah, cacheDirectory, ownArchitecture, run, type Architecture, type Builder } from './machine.ts';

export interface ImageConfig {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Labels?: Readonly<Record<string, string>>;
}

export interface Image {
  readonly architecture: Architecture;
  readonly config: ImageConfig;
  /** As a registry would hold them: compressed, the size in bytes. */
  readonly layers: readonly Descriptor[];
  /** Where its root file system was unpacked; nobody may change it. */
  readonly root: string;
  /** What is in it, one line for each file, in order: mode, time, size, path, link target or SHA-256. */
  readonly listing: readonly string[];
}

export interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

/**
 * Builds the image and unpacks it.
 * @param context another directory to build from than the project's own; then nothing of earlier builds is taken
 */
export function buildImage(builder: Builder, context?: string): Image {
  const name = [builder.architecture, ...(context === undefined ? [] : [basename(context)])].join('-');
  const tag = `localhost/node-ca-trust:${name}`;
  const layout = join(builder.directory, `${name}.oci`);
  bud(builder, tag, context);
  buildah(builder, 'push', '--quiet', tag, `oci:${layout}:${name}`);
  // The layers of a cached build stay for the next one.
  if (context !== undefined) buildah(builder, 'rmi', tag);
  const image = unpack(layout, join(builder.directory, `${name}.root`));
  rmSync(layout, { recursive: true });
  return image;
}

/** Builds the image and gives an archive of it as `docker save` makes one, under that name. */
export function saveImage(builder: Builder, reference: string): string {
  const archive = join(builder.directory, 'image.tar');
  bud(builder, reference);
  buildah(builder, 'push', '--quiet', reference, `docker-archive:${archive}:${reference}`);
  return archive;
}

function bud(builder: Builder, tag: string, context?: string): void {
  const build = ['--isolation', 'chroot', '--pull-never', context === undefined ? '--layers' : '--no-cache'];
  // This buildah does not know of itself what docker buildx does.
  const platforms = [`BUILDPLATFORM=linux/${ownArchitecture}`, `BASE=${baseName}`].flatMap((arg) => [
    '--build-arg',
    arg,
  ]);
  const args = [
    ...build,
    '--platform',
    `linux/${builder.architecture}`,
    ...platforms,
    ...npmSettings(builder.directory),
  ];
  buildah(builder, 'bud', ...args, '--tag', tag, context ?? '.');
}

/**
 * A machine behind a proxy that inspects TLS has npm trust that proxy's CA; the npm of the build must do so too. What one
 * build has fetched is there for the next one.
 */
function npmSettings(directory: string): string[] {
  const [found = '', registry = ''] = ['cafile', 'registry'].map((key) => run('npm', ['config', 'get', key]).trim());
  const cafile = found.startsWith('/') ? found : (process.env['NODE_EXTRA_CA_CERTS'] ?? '');
  const known = cafile.startsWith('/');
  const npmrc = join(directory, 'npmrc');
  const settings = [`registry=${registry}`, 'cache=/npm-cache', 'prefer-offline=true'];
  writeFileSync(npmrc, [...settings, ...(known ? [`cafile=${cafile}`] : []), ''].join('\n'));
  const cache = join(cacheDirectory, 'npm');
  mkdirSync(cache, { recursive: true });
  const volumes = [`${npmrc}:/usr/local/etc/npmrc:ro`, `${cache}:/npm-cache`];
  if (known) volumes.push(`${cafile}:${cafile}:ro`);
  return volumes.flatMap((volume) => ['--volume', volume]);
}

function unpack(layout: string, root: string): Image {
  const blob = ({ digest }: Descriptor): string => join(layout, 'blobs', digest.replace(':', '/'));
  const parse = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'));
  const index = parse(join(layout, 'index.json')) as { manifests: [Descriptor] };
  const { config, layers } = parse(blob(index.manifests[0])) as { config: Descriptor; layers: readonly Descriptor[] };
  const image = parse(blob(config)) as Pick<Image, 'architecture' | 'config'>;
  mkdirSync(root);
  for (const layer of layers) run('tar', ['-xpzf', blob(layer), '--numeric-owner', '-C', root]);
  return { architecture: image.architecture, config: image.config, layers, root, listing: list(root) };
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
