// The base image of the Dockerfile without a registry: Debian by debootstrap, and Node.js where the official image
// has it. It bears the official name, so that the Dockerfile is built as it stands.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { buildah, npmDirectory, project, run, storageDirectory } from './machine.ts';

export const baseName = 'docker.io/library/node:24-bookworm-slim';
const suite = 'bookworm';
const label = 'node-ca-trust.test.made-of';

/** Each change of package.json leaves another layer of all packages behind; beyond so much, all is made anew. */
const storageLimit = 4e9;

/** Makes the base image unless the storage holds one made of the same parts. */
export function ensureBase(directory: string): void {
  const madeOf = `debian ${suite}, node ${nodeVersion()}, npm ${versionOf(npmDirectory())}`;
  if (storageSize() < storageLimit && labelOfBase(directory) === madeOf) return;
  console.log(`base: making it of ${madeOf}`);
  // What was built on another base is of no use any more.
  rmSync(storageDirectory, { recursive: true, force: true });
  const root = join(directory, 'base');
  run('debootstrap', ['--variant=minbase', suite, root]);
  addNode(root);
  const container = buildah(directory, 'from', 'scratch').trim();
  buildah(directory, 'add', '--quiet', container, root, '/');
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  buildah(directory, 'config', '--env', path, '--label', `${label}=${madeOf}`, container);
  buildah(directory, 'commit', '--quiet', '--rm', container, baseName);
  rmSync(root, { recursive: true });
}

/** In bytes. */
function storageSize(): number {
  return existsSync(storageDirectory) ? Number(run('du', ['-sk', storageDirectory]).split('\t', 1)[0]) * 1024 : 0;
}

function labelOfBase(directory: string): string | undefined {
  try {
    const format = `{{index .OCIv1.Config.Labels "${label}"}}`;
    return buildah(directory, 'inspect', '--type', 'image', '--format', format, baseName).trim();
  } catch {
    return undefined;
  }
}

/** The npm package that brings Node's binary for this machine. */
function nodePackage(): string {
  return join(project, 'node_modules', `node-linux-${process.arch}`);
}

function nodeVersion(): string {
  return versionOf(nodePackage());
}

function versionOf(packageDirectory: string): string {
  const { version } = JSON.parse(readFileSync(join(packageDirectory, 'package.json'), 'utf8')) as { version: string };
  return version;
}

function addNode(root: string): void {
  const local = join(root, 'usr/local');
  cpSync(join(nodePackage(), 'bin/node'), join(local, 'bin/node'));
  cpSync(join(nodePackage(), 'LICENSE'), join(local, 'LICENSE'));
  mkdirSync(join(local, 'lib/node_modules'), { recursive: true });
  cpSync(npmDirectory(), join(local, 'lib/node_modules/npm'), { recursive: true, verbatimSymlinks: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin/npm'));
}
