// The daemon as it is shipped, started and asked from outside.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import type { Production } from './production.ts';

export interface Process extends AsyncDisposable {
  readonly pid: number;
}

export interface Daemon extends Process {
  /** When it was started, by performance.now(). */
  readonly started: number;
  /** The text of a path. Throws when it does not answer 200. */
  get(path: string): Promise<string>;
  /** Asks /readyz every two milliseconds until it answers 200 with this text in it. */
  ready(text?: string): Promise<void>;
}

const patienceMs = 60_000;
const everyMs = 2;

/** Starts Node with arguments, in an environment in which nothing else is set; by another command that becomes it. */
export function startNode(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  wrapper: readonly string[] = [],
): Process {
  const [first = '', ...rest] = [...wrapper, process.execPath, ...args];
  const child = spawn(first, rest, { env: { ...cleanEnvironment, ...env }, stdio: 'ignore' });
  const ended = once(child, 'exit');
  return {
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** How long Node takes to start, run a program and end. */
export async function timeNode(program: string): Promise<number> {
  const start = performance.now();
  await once(spawn(process.execPath, [program], { env: cleanEnvironment, stdio: 'ignore' }), 'exit');
  return performance.now() - start;
}

function httpGet(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(url, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`${url} answered ${response.statusCode ?? 0}: ${text}`));
      });
    });
    asked.on('error', reject).end();
  });
}

export interface More {
  readonly options?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly wrapper?: readonly string[];
}

/** Starts `run` on the host at `root` with the bundle in `directory`. */
export function startDaemon(
  { nodeOptions, program }: Production,
  root: string,
  directory: string,
  { options: more = [], env, wrapper }: More = {},
): Daemon {
  // An address of its own in 127.0.0.0/8, where no port is taken.
  const address = `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}:9641`;
  const options = ['--listen', address, '--host-root', root, '--bundle', directory, ...more];
  const started = performance.now();
  const node = startNode([...nodeOptions, program, 'run', ...options], env, wrapper);
  const get = (path: string): Promise<string> => httpGet(`http://${address}${path}`);
  return {
    pid: node.pid,
    started,
    get,
    async ready(text = '') {
      const end = performance.now() + patienceMs;
      for (;;) {
        const answer = await get('/readyz').catch((error: unknown) => error);
        if (typeof answer === 'string' && answer.includes(text)) return;
        if (performance.now() > end) throw new Error('the daemon does not become ready', { cause: answer });
        await sleep(everyMs);
      }
    },
    async [Symbol.asyncDispose]() {
      await node[Symbol.asyncDispose]();
    },
  };
}
