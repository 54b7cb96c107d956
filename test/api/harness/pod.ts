// The agent as it is shipped, in a process that finds what a pod finds: the service account and the API server's address.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment } from '../../sandbox/harness/environment.ts';
import { eventually } from '../../sandbox/harness/agent.ts';
import { type Production, buildProduction } from '../../bench/production.ts';
import { mountAccount, namespace, secretName } from './account.ts';
import { type ApiServer, apiHost, apiPort } from './api-server.ts';
import { podToken } from './nodes.ts';

export type LogLine = Readonly<Record<string, unknown>> & { readonly level: string; readonly msg: string };

export interface Pod extends AsyncDisposable {
  readonly pid: number;
  log(): readonly LogLine[];
  /** What it answers to its readiness probe. */
  readiness(): Promise<{ readonly ready: boolean; readonly text: string }>;
  /** Waits until it has proven a bundle with this digest. */
  proves(digest: string): Promise<void>;
  /** SIGTERM; the exit code. */
  stop(): Promise<number>;
}

let production: Promise<Production> | undefined;
let hasPlace = false;

/** What a process has in its environment in a pod. @param port where the API server, or what stands before it, listens */
export function podEnvironment(port = apiPort): Readonly<Record<string, string>> {
  return { KUBERNETES_SERVICE_HOST: apiHost, KUBERNETES_SERVICE_PORT: String(port) };
}

/** Brings the account of a pod on this node into the place where every pod of this machine looks for it. */
export async function giveAccount(api: ApiServer, node = 'node-1'): Promise<void> {
  // A /run of this namespace's own: the machine's has no place for it, and must not get one.
  if (!hasPlace) execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/run']);
  hasPlace = true;
  mountAccount('/', await podToken(api, { name: 'node-ca-trust', namespace }, node), api.ca.pem);
}

/**
 * Starts the agent with the Secret and its mount on a host.
 * @param port where the API server, or what stands before it, listens
 */
export async function startPod(
  root: string,
  mount: string,
  options: readonly string[] = [],
  port = apiPort,
): Promise<Pod> {
  const sandbox = process.env['NODE_CA_TRUST_SANDBOX'] ?? '/nowhere';
  production ??= buildProduction(join(mkdtempSync(join(sandbox, 'production-')), 'built'));
  const { nodeOptions, program } = await production;
  const address = '127.0.0.1:9641';
  const words = ['--host-root', root, '--bundle', mount, '--secret', `${namespace}/${secretName}`, '--listen', address];
  const env = { ...cleanEnvironment, ...podEnvironment(port) };
  const child = spawn(process.execPath, [...nodeOptions, program, 'run', ...words, ...options], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const log = (): readonly LogLine[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as LogLine);
  const readiness = async (): Promise<{ ready: boolean; text: string }> => {
    const response = await fetch(`http://${address}/readyz`).catch(() => undefined);
    return { ready: response?.status === 200, text: (await response?.text()) ?? 'no answer' };
  };
  return {
    pid: child.pid ?? 0,
    log,
    readiness,
    proves: (digest) =>
      eventually(async () => {
        const { ready, text: said } = await readiness();
        if (!ready || !said.includes(digest)) throw new Error(`it is not proven: ${said}${text.slice(-2_000)}`);
      }),
    stop: async () => {
      child.kill('SIGTERM');
      return (await ended)[0] ?? -1;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
