/**
 * Paths of the host as this process sees them. The host's root is mounted at some directory, and the host's own
 * absolute symbolic links mean places below that root: every path is walked here, so that no link ever leads out of it.
 */
import { lstatSync, readlinkSync } from 'node:fs';
import { join, posix } from 'node:path';
import { Problem, errnoOf } from './problem.ts';

/** As many links as the kernel follows before it answers ELOOP (path_resolution(7)). */
const maxLinks = 40;

function linkTarget(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined;
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/**
 * Where a host path lies for this process, all symbolic links but the last component's resolved inside `root`.
 * The path need not exist.
 * @param root directory at which the host's root is mounted
 * @param hostPath absolute path as the host knows it
 * @param followLast resolve the last component too
 * @throws Problem when links run in a circle
 */
export function resolveInRoot(root: string, hostPath: string, followLast: boolean): string {
  const waiting = hostPath.split('/').filter(Boolean);
  let resolved = '/';
  let links = 0;
  for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) {
    const next = posix.join(resolved, part);
    const target = waiting.length > 0 || followLast ? linkTarget(join(root, next)) : undefined;
    if (target === undefined) {
      resolved = next;
      continue;
    }
    links += 1;
    if (links > maxLinks) throw new Problem(`${hostPath} on the host: too many symbolic links; mend the circle`);
    waiting.unshift(...target.split('/').filter(Boolean));
    if (target.startsWith('/')) resolved = '/';
  }
  return join(root, resolved);
}
