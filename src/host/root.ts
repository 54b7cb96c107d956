/**
 * Paths of the host as this process sees them. The host's root is mounted at some directory, and the host's own
 * absolute symbolic links mean places below that root: every path is walked here, so that no link ever leads out of it.
 */
import { lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
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

/** Where links among the directories point, as far as it was asked: a pass asks for some 300 files in five of them. */
export type KnownLinks = Map<string, string | undefined>;

/** Where the link at a path points; undefined when it is none, or is the last one and not to be followed. */
function targetOf(path: string, isLast: boolean, followLast: boolean, known: KnownLinks): string | undefined {
  if (isLast) return followLast ? linkTarget(path) : undefined;
  if (!known.has(path)) known.set(path, linkTarget(path));
  return known.get(path);
}

/**
 * Where a host path lies for this process, all symbolic links but the last component's resolved inside `root`.
 * The path need not exist.
 * @param root directory at which the host's root is mounted
 * @param hostPath absolute path as the host knows it
 * @param followLast resolve the last component too
 * @param known what was found before, for as long as the host's directories can be taken to stay where they are
 * @throws Problem when links run in a circle
 */
export function resolveInRoot(
  root: string,
  hostPath: string,
  followLast: boolean,
  known: KnownLinks = new Map(),
): string {
  const waiting = hostPath.split('/').filter(Boolean);
  let resolved = '';
  let links = 0;
  for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) {
    if (part === '.') continue;
    if (part === '..') {
      resolved = resolved.slice(0, Math.max(resolved.lastIndexOf('/'), 0));
      continue;
    }
    const next = `${resolved}/${part}`;
    const target = targetOf(root + next, waiting.length === 0, followLast, known);
    if (target === undefined) {
      resolved = next;
      continue;
    }
    links += 1;
    if (links > maxLinks) throw new Problem(`${hostPath} on the host: too many symbolic links; mend the circle`);
    waiting.unshift(...target.split('/').filter(Boolean));
    if (target.startsWith('/')) resolved = '';
  }
  return join(root, resolved === '' ? '/' : resolved);
}
