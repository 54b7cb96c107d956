/**
 * Paths of the host as this process sees them. The host's root is mounted at some directory, and the host's own
 * absolute symbolic links mean places below that root: every path is walked here, so that no link ever leads out of it.
 */
import { lstatSync, readlinkSync } from 'node:fs';
import { posix } from 'node:path';
import type { Entries } from './entries.ts';
import { Problem, errnoOf } from './problem.ts';

/** As many links as the kernel follows before it answers ELOOP (path_resolution(7)). */
const maxLinks = 40;

/**
 * Where a host path lies for this process, all symbolic links but the last component's resolved inside the root.
 * The path need not exist.
 * @param hostPath absolute path as the host knows it
 * @param followLast resolve the last component too
 * @throws Problem when links run in a circle
 */
export type Resolve = (hostPath: string, followLast: boolean) => string;

/** Whose files are that belong to nobody in this user namespace: the machine's root among them (user_namespaces(7)). */
const overflow = 65_534;

/**
 * Where a link points; undefined when there is none.
 * @throws Problem when it is another user's, who must not lead root's hand
 */
function ownLink(path: string): string | undefined {
  try {
    const link = lstatSync(path, { throwIfNoEntry: false });
    if (link?.isSymbolicLink() !== true) return undefined;
    if (link.uid !== 0 && (link.uid !== overflow || lstatSync(posix.dirname(path)).uid !== overflow)) {
      throw new Problem(
        `${path} is a link of user ${link.uid}'s, and root writes nothing where it leads; remove it, or chown -h root`,
      );
    }
    return readlinkSync(path);
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

export type Links = Pick<Entries, 'link'>;

/** For paths that root writes to. */
export const ownLinks: Links = { link: ownLink };

/** One resolution: what was asked for, and how many links it has met. */
interface Trip {
  readonly hostPath: string;
  links: number;
}

/**
 * Opens the way to the paths below one root. A pass looks at a thousand paths in a handful of directories: each directory
 * is walked once in one turn of the event loop, and then forgotten, for links may change.
 * @param root directory at which the host's root is mounted
 * @param links who says where the links on the way point
 */
export function openPaths(root: string, links: Links): Resolve {
  const prefix = root.replace(/\/+$/, '');
  const directories = new Map<string, string>();

  /** The real directory at a path; the root is the empty string. */
  const directoryAt = (path: string, trip: Trip): string => {
    const known = path === '' ? '' : directories.get(path);
    if (known !== undefined) return known;
    const real = walk(path, true, trip);
    if (directories.size === 0) queueMicrotask(forget);
    directories.set(path, real);
    return real;
  };
  const forget = (): void => {
    directories.clear();
  };
  const walk = (path: string, followLast: boolean, trip: Trip): string => {
    const slash = path.lastIndexOf('/');
    const [above, name] = [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
    if (name === '') return above === '' ? '' : walk(above, followLast, trip);
    const directory = directoryAt(above, trip);
    if (name === '.') return directory;
    if (name === '..') return directory.slice(0, Math.max(directory.lastIndexOf('/'), 0));
    const here = `${directory}/${name}`;
    const target = followLast ? links.link(prefix + here) : undefined;
    if (target === undefined) return here;
    trip.links += 1;
    if (trip.links > maxLinks) {
      throw new Problem(`${trip.hostPath} on the host: too many symbolic links; mend the circle`);
    }
    return walk(target.startsWith('/') ? target : `${directory}/${target}`, true, trip);
  };
  return (hostPath, followLast) => prefix + (walk(hostPath, followLast, { hostPath, links: 0 }) || '/');
}
