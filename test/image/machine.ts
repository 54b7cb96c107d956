// What this suite asks of the machine it runs on, and where it keeps what it made there.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const project = fileURLToPath(new URL('../..', import.meta.url));

/** The base image, buildah's layers, and what npm has fetched. It can be removed at any time: the next run makes it again. */
export const cacheDirectory = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'node-ca-trust',
  'image',
);

/** A directory for what lasts as long as this run; what runs that were killed have left is removed first. */
export function makeRunDirectory(): string {
  mkdirSync(cacheDirectory, { recursive: true });
  for (const name of readdirSync(cacheDirectory)) {
    const pid = /^run-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      rmSync(join(cacheDirectory, name), { recursive: true, force: true });
  }
  return mkdtempSync(join(cacheDirectory, `run-${process.pid}-`));
}

/** What the project says of itself. */
export function packageJson(): {
  readonly name: string;
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly bin: Readonly<Record<string, string>>;
  readonly scripts: { readonly start: string };
} {
  return JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as ReturnType<typeof packageJson>;
}

/** Runs a command to its end. Throws with the last lines of what it said when it fails. */
export function run(command: string, args: readonly string[], input = ''): string {
  const options = { cwd: project, encoding: 'utf8', input, maxBuffer: 2 ** 28 } as const;
  const { status, stdout, stderr, error } = spawnSync(command, args, options);
  if (status === 0) return stdout;
  const said = error?.message ?? `${stdout}\n${stderr}`.trim().split('\n').slice(-40).join('\n');
  throw new Error(`${command} ${args.join(' ')} failed (${status ?? 'not started'}):\n${said}`);
}

/** Prints how long something took. */
export function timed<T>(what: string, action: () => T): T {
  const start = performance.now();
  const result = action();
  console.log(`${what}: ready after ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return result;
}

/** Throws, with what to do, unless this is root in a mount namespace of its own and the tools are there. */
export function needs(...tools: readonly string[]): void {
  if (process.env['NODE_CA_TRUST_SANDBOX'] === undefined) {
    throw new Error('these tests mount things: run them by `npm run test:image`');
  }
  // In a user namespace only one user is mapped, and files of a base image belong to several.
  if (process.getuid?.() !== 0 || !/^\s*0\s+0\s+4294967295$/m.test(readFileSync('/proc/self/uid_map', 'utf8'))) {
    throw new Error('images are built as root: run `sudo npm run test:image`');
  }
  const missing = tools.filter((tool) => onPath(tool) === undefined);
  if (missing.length > 0) throw new Error(`these tools are missing; install them: ${missing.join(' ')}`);
}

/** The first file of that name on PATH that can be run. */
function onPath(tool: string): string | undefined {
  const candidates = (process.env['PATH'] ?? '').split(delimiter).map((directory) => join(directory, tool));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The magic number of overlayfs (statfs(2)): such a disk cannot hold the upper layer of another overlay. */
const overlayfs = 0x794c7630;

/** As images name it. */
export type Architecture = 'amd64' | 'arm64';

export const ownArchitecture: Architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';

/** Where images are made. */
export interface Builder {
  /** For what lasts as long as this run. */
  readonly directory: string;
  /** Of the images that it makes. */
  readonly architecture: Architecture;
  /** Of buildah, and of nobody else: no image, container or setting of this machine is read or changed. */
  readonly storage: string;
}

export function builderFor(directory: string, architecture = ownArchitecture): Builder {
  const name = architecture === ownArchitecture ? 'storage' : `storage-${architecture}`;
  return { directory, architecture, storage: join(cacheDirectory, name) };
}

/** What runs a command that may start programs of another architecture. */
export function emulated(...words: readonly string[]): [string, string[]] {
  return ['sh', [join(import.meta.dirname, 'emulated.sh'), ...words]];
}

export function buildah({ directory, architecture, storage }: Builder, ...words: readonly string[]): string {
  const driver = statfsSync(cacheDirectory).type === overlayfs ? 'vfs' : 'overlay';
  const runDirectory = join(directory, basename(storage));
  const args = ['--root', storage, '--runroot', runDirectory, '--storage-driver', driver, ...words];
  return architecture === ownArchitecture ? run('buildah', args) : run(...emulated('buildah', ...args));
}

/** The package of npm: what the command on PATH is a link into. */
export function npmDirectory(): string {
  return dirname(dirname(realpathSync(onPath('npm') ?? '')));
}
