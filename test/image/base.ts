// The base image of the Dockerfile without a registry: Debian by debootstrap, and Node.js where the official image has it.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import {
  buildah,
  emulated,
  npmDirectory,
  ownArchitecture,
  project,
  run,
  type Architecture,
  type Builder,
} from './machine.ts';

/** What the Dockerfile's BASE is in these tests. */
export const baseName = 'localhost/node-ca-trust/base';
const suite = 'bookworm';
const label = 'node-ca-trust.test.made-of';

/** Each change of package.json leaves another layer of all packages behind; beyond so much, all is made anew. */
const storageLimit = 4e9;

/**
 * Makes the base image unless the storage holds one made of the same parts. One name stands for both architectures, as in
 * a registry: the program is built on this machine's own, the rest of the image on the one that it is for.
 */
export function ensureBase(builder: Builder): void {
  const architectures = [...new Set([ownArchitecture, builder.architecture])];
  const isThere = (architecture: Architecture) => labelOfBase(builder, architecture) === madeOf(architecture);
  if (storageSize(builder) < storageLimit && architectures.every(isThere)) return;
  // What was built on another base is of no use any more.
  rmSync(builder.storage, { recursive: true, force: true });
  for (const architecture of architectures) makeBase(builder, architecture);
  buildah(builder, 'manifest', 'create', baseName);
  for (const architecture of architectures) buildah(builder, 'manifest', 'add', baseName, nameOf(architecture));
}

const nameOf = (architecture: Architecture): string => `${baseName}-${architecture}`;

function madeOf(architecture: Architecture): string {
  return `debian ${suite} minbase, ${nodePackage(architecture)} ${lockedNode(architecture).version}, npm ${npmVersion()}`;
}

function makeBase(builder: Builder, architecture: Architecture): void {
  const root = rootOfBase(architecture, builder.directory);
  const container = buildah(builder, 'from', '--arch', architecture, 'scratch').trim();
  buildah(builder, 'add', '--quiet', container, root, '/');
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const settings = ['--arch', architecture, '--env', path, '--label', `${label}=${madeOf(architecture)}`];
  buildah(builder, 'config', ...settings, container);
  buildah(builder, 'commit', '--quiet', '--rm', container, nameOf(architecture));
}

/** It stays in that directory: the storage for the other architecture takes it from there. */
function rootOfBase(architecture: Architecture, directory: string): string {
  const root = join(directory, `base-${architecture}`);
  if (existsSync(root)) return root;
  console.log(`base: making it for ${architecture} of ${madeOf(architecture)}`);
  const isForeign = architecture !== ownArchitecture;
  run('debootstrap', ['--arch', architecture, ...(isForeign ? ['--foreign'] : []), '--variant=minbase', suite, root]);
  if (isForeign) putOnRecord(root);
  addNode(root, architecture, directory);
  return root;
}

/**
 * For a foreign architecture debootstrap unpacks all packages, and leaves it to their own programs to install them: under
 * the emulator that takes minutes. What the image can have files of is put on dpkg's record, and that is all.
 */
function putOnRecord(root: string): void {
  const script = `cd /var/cache/apt/archives; for name; do set -- "$@" "$name"_*.deb; shift; done
    dpkg --force-depends --force-unsafe-io --no-triggers --unpack "$@"; rm *.deb`;
  const packages = ['coreutils', 'libc6', 'libgcc-s1', 'libstdc++6'];
  // In a container debootstrap leaves a link to the machine's, which leads in a circle here.
  rmSync(join(root, 'proc'), { recursive: true });
  mkdirSync(join(root, 'proc'));
  run(...emulated('chroot', root, 'sh', '-euc', script, 'sh', ...packages));
}

/** In bytes. */
function storageSize({ storage }: Builder): number {
  return existsSync(storage) ? Number(run('du', ['-sk', storage]).split('\t', 1)[0]) * 1024 : 0;
}

function labelOfBase(builder: Builder, architecture: Architecture): string | undefined {
  try {
    const format = `{{index .OCIv1.Config.Labels "${label}"}}`;
    return buildah(builder, 'inspect', '--type', 'image', '--format', format, nameOf(architecture)).trim();
  } catch {
    return undefined;
  }
}

/** The npm package that brings Node's binary. */
const nodePackage = (architecture: Architecture): string =>
  `node-linux-${architecture === 'amd64' ? 'x64' : architecture}`;

function lockedNode(architecture: Architecture): { readonly version: string; readonly integrity: string } {
  const lock = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, ReturnType<typeof lockedNode>>>;
  };
  const entry = lock.packages[`node_modules/${nodePackage(architecture)}`];
  if (entry === undefined) throw new Error(`package-lock.json has no ${nodePackage(architecture)}`);
  return entry;
}

function npmVersion(): string {
  const { version } = JSON.parse(readFileSync(join(npmDirectory(), 'package.json'), 'utf8')) as { version: string };
  return version;
}

function addNode(root: string, architecture: Architecture, directory: string): void {
  const local = join(root, 'usr/local');
  const source = unpackedNode(architecture, directory);
  cpSync(join(source, 'bin/node'), join(local, 'bin/node'));
  cpSync(join(source, 'LICENSE'), join(local, 'LICENSE'));
  mkdirSync(join(local, 'lib/node_modules'), { recursive: true });
  cpSync(npmDirectory(), join(local, 'lib/node_modules/npm'), { recursive: true, verbatimSymlinks: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin/npm'));
}

/** `npm ci` brings this machine's own alone; another's is fetched, and is what package-lock.json says it is. */
function unpackedNode(architecture: Architecture, directory: string): string {
  const name = nodePackage(architecture);
  if (architecture === ownArchitecture) return join(project, 'node_modules', name);
  const { version, integrity } = lockedNode(architecture);
  const said = run('npm', ['pack', '--json', '--pack-destination', directory, `${name}@${version}`]);
  const [packed] = JSON.parse(said) as [{ readonly filename: string; readonly integrity: string }];
  if (packed.integrity !== integrity) throw new Error(`${name} ${version} is not the one of package-lock.json`);
  const archive = join(directory, packed.filename);
  run('tar', ['-xzf', archive, '-C', directory]);
  rmSync(archive);
  return join(directory, 'package');
}
