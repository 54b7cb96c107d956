// A world: a view of this machine's root that a test may change at will. Nothing it does reaches the machine; it
// only works inside the mount namespace of test/setup/namespace.mjs.
import { execa } from 'execa';
import { readlinkSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanEnvironment } from './environment.ts';
import { fillDisk } from './fill.ts';
import { shell } from './shell.ts';
import { copiedView, overlayView } from './views.ts';
import { snapshotStore, type Snapshot } from './snapshot.ts';

export interface WorldOptions {
  /** How much may be written before the disk is full, as tmpfs takes it: '2m', '64m'. Default: '256m'. */
  readonly size?: string;
  /** Keep the machine's own update hooks (Java's key store); off by default, so that all machines behave alike. */
  readonly hooks?: boolean;
  /** Default 'auto': an overlay where the kernel allows a writable one, else (an ordinary user) a copy of /etc. */
  readonly view?: 'auto' | 'overlay' | 'copy';
}

export interface ExecOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds; default 60,000. */
  readonly timeout?: number;
}

export interface ExecResult {
  /** The exit code; 128 + 15 when the time was up. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A change that is taken back by `undo`, or at the end of an `await using` block. */
export interface Undo extends AsyncDisposable {
  undo(): Promise<void>;
}

export interface World extends AsyncDisposable {
  /** The host root directory, for --host-root. */
  readonly root: string;
  readonly view: 'overlay' | 'copy';
  /** Where an absolute path of the world lies for this process. */
  path(hostPath: string): string;
  /** Runs a command in the world by chroot with a clean environment; an exit code other than 0 is no exception. */
  exec(command: string, args?: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /** What the trust store's directories hold now. */
  snapshot(): Promise<Snapshot>;
  /** Makes a directory read-only (EROFS). */
  readOnly(hostPath: string): Promise<Undo>;
  /** Puts a directory, with what it holds, on a file system of its own of that many bytes. */
  limitSpace(hostPath: string, bytes: number): Promise<Undo>;
  /** Fills the file system that holds a directory until ENOSPC, but for `spare` bytes (in whole pages). */
  fill(hostPath: string, spare?: number): Promise<Undo>;
  destroy(): Promise<void>;
}

/** Makes a world. Throws, with what to do, outside the namespace or when this machine's mounts stand in the way. */
export async function createWorld(options: WorldOptions = {}): Promise<World> {
  const base = await mkdtemp(join(sandbox(), 'world-'));
  const root = join(base, 'root');
  try {
    const view = await build(base, options);
    if (options.hooks !== true) await rm(join(root, 'etc/ca-certificates/update.d'), { recursive: true, force: true });
    return inhabit(base, root, view);
  } catch (error) {
    await tearDown(base);
    throw error;
  }
}

function sandbox(): string {
  const directory = process.env['NODE_CA_TRUST_SANDBOX'];
  const inside = readlinkSync('/proc/self/ns/mnt') !== process.env['NODE_CA_TRUST_OUTSIDE'];
  if (directory === undefined || !inside) {
    throw new Error('sandbox tests mount things: run them by `node test/setup/namespace.mjs vitest run ...`');
  }
  return directory;
}

async function build(base: string, { size = '256m', view = 'auto' }: WorldOptions): Promise<'overlay' | 'copy'> {
  await shell('cd "$1"; mkdir layers root; mount -t tmpfs -o "mode=755,size=$2" tmpfs layers', base, size);
  if (view === 'copy') return copiedView(base);
  try {
    return await overlayView(base);
  } catch (error) {
    if (view === 'overlay') throw error;
    await shell('cd "$1"; umount -l root 2>/dev/null || true; rm -rf layers/*', base);
    return copiedView(base);
  }
}

async function tearDown(base: string): Promise<void> {
  // Lazily and as a whole: mounts below that came from outside a user namespace cannot be unmounted one by one.
  await shell('cd "$1"; umount -l root 2>/dev/null || true; umount -l layers 2>/dev/null || true', base);
  await rm(base, { recursive: true, force: true });
}

function inhabit(base: string, root: string, view: 'overlay' | 'copy'): World {
  const path = (hostPath: string): string => join(root, hostPath);
  let destroyed: Promise<void> | undefined;
  const destroy = (): Promise<void> => (destroyed ??= tearDown(base));
  return {
    root,
    view,
    path,
    destroy,
    [Symbol.asyncDispose]: destroy,
    exec: (command, args = [], execOptions = {}) => execIn(root, command, args, execOptions),
    snapshot: () => snapshotStore(root),
    async readOnly(hostPath) {
      await shell('mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"', path(hostPath));
      return undoing(() => unmount(path(hostPath)));
    },
    async limitSpace(hostPath, bytes) {
      const aside = await mkdtemp(join(base, 'limit-'));
      const script =
        'mount -t tmpfs -o "size=$3" tmpfs "$1"; chmod --reference="$2" "$1"; cp -a "$2/." "$1"; mount --bind "$1" "$2"; umount -l "$1"';
      await shell(script, aside, path(hostPath), String(bytes));
      return undoing(() => unmount(path(hostPath)));
    },
    async fill(hostPath, spare = 0) {
      const filler = join(path(hostPath), '.filler');
      await writeFile(filler, '');
      await fillDisk(filler, spare);
      return undoing(() => rm(filler, { force: true }));
    },
  };
}

async function execIn(root: string, command: string, args: readonly string[], options: ExecOptions) {
  const result = await execa('chroot', [root, command, ...args], {
    env: { ...cleanEnvironment, ...options.env },
    extendEnv: false,
    reject: false,
    stripFinalNewline: false,
    input: options.input ?? '',
    timeout: options.timeout ?? 60_000,
  });
  if (result.exitCode === undefined && !result.isTerminated) throw new Error('chroot cannot be run', { cause: result });
  return { code: result.exitCode ?? 143, stdout: result.stdout, stderr: result.stderr };
}

function unmount(directory: string): Promise<void> {
  return shell('umount -l "$1"', directory);
}

function undoing(action: () => Promise<void>): Undo {
  let undone: Promise<void> | undefined;
  const undo = (): Promise<void> => (undone ??= action());
  return { undo, [Symbol.asyncDispose]: undo };
}
