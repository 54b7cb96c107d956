// The image as the DaemonSet runs it: root, its own root file system read-only, the node's at /host, the bundle beside.
import { execa } from 'execa';
import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { shell } from '../sandbox/harness/shell.ts';
import type { Image } from './image.ts';
import { emulated, ownArchitecture } from './machine.ts';

export interface Mounts {
  /** What the node's root is: a world of the sandbox. */
  readonly host?: string;
  /** A mounted Secret. */
  readonly bundle?: string;
  /** What a pod has of its service account. */
  readonly account?: string;
}

export interface Result {
  /** The exit code; undefined when a signal ended it. */
  readonly code: number | undefined;
  /** What it printed on both streams. */
  readonly output: string;
}

export interface Process extends AsyncDisposable {
  readonly ended: Promise<Result>;
  /** Sends SIGTERM as a runtime does: from outside the container's process namespace. */
  terminate(): Promise<void>;
}

export interface Container {
  readonly root: string;
  /** Runs a command of the image to its end. */
  exec(...words: readonly string[]): Promise<Result>;
  /** Runs the image's entrypoint with these arguments to its end. */
  program(...args: readonly string[]): Promise<Result>;
  /** Starts the image's entrypoint as process 1 of a process namespace of its own. */
  start(args: readonly string[], env?: Readonly<Record<string, string>>): Process;
}

/** Mounts a container. It goes with the test run's mount namespace. */
export async function createContainer(image: Image, { host, bundle, account }: Mounts = {}): Promise<Container> {
  const base = await mkdtemp(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '', 'container-'));
  await mountRoot(base, image.root, host ?? '', bundle ?? '', account ?? '');
  const root = join(base, 'root');
  const environment = Object.fromEntries((image.config.Env ?? []).map(nameAndValue));
  const entrypoint = image.config.Entrypoint ?? [];
  const options = { env: environment, extendEnv: false, reject: false, all: true } as const;
  const isForeign = image.architecture !== ownArchitecture;
  const exec = async (...words: readonly string[]): Promise<Result> => {
    const [command, args] = isForeign ? emulated('chroot', root, ...words) : ['chroot', [root, ...words]];
    const { exitCode, all } = await execa(command, args, options);
    return { code: exitCode, output: all };
  };
  return {
    root,
    exec,
    program: (...args) => exec(...entrypoint, ...args),
    start(args, env = {}) {
      const apart = ['--pid', '--fork', '--kill-child', `--mount-proc=${join(root, 'proc')}`];
      const words = [...apart, 'chroot', root, ...entrypoint, ...args];
      const child = execa('unshare', words, { ...options, env: { ...environment, ...env } });
      const ended = child.then(({ exitCode, all }) => ({ code: exitCode, output: all }));
      return {
        ended,
        async terminate() {
          process.kill(await onlyChild(child.pid ?? 0), 'SIGTERM');
        },
        async [Symbol.asyncDispose]() {
          child.kill('SIGKILL');
          await ended;
        },
      };
    },
  };
}

/** `NAME=value`, where the value may hold more of the signs. */
export function nameAndValue(text: string): [string, string] {
  const [name = '', ...value] = text.split('=');
  return [name, value.join('=')];
}

/** A runtime makes the mount points that an image lacks before it turns the root read-only; so does this. */
function mountRoot(...places: readonly [base: string, image: string, host: string, bundle: string, account: string]) {
  return shell(
    `cd "$1"; mkdir root layers; mount -t tmpfs tmpfs layers; mkdir layers/upper layers/work
    mount -t overlay -o "lowerdir=$2,upperdir=$1/layers/upper,workdir=$1/layers/work" overlay root
    account=root/var/run/secrets/kubernetes.io/serviceaccount
    mkdir -p root/proc root/dev "$account"
    mount -o remount,ro root
    mount --rbind /proc root/proc; mount --rbind /dev root/dev
    if [ -n "$3" ]; then mount --rbind "$3" root/host; fi
    if [ -n "$4" ]; then mount --bind "$4" root/etc/node-ca-trust/bundle
      mount -o remount,bind,ro root/etc/node-ca-trust/bundle; fi
    if [ -n "$5" ]; then mount --bind "$5" "$account"; fi`,
    ...places,
  );
}

async function onlyChild(pid: number): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const child = Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim());
    if (child > 0) return child;
    await sleep(20);
  }
  throw new Error(`process ${pid} has no child`);
}
