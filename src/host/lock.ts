/**
 * The lock that lets one pass at a time, of whatever instance, change the host.
 *
 * It is the host's own flock(1) on a directory of the trust store: nothing is created, nothing goes stale. flock locks
 * belong to the open file, which this process and the refresh command share; so the lock ends by itself when both have
 * ended, and not before: when this process is killed in the middle of a refresh, the next one waits for that refresh.
 */
import { closeSync, fstatSync } from 'node:fs';
import type { Host } from './host.ts';
import { Problem } from './problem.ts';

export interface Lock {
  /** To be inherited by commands that must not outlive the lock. */
  readonly descriptor: number;
  release(): void;
}

/** For who changes nothing that takes one. */
export const noLock: Lock = { descriptor: -1, release: () => undefined };

/**
 * Waits for the lock on a directory of the host.
 * @param waitMs how long at most
 * @throws Problem when it is not had in time, or the host has no flock
 */
export async function lockDirectory(host: Host, directory: string, waitMs: number): Promise<Lock> {
  const descriptor = host.openDirectory(directory);
  const release = (): void => {
    closeSync(descriptor);
  };
  try {
    const { code, timedOut, output } = await host.run('flock', ['-x', '3'], { descriptor, timeoutMs: waitMs });
    if (timedOut) {
      throw new Problem(
        `${directory} on the host has been locked for ${Math.round(waitMs / 1000)} s by another pass; look for a hanging update-ca-certificates or update-ca-trust`,
      );
    }
    if (code !== 0)
      throw new Problem(`cannot lock ${directory} on the host: flock said ${output || `exit code ${code ?? '?'}`}`);
    // The directory may have been replaced while we waited: a lock on the old one keeps nobody out.
    if (fstatSync(descriptor, { bigint: true }).ino !== host.target(directory)?.inode) {
      throw new Problem(`${directory} on the host was replaced while it was being locked; the next pass goes on`);
    }
    return { descriptor, release };
  } catch (error) {
    release();
    throw error;
  }
}
