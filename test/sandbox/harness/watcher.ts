// A reader like curl or a Go program, only tireless: reads the host's bundle all the time and tells what it saw.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cleanEnvironment } from './environment.ts';
import type { Expectation, State } from './classify.ts';
import type { World } from './world.ts';

export interface WatcherReport {
  readonly reads: number;
  /** How often the file was another than at the read before, the first read included. */
  readonly versions: number;
  readonly counts: Readonly<Record<State, number>>;
  /** For each bad state seen: when first, and what it was. Empty when every reader would have been well. */
  readonly firstBad: Readonly<Partial<Record<State, string>>>;
}

export interface Watcher extends AsyncDisposable {
  stop(): Promise<WatcherReport>;
}

/** Starts to read a file of the world (default: Debian's host's bundle), some thousand times a second. */
export async function watchBundle(
  world: World,
  expectation: Expectation,
  hostPath = '/etc/ssl/certs/ca-certificates.crt',
): Promise<Watcher> {
  const child = fork(
    new URL('watcher-process.ts', import.meta.url),
    [world.path(hostPath), JSON.stringify(expectation)],
    { env: cleanEnvironment, execArgv: [] },
  );
  const ended = once(child, 'exit').then(() => {
    throw new Error('the watcher ended by itself');
  });
  ended.catch(() => undefined);
  await Promise.race([once(child, 'message'), ended]);
  let report: Promise<WatcherReport> | undefined;
  const stop = (): Promise<WatcherReport> => (report ??= ask());
  return {
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };

  async function ask(): Promise<WatcherReport> {
    const answer = once(child, 'message');
    child.send('stop');
    const [message] = (await Promise.race([answer, ended])) as [WatcherReport];
    return message;
  }
}
