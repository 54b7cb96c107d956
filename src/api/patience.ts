/**
 * The door to the API server, for one that has just started: for a second or so it knows no rule of RBAC yet, and refuses
 * (403) what it is going to permit. So a refusal is believed when it has come again and again, and at once from then on.
 */
import { posix } from 'node:path';
import { Refusal } from './refusal.ts';
import type { Api } from './requests.ts';

/** Ends early, by an error, when the signal is aborted. */
export type Sleep = (ms: number, signal: AbortSignal | undefined) => Promise<unknown>;

/** Between two attempts. */
const waitsMs = [250, 500, 1_000, 2_000];

/** The same door, with patience. */
export function withPatience(api: Api, sleep: Sleep): Api {
  /** What was refused to the end: verbs and collections. */
  const refused = new Set<string>();

  async function patiently<T>(what: string, signal: AbortSignal | undefined, make: () => Promise<T>): Promise<T> {
    const waits = refused.has(what) ? [] : [...waitsMs];
    for (;;) {
      try {
        const answer = await make();
        refused.delete(what);
        return answer;
      } catch (error) {
        if (!(error instanceof Refusal) || error.code !== 403) throw error;
        const wait = waits.shift();
        if (wait === undefined) {
          refused.add(what);
          throw error;
        }
        await sleep(wait, signal);
      }
    }
  }

  return {
    ask: (request) =>
      patiently(`${request.method ?? 'GET'} ${posix.dirname(request.path)}`, request.signal, () => api.ask(request)),
    follow: (watched) => patiently(`WATCH ${posix.dirname(watched.path)}`, watched.signal, () => api.follow(watched)),
  };
}
