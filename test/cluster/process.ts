// Starting commands: with a clean environment, to their end, as the harness of the sandbox does it.
import { execa } from 'execa';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  /** Read from this file instead. */
  readonly inputFile?: string;
  /** Milliseconds; without end by default. */
  readonly timeout?: number;
}

export interface Result {
  /** The exit code; 128 + 15 when the time was up. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** For the few that need the user's own settings: how to reach a daemon, a proxy, a cache. */
export function ownEnvironment(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).map(([name, value]) => [name, value ?? '']));
}

/** Runs a command; an exit code other than 0 is no exception. Throws when it cannot be started. */
export async function attempt(command: string, args: readonly string[], options: RunOptions = {}): Promise<Result> {
  const { env, inputFile, input = '', cwd, timeout } = options;
  const result = await execa(command, args, {
    ...(inputFile === undefined ? { input } : { inputFile }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(timeout === undefined ? {} : { timeout }),
    env: { ...cleanEnvironment, ...env },
    extendEnv: false,
    reject: false,
    stripFinalNewline: false,
  });
  if (result.exitCode === undefined && !result.isTerminated) {
    throw new Error(`${command} cannot be started: ${result.shortMessage ?? ''}`, { cause: result });
  }
  return { code: result.exitCode ?? 143, stdout: result.stdout, stderr: result.stderr };
}

/** Runs a command and gives what it printed. Throws with the end of what it said when it fails. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await attempt(command, args, options);
  if (code === 0) return stdout;
  const said = `${stdout}\n${stderr}`.trim().split('\n').slice(-20).join('\n');
  throw new Error(`${[command, ...args].join(' ').slice(0, 300)} failed (${code}):\n${said}`);
}

/** Runs a shell script; `$1`, `$2`... are the words. Throws with what the failing command said. */
export async function shell(script: string, ...words: readonly (string | number)[]): Promise<void> {
  await run('sh', ['-euc', script, 'sh', ...words.map(String)]);
}
