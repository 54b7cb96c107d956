/**
 * The lock that lets one pass at a time, of whatever instance, change the host.
 *
 * It is the host's own flock(1) on the directory of the ledgers: nothing goes stale. flock locks belong to the open file,
 * which this process and the refresh command share; so the lock ends by itself when both have ended, and not before: when
 * this process is killed in the middle of a refresh, the next one waits for that refresh. Whoever can open a directory
 * for reading can lock it, so nobody else may: on one of the trust store's any user would end all changes.
 */
import { closeSync, fchmodSync, fstatSync } from 'node:fs';
import type { Host } from './host.ts';
import { Problem, caught } from './problem.ts';

export interface Lock {
  /** To be inherited by commands that must not outlive the lock. */
  readonly descriptor: number;
  release(): void;
}

/** For who changes nothing that takes one. */
export const noLock: Lock = { descriptor: -1, release: () => undefined };

const ownersOnly = 0o700;

/** Opens it for its owner alone, whoever has made it: the kubelet makes what it mounts for all to read. */
function openPrivate(host: Host, directory: string): number {
  host.makeDirectory(directory, ownersOnly);
  const descriptor = host.openDirectory(directory);
  try {
    if ((fstatSync(descriptor).mode & 0o077) !== 0) fchmodSync(descriptor, ownersOnly);
  } catch {
    // It may be the unprivileged agent's, whom not every root may overrule.
  }
  return descriptor;
}

/** So often a directory may be replaced while it is being locked. */
const attempts = 10;

/**
 * Waits for the lock on a directory of the host, which is made where it is missing, and goes with the lock when it is empty.
 * @param waitMs how long at most, each time that it is another's first
 * @throws Problem when it is not had in time, or the host has no flock
 */
export async function lockDirectory(host: Host, directory: string, waitMs: number): Promise<Lock> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const lock = await tryLock(host, directory, waitMs);
    // It may have gone with the lock of who had it: a lock on the old one keeps nobody out.
    if (fstatSync(lock.descriptor, { bigint: true }).ino === host.target(directory)?.inode) return lock;
    closeSync(lock.descriptor);
  }
  throw new Problem(`${directory} on the host was replaced while it was being locked; the next pass goes on`);
}

async function tryLock(host: Host, directory: string, waitMs: number): Promise<Lock> {
  const descriptor = openPrivate(host, directory);
  const release = (): void => {
    caught(() => host.removeDirectory(directory));
    closeSync(descriptor);
  };
  let isAnothers = false;
  try {
    const { code, timedOut, output } = await host.run('flock', ['-x', '3'], { descriptor, timeoutMs: waitMs });
    isAnothers = timedOut;
    if (timedOut) {
      throw new Problem(
        `${directory} on the host has been locked for ${Math.round(waitMs / 1000)} s by another pass; look for a hanging update-ca-certificates or update-ca-trust`,
      );
    }
    if (code !== 0)
      throw new Problem(`cannot lock ${directory} on the host: flock said ${output || `exit code ${code ?? '?'}`}`);
    return { descriptor, release };
  } catch (error) {
    // Who has the lock may be about to write there.
    if (isAnothers) closeSync(descriptor);
    else release();
    throw error;
  }
}
