// Passes of a worker process, as seen from the bench.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import type { Production } from './production.ts';
import type { Weighed } from './worker.ts';

export interface Passes extends AsyncDisposable {
  readonly pid: number;
  /** Makes a pass. Throws when it does not converge. */
  pass(): Promise<Weighed>;
}

/** Starts a process that makes passes: on the host at `root`, of the bundle in `directory`. */
export async function openPasses(production: Production, root: string, directory: string): Promise<Passes> {
  const child = fork(production.worker, [root, directory], {
    execArgv: [...production.nodeOptions],
    env: cleanEnvironment,
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error('the process that makes passes ended by itself');
  });
  ended.catch(() => undefined);
  const message = async (): Promise<unknown> => {
    const [answer] = (await Promise.race([once(child, 'message'), ended])) as unknown[];
    return answer;
  };
  await message();
  return {
    pid: child.pid ?? 0,
    async pass() {
      const answer = message();
      child.send('pass');
      const weighed = (await answer) as Weighed;
      if (!weighed.converged) throw new Error(`a pass did not converge: ${weighed.reasons.join('; ')}`);
      return weighed;
    },
    async [Symbol.asyncDispose]() {
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    },
  };
}
