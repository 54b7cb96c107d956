// The program under test, called in process so that its coverage counts, or started as a process of its own where its
// log or a kill is the point.
import { spawn } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { main } from '../../../src/cli.ts';
import type { Report } from '../../../src/report/report.ts';
import { cleanEnvironment } from './environment.ts';
import type { World } from './world.ts';

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface PassOutcome extends CliResult {
  readonly report: Report;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly type: string;
}

/** What a running daemon tells, wherever it runs. */
export interface Telling {
  readonly url: string;
  get(path: string): Promise<Answer>;
  /** Waits until /readyz answers 200; with certificates given, until it has proven exactly those. */
  ready(...certs: readonly { readonly fingerprint: string }[]): Promise<string>;
  /** Waits until /readyz answers 503 with a text that matches, and gives the text. */
  notReady(pattern: RegExp): Promise<string>;
  /** The sum of all series of a metric whose labels include this text. */
  metric(name: string, labels?: string): Promise<number>;
  /** What it has logged so far. */
  log(): readonly LogLine[];
}

export interface Daemon extends Telling, AsyncDisposable {
  /** What SIGTERM does; gives the exit code. */
  stop(): Promise<number>;
  readonly ended: Promise<CliResult>;
}

/** One line of the agent's log. */
export interface LogLine extends Readonly<Record<string, unknown>> {
  readonly time: string;
  readonly level: string;
  readonly msg: string;
}

/** The agent as a process of its own. */
export interface AgentProcess extends Telling, AsyncDisposable {
  readonly pid: number;
  /** Closes the end of the pipe from which its log is read. */
  stopReading(): void;
  /** Sends a signal to its process group. */
  signal(signal: NodeJS.Signals): void;
  /** Exit code and signal, once it has ended. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

export interface Agent {
  /** Any command, given all its words. */
  readonly cli: (...words: string[]) => Promise<CliResult>;
  /** `apply` of a directory or file, with its report. Throws when there is none. */
  readonly apply: (bundle: string, ...options: string[]) => Promise<PassOutcome>;
  readonly remove: (...options: string[]) => Promise<PassOutcome>;
  /** The daemon, in this process. */
  readonly run: (bundle: string, ...options: string[]) => Daemon;
  /** The daemon as a process. */
  readonly start: (bundle: string, ...options: string[]) => AgentProcess;
  /** The same, started by another command that becomes it. */
  readonly startBy: (wrapper: readonly string[], bundle: string, ...options: string[]) => AgentProcess;
}

/** How long a condition may take to come true: much longer than it does, on the slowest machine. */
const patience = { timeout: 60_000, interval: 25 };

const program = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

/** Waits until `check` no longer throws, and gives what it gave. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, patience);
}

/** The digest of a bundle of these certificates, as `sort -u | sha256sum` makes it. */
export function digestOf(certs: readonly { readonly fingerprint: string }[]): string {
  const lines = [...new Set(certs.map(({ fingerprint }) => `${fingerprint}\n`))].sort();
  return createHash('sha256').update(lines.join('')).digest('hex');
}

/** The agent that serves a world. */
export function agent(world: Pick<World, 'root'>): Agent {
  const host = ['--host-root', world.root];
  const pass = async (words: readonly string[]): Promise<PassOutcome> => {
    const result = await cli([...words, ...host, '--output', 'json']);
    if (!result.stdout.startsWith('{')) throw new Error(`no report: ${JSON.stringify(result)}`);
    return { ...result, report: JSON.parse(result.stdout) as Report };
  };
  return {
    cli: (...words) => cli(words),
    apply: (bundle, ...options) => pass(['apply', '--bundle', bundle, ...options]),
    remove: (...options) => pass(['remove', ...options]),
    run: (bundle, ...options) => daemon(['--bundle', bundle, ...host, ...options]),
    start: (bundle, ...options) => agentProcess(['--bundle', bundle, ...host, ...options]),
    startBy: (wrapper, bundle, ...options) => agentProcess(['--bundle', bundle, ...host, ...options], wrapper),
  };
}

async function cli(
  words: readonly string[],
  stop = new AbortController().signal,
  text = { stdout: '', stderr: '' },
): Promise<CliResult> {
  const into = (name: 'stdout' | 'stderr'): Writable =>
    new Writable({
      write(chunk: Buffer, _, done) {
        text[name] += chunk.toString();
        done();
      },
    });
  const streams = { stdin: Readable.from([]), stdout: into('stdout'), stderr: into('stderr') };
  const code = await main(words, {}, streams, stop);
  return { code, ...text };
}

/** An address of its own in 127.0.0.0/8, where no port is taken. */
function ownAddress(): string {
  return `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}:9641`;
}

function daemon(options: readonly string[]): Daemon {
  const address = ownAddress();
  const abort = new AbortController();
  const text = { stdout: '', stderr: '' };
  const ended = cli(['run', '--listen', address, ...options], abort.signal, text);
  ended.catch(() => undefined);
  const stop = async (): Promise<number> => {
    abort.abort();
    return (await ended).code;
  };
  return {
    ...listenTo(address, () => text.stdout),
    stop,
    ended,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

function listenTo(address: string, logged: () => string): Telling {
  const url = `http://${address}`;
  const get = (path: string): Promise<Answer> => httpGet(`${url}${path}`);
  return {
    url,
    get,
    ready: (...certs) => untilReady(get, certs),
    notReady: (pattern) =>
      eventually(async () => {
        const { status, text } = await get('/readyz');
        if (status !== 503 || !pattern.test(text)) throw new Error(`/readyz still says ${status}: ${text}`);
        return text;
      }),
    async metric(name, labels = '') {
      const { text } = await get('/metrics');
      const series = text.split('\n').filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)));
      const values = series.filter((line) => line.includes(labels)).map((line) => Number(line.split(' ').at(-1)));
      return values.reduce((sum, value) => sum + value, 0);
    },
    log() {
      const lines = logged().split('\n').slice(0, -1);
      return lines.map((line) => JSON.parse(line) as LogLine);
    },
  };
}

function untilReady(
  get: (path: string) => Promise<Answer>,
  certs: readonly { readonly fingerprint: string }[],
): Promise<string> {
  const digest = certs.length === 0 ? '' : digestOf(certs);
  return eventually(async () => {
    const { status, text } = await get('/readyz');
    if (status !== 200 || !text.includes(digest)) throw new Error(`/readyz still says ${status}: ${text}`);
    return text;
  });
}

function agentProcess(options: readonly string[], wrapper: readonly string[] = []): AgentProcess {
  const address = ownAddress();
  const { child, ended } = startProcess(['run', '--listen', address, ...options], wrapper);
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const { pid } = child;
  if (pid === undefined) throw new Error('the agent cannot be started');
  const signal = (name: NodeJS.Signals): void => {
    signalGroup(pid, name);
  };
  return {
    ...listenTo(address, () => text),
    pid,
    stopReading: () => {
      child.stdout.destroy();
    },
    signal,
    ended,
    async [Symbol.asyncDispose]() {
      signal('SIGKILL');
      await ended;
    },
  };
}

/** Starts the program as the leader of a process group of its own. */
export function startProcess(words: readonly string[], wrapper: readonly string[] = []) {
  const [command, ...args] = [...wrapper, process.execPath, program, ...words] as [string, ...string[]];
  const child = spawn(command, args, { env: cleanEnvironment, detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
  }));
  return { child, ended };
}

/** Signals a process group; one that has ended is left in peace. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** One request on a connection of its own; the port is not taken as HTTP's, so fetch() may refuse it. */
function httpGet(url: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request(url, { agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('error', reject);
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, text, type: response.headers['content-type'] ?? '' });
      });
    })
      .on('error', reject)
      .end();
  });
}
