// A machine: a world (test/sandbox) that runs. It has a process 1, a network with one address, and a root that its
// processes cannot leave; the agent, outside, sees that root as a pod sees its node's.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { binary } from '../../cluster/binaries.ts';
import { attempt, type Result } from '../../cluster/process.ts';
import { eventually } from '../../sandbox/harness/agent.ts';
import { cleanEnvironment } from '../../sandbox/harness/environment.ts';
import { smallWorld } from '../../sandbox/harness/host.ts';
import { shell } from '../../sandbox/harness/shell.ts';
import type { World } from '../../sandbox/harness/world.ts';

/** No other machine is in its network, so all have the same. */
export const address = '10.77.77.1';

export interface Service {
  /** As the machine counts, and as the agent sees it in the machine's /proc. */
  readonly pid: number;
  /** When it was started, in ticks since the boot: with the number it tells one process from every other. */
  started(): string;
  /** All that it has said. */
  log(): string;
  signal(signal: 'STOP' | 'CONT'): Promise<void>;
  /** Returns when it has ended. */
  stop(signal?: 'TERM' | 'KILL'): Promise<void>;
}

export interface Machine extends World {
  /** Runs a command in the machine; an exit code other than 0 is no exception. */
  inside(command: string, ...args: readonly string[]): Promise<Result>;
  /** Starts a program in the background, and waits until `check` no longer throws. */
  start(command: readonly string[], check: () => Promise<unknown>, env?: Environment): Promise<Service>;
  /** Shows a file or a directory of the outside at a place in the machine, where it cannot be changed. */
  place(source: string, at: string): Promise<void>;
  write(path: string, text: string): Promise<void>;
}

type Environment = Readonly<Record<string, string>>;

/** Milliseconds: much longer than anything takes to start. */
const patience = 60_000;

const script = join(import.meta.dirname, 'machine.sh');

/** What other software may have set up on the machine that the tests run on. */
const foreign = ['containerd', 'docker', 'containers', 'crio', 'rancher'].map((name) => `/etc/${name}`);

/** Makes a machine on which every one of these names is its own address. */
export async function createMachine(names: readonly string[]): Promise<Machine> {
  const world = await smallWorld({ view: 'overlay' });
  try {
    await Promise.all(
      [...foreign, '/var/lib/rancher'].map((path) => rm(world.path(path), { recursive: true, force: true })),
    );
    await rm(world.path('/etc/hosts'), { force: true });
    await writeFile(world.path('/etc/hosts'), `127.0.0.1 localhost\n${address} ${names.join(' ')}\n`);
    // Who looks up another name hears at once that there is none.
    await rm(world.path('/etc/resolv.conf'), { force: true });
    await writeFile(world.path('/etc/resolv.conf'), '');
    const { init, end } = await powerOn(world);
    return furnish(world, init, end);
  } catch (error) {
    await world.destroy();
    throw error;
  }
}

/** Starts process 1. It ends with this process, however that ends, and everything in the machine with it. */
async function powerOn(world: World): Promise<{ init: number; end: () => Promise<void> }> {
  const pause = '/usr/local/bin/pause';
  await shell('cp "$1" "$2"', binary('pause'), world.path(pause));
  const own = ['--pid', '--net', '--ipc', '--uts', '--fork', '--kill-child'];
  const words = ['--pdeathsig', 'KILL', 'unshare', ...own, 'sh', script, address, pause, world.root];
  const child = spawn('setpriv', words, { env: cleanEnvironment, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const exited = once(child, 'exit');
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const latest = performance.now() + patience;
  while (commandOf(world.path('/proc/1/cmdline')) !== pause) {
    if (hasEnded() || performance.now() > latest) {
      child.kill('SIGKILL');
      throw new Error(`the machine cannot be started: ${said.trim()}`);
    }
    await sleep(5);
  }
  const outer = child.pid ?? 0;
  const init = Number(readFileSync(`/proc/${outer}/task/${outer}/children`, 'utf8'));
  const end = async (): Promise<void> => {
    // Not its parent, which buries it: the kernel ends all the others before it is gone.
    process.kill(init, 'SIGKILL');
    await exited;
  };
  return { init, end };
}

function commandOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').split('\0', 1)[0] ?? '';
  } catch {
    return '';
  }
}

function furnish(world: World, init: number, end: () => Promise<void>): Machine {
  const path = (file: string): string => world.path(file);
  const enter = ['--target', String(init), '--all', '--root', '--wd', '--'];
  const inside = (command: string, ...args: readonly string[]): Promise<Result> =>
    attempt('nsenter', [...enter, command, ...args], { timeout: 60_000 });
  let destroyed: Promise<void> | undefined;
  const destroy = (): Promise<void> => (destroyed ??= end().then(() => world.destroy()));
  const must = async (command: string, ...args: readonly string[]): Promise<void> => {
    const { code, stdout, stderr } = await inside(command, ...args);
    if (code !== 0) throw new Error(`${[command, ...args].join(' ')} (${code}): ${stdout}${stderr}`);
  };
  return {
    ...world,
    inside,
    destroy,
    [Symbol.asyncDispose]: destroy,
    async write(file, text) {
      await mkdir(dirname(path(file)), { recursive: true });
      await writeFile(path(file), text);
    },
    async place(source, at) {
      // From outside: the machine's own root need not show where the source is.
      const script = `if [ -d "$1" ]; then mkdir -p "$2"; else rm -f "$2"; : > "$2"; fi
        mount --bind "$1" "$2"; mount -o remount,bind,ro "$2"`;
      await mkdir(dirname(path(at)), { recursive: true });
      await shell(script, source, path(at));
    },
    async start(command, check, env = {}) {
      const service = await launch(path, must, command, env);
      const end = performance.now() + patience;
      for (;;) {
        try {
          await check();
          return service;
        } catch (cause) {
          const alive = existsSync(path(`/proc/${service.pid}`));
          if (alive && performance.now() < end) continue;
          const what = alive ? 'does not answer' : 'has ended';
          throw new Error(`${command.join(' ')} ${what}:\n${service.log().slice(-3_000)}`, { cause });
        } finally {
          await sleep(20);
        }
      }
    },
  };
}

let launched = 0;

/** Not as a child of anybody but process 1, as a service is. */
async function launch(
  path: World['path'],
  must: (command: string, ...args: readonly string[]) => Promise<void>,
  command: readonly string[],
  env: Environment,
): Promise<Service> {
  launched += 1;
  const name = `/run/service-${launched}`;
  const settings = Object.entries({ ...cleanEnvironment, ...env }).map(([key, value]) => `${key}=${value}`);
  const forking = `name=$1; shift
    setsid --fork sh -c 'echo $$ > "$0.pid.new"; mv "$0.pid.new" "$0.pid"; exec "$@" > "$0.log" 2>&1 < /dev/null' "$name" "$@"
    until [ -e "$name.pid" ]; do sleep 0.01; done`;
  await must('sh', '-euc', forking, 'sh', name, 'env', '-i', ...settings, ...command);
  const pid = Number(readFileSync(path(`${name}.pid`), 'utf8'));
  const log = (): string => readFileSync(path(`${name}.log`), 'utf8');
  return {
    pid,
    log,
    started() {
      // The name in brackets may hold anything, so the fields are counted from its end.
      const text = readFileSync(path(`/proc/${pid}/stat`), 'utf8');
      return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    },
    signal: (signal) => must('kill', '-s', signal, String(pid)),
    async stop(signal = 'TERM') {
      await must('kill', '-s', signal, String(pid));
      await eventually(() => {
        if (existsSync(path(`/proc/${pid}`)))
          throw new Error(`${command.join(' ')} does not end:\n${log().slice(-3_000)}`);
      });
    },
  };
}
