// The fast source in this process, with what it said written down.
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished, vi } from 'vitest';
import type { Api } from '../../../src/api/api.ts';
import type { Reading } from '../../../src/bundle/types.ts';
import { type SecretPacing, openSecret, secretPacing } from '../../../src/sources/secret.ts';
import { apiOf } from '../../unit/support/api-server.ts';
import { apiHost, apiPort } from './api-server.ts';
import { mountAccount, namespace, secretName } from './account.ts';

export interface Followed {
  /** What stands for the pod's root: its service account can be changed there. */
  readonly root: string;
  /** Each thing that the source held, in its order: what every key held, or why there is none. */
  readonly held: string[];
  /** Each line for the admin. */
  readonly said: string[];
  /** What it holds, as a pass gets it. */
  reading(): Reading;
  /** Waits until it holds this. */
  holds(expected: Readonly<Record<string, string>> | 'missing'): Promise<void>;
  stop(): Promise<void>;
}

/** A Secret in one short line, to be compared. */
export function lineOf(files: Readonly<Record<string, string>>): string {
  const line = JSON.stringify(Object.entries(files).sort(([left], [right]) => (left < right ? -1 : 1)));
  return line.length < 200 ? line : createHash('sha256').update(line).digest('hex');
}

function described({ files, findings }: Reading): string {
  if (findings.length > 0) return findings.map(({ code }) => code).join();
  const prefix = `secret ${namespace}/${secretName}:`;
  return lineOf(Object.fromEntries(files.map(({ source, bytes }) => [source.replace(prefix, ''), String(bytes)])));
}

/**
 * Follows the Secret until the test is over.
 * @param port where the API server, or what stands before it, listens
 * @param spoil what a test makes of the answers
 */
export function follow(
  account: { token: string; ca: string },
  pacing: Partial<SecretPacing> = {},
  port = apiPort,
  spoil = (api: Api): Api => api,
): Followed {
  const root = mkdtempSync(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '/nowhere', 'pod-'));
  mountAccount(root, account.token, account.ca);
  vi.stubEnv('KUBERNETES_SERVICE_HOST', apiHost);
  vi.stubEnv('KUBERNETES_SERVICE_PORT', String(port));
  const held: string[] = [];
  const said: string[] = [];
  const stop = new AbortController();
  const source = openSecret(
    { namespace, name: secretName },
    {
      api: spoil(apiOf(root)),
      steady: () => performance.now(),
      sleep: (ms, signal) => sleep(ms, undefined, { signal }),
      random: Math.random,
      pacing: { ...secretPacing, ...pacing },
      changed: () => {
        const reading = source.reading();
        if (reading !== undefined) held.push(described(reading));
      },
      failed: (line) => said.push(`failed: ${line}`),
      recovered: (line) => said.push(`recovered: ${line}`),
    },
  );
  const following = source.follow(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await following;
  };
  onTestFinished(async () => {
    await end();
    vi.unstubAllEnvs();
    rmSync(root, { recursive: true });
  });
  return {
    root,
    held,
    said,
    reading: () => source.reading() ?? { files: [], findings: [] },
    holds: async (expected) => {
      const wanted = expected === 'missing' ? 'empty' : lineOf(expected);
      await vi
        .waitUntil(() => held.at(-1) === wanted, { timeout: 60_000, interval: 10 })
        .catch((cause: unknown) => {
          throw new Error(`it does not hold ${wanted}; it said ${said.join('; ')}`, { cause });
        });
    },
    stop: end,
  };
}
