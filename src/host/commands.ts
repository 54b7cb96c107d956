/**
 * Commands of the host, run in the host's own root with a clean environment and in a process group of their own:
 * a signal meant for us (Ctrl-C in a terminal) must not stop a refresh half way.
 */
import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { Problem, explain } from './problem.ts';

export interface CommandOptions {
  /** What the command reads; nothing by default. */
  readonly input?: string;
  /** A file descriptor it inherits as number 3: the lock, which then lives as long as the command. */
  readonly descriptor?: number;
  /** The directory for its temporary files, as the host knows it. */
  readonly temporary?: string;
  /** After so long it is asked to end; ten seconds later it is killed with its children. */
  readonly timeoutMs?: number;
}

export interface CommandResult {
  /** The exit code; undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly output: string;
  readonly timedOut: boolean;
}

const graceMs = 10_000;
/** How long after a command's end its output is still read. */
const lingerMs = 200;
const defaultTimeoutMs = 180_000;
/** Of the heap, in bytes: a pass of a hundred anchors takes less, and a collection costs it 20 ms of its second. */
const muchHeap = 12 * 2 ** 20;
/** Only the end of what a command prints is kept: it goes into one line of a report. */
const outputLimit = 16 * 1024;
/** The system's own first: others than root may write to /usr/local (Debian's group staff), where hooks find theirs. */
const searchPath = '/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin';

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended meanwhile.
  }
}

/** Ends a process group when its time is up: SIGTERM first, since a killed refresh leaves its children writing. */
function limitTime(pid: number | undefined, timeoutMs: number): { end: () => boolean } {
  let timedOut = false;
  const term = setTimeout(() => {
    timedOut = true;
    signalGroup(pid, 'SIGTERM');
  }, timeoutMs);
  const kill = setTimeout(() => {
    signalGroup(pid, 'SIGKILL');
  }, timeoutMs + graceMs);
  return {
    end() {
      clearTimeout(term);
      clearTimeout(kill);
      return timedOut;
    },
  };
}

/** The lock's descriptor as the command's number 3. execa passes on any number; its types name only 3 to 9. */
function inherited(descriptor: number | undefined): readonly 3[] {
  return descriptor === undefined ? [] : [descriptor as 3];
}

function environment(temporary: string | undefined): Record<string, string> {
  const fixed = { PATH: searchPath, LC_ALL: 'C', HOME: '/root', DEBIAN_FRONTEND: 'noninteractive' };
  return temporary === undefined ? fixed : { ...fixed, TMPDIR: temporary };
}

/** Closes the output some time after the process has ended: a daemon that a hook has started may hold it open for ever. */
function closeAfterEnd(child: ChildProcess, output: readonly Readable[]): { end(): void } {
  let linger: NodeJS.Timeout | undefined;
  child.once('exit', () => {
    linger = setTimeout(() => {
      for (const stream of output) stream.destroy();
    }, lingerMs);
  });
  return {
    end() {
      clearTimeout(linger);
    },
  };
}

/**
 * Lets go, while a command works, of what was read to decide on it, where that is much. The proof that follows is read beside
 * it otherwise: with a thousand anchors the peak of memory is 9 MiB higher then, unless the collector happens to have run.
 * Needs Node's --expose-gc.
 */
function collectGarbage(): void {
  if (process.memoryUsage().heapUsed > muchHeap) globalThis.gc?.({ type: 'major', execution: 'sync' });
}

/**
 * Runs one command in the host's root.
 * @param root directory at which the host's root is mounted; `/` runs the command without chroot
 * @param command name or absolute path, as the host knows it
 * @returns exit code and what it printed; a command that fails is a result, not an exception
 * @throws Problem when it cannot be started at all
 */
export async function runInRoot(
  root: string,
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  // Loaded on first use: a pass with nothing to do starts no process, so an idle agent need not carry it.
  const { execa } = await import('execa');
  const [file, ...rest] = root === '/' ? [command, ...args] : ['chroot', root, command, ...args];
  const child = execa(file, rest, {
    cwd: '/',
    env: environment(options.temporary),
    extendEnv: false,
    detached: true,
    reject: false,
    all: true,
    buffer: false,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...inherited(options.descriptor)],
    ...(options.input === undefined ? {} : { input: options.input }),
  });
  let output = '';
  child.all.on('data', (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-outputLimit);
  });
  const lingering = closeAfterEnd(child.nodeChildProcess, [child.stdout, child.stderr]);
  const limit = limitTime(child.pid, options.timeoutMs ?? defaultTimeoutMs);
  collectGarbage();
  const result = await child;
  const timedOut = limit.end();
  lingering.end();
  if (result.failed && result.exitCode === undefined && result.signal === undefined) {
    throw new Problem(`cannot run ${command} on the host: ${explain(result.cause)}`);
  }
  return { code: result.exitCode, output: output.trimEnd(), timedOut };
}
