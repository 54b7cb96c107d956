// The daemon as a process of its own, seen from outside: its log, and how it ends.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import { Failure } from './terminal.ts';

export const project = fileURLToPath(new URL('../..', import.meta.url));

const fingerprints = z.array(z.string()).default([]);
const finding = z.object({ code: z.string(), severity: z.string(), source: z.string(), message: z.string() });
const logLine = z.object({
  msg: z.string(),
  listen: z.string().optional(),
  anchors: z.number().optional(),
  added: fingerprints,
  repaired: fingerprints,
  removed: fingerprints,
  findings: z.array(finding).default([]),
  milliseconds: z.number().optional(),
});

export interface LogLine extends z.infer<typeof logLine> {
  /** When it arrived, by performance.now(). */
  readonly at: number;
}

export interface Daemon extends AsyncDisposable {
  /** How much it has logged so far: where to look for what comes next. */
  mark(): number;
  /** Waits for a line of the log from a mark on. */
  logged(expected: string, from: number, isIt: (line: LogLine) => boolean): Promise<LogLine>;
  /** Ends it by SIGTERM. */
  terminate(): Promise<{ readonly code: number | null }>;
}

/** Longer than anything here takes on a slow machine. */
const patienceMs = 60_000;
/** A pass under way ends first; after that nothing keeps a daemon that was told to stop. */
const stopMs = 10_000;

/** Waits until something is as expected, and returns it. Throws a Failure when patience ends. */
export async function until<T>(expected: string, look: () => T | Promise<T>, isSo: (seen: T) => boolean): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const seen = await look();
    if (isSo(seen)) return seen;
    if (performance.now() > deadline) {
      throw new Failure(expected, `${JSON.stringify(seen)} after ${patienceMs / 1000} s`);
    }
    await sleep(5);
  }
}

/** Starts `node src/main.ts` with arguments, and nothing of this process's own environment. */
export function startDaemon(args: readonly string[]): Daemon {
  const child = spawn(process.execPath, ['src/main.ts', ...args], {
    cwd: project,
    env: cleanEnvironment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit');
  const lines: LogLine[] = [];
  const strange: string[] = [];
  createInterface(child.stdout).on('line', (text) => {
    const at = performance.now();
    try {
      lines.push({ ...logLine.parse(JSON.parse(text)), at });
    } catch {
      strange.push(text);
    }
  });
  createInterface(child.stderr).on('line', (text) => strange.push(text));
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const terminate = async (): Promise<{ code: number | null }> => {
    child.kill('SIGTERM');
    const limit = setTimeout(() => child.kill('SIGKILL'), stopMs);
    await ended;
    clearTimeout(limit);
    return { code: child.exitCode };
  };
  return {
    mark: () => lines.length,
    async logged(expected, from, isIt) {
      const found = await until(
        `a log line: ${expected}`,
        () => ({ line: lines.slice(from).find(isIt), last: lines.at(-1)?.msg, strange }),
        ({ line }) => line !== undefined || isOver(),
      );
      if (found.line === undefined) {
        throw new Failure(`a log line: ${expected}`, ['the end of the daemon', ...strange].join('\n'));
      }
      return found.line;
    },
    terminate,
    async [Symbol.asyncDispose]() {
      if (!isOver()) await terminate();
    },
  };
}
