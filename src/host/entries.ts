/**
 * What lies at places of this process's view, links not followed: the one who asks the kernel. A pass asks for the same
 * thousand files again and again, so within one look each is asked for once.
 */
import * as fs from 'node:fs';
import { type Rights } from './files.ts';
import { errnoOf } from './problem.ts';

export interface Entry {
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  /** Where it is for this process, by a path in which only its own name can be a link. */
  readonly at: string;
  /** Where it points, as written; undefined for what is no link. */
  readonly link: string | undefined;
  readonly size: number;
  readonly inode: bigint;
  /** The same for as long as it is the same file, whatever is written to it: device, inode and time of birth. */
  readonly identity: string;
  /** Milliseconds since the epoch. */
  readonly modified: number;
  /** When its content or what is known of it changed last: a file that was moved here is young by this. */
  readonly changed: number;
  /** Permission bits, and whose it is. */
  readonly rights: Rights;
  /** It was removed: only a mount of it, or a descriptor, still leads there. */
  readonly isGone: boolean;
  /** Changes whenever the file is another one or was written: inode, size, modification and change time. */
  readonly version: string;
}

/** ESRCH is said of a file of a process that has ended meanwhile. */
const absent: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ESRCH']);

/** The result of `action`, or undefined when the path is not there. */
export function ifThere<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    const code = errnoOf(error);
    if (code !== undefined && absent.has(code)) return undefined;
    throw error;
  }
}

function kindOf(stats: fs.BigIntStats): Entry['kind'] {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'link' : 'other';
}

function lookAt(path: string): Entry | undefined {
  const stats = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  const kind = kindOf(stats);
  return {
    kind,
    at: path,
    link: kind === 'link' ? fs.readlinkSync(path) : undefined,
    size: Number(stats.size),
    inode: stats.ino,
    identity: [stats.dev, stats.ino, stats.birthtimeNs].join(':'),
    modified: Number(stats.mtimeMs),
    changed: Number(stats.ctimeMs),
    rights: { mode: Number(stats.mode) & 0o7777, user: Number(stats.uid), group: Number(stats.gid) },
    isGone: stats.nlink === 0n,
    version: [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(':'),
  };
}

export interface Entries {
  /** What is at a path; undefined when nothing is. */
  at(path: string): Entry | undefined;
  /** Where a link points; undefined for anything else. */
  link(path: string): string | undefined;
  /** The names in a directory, sorted; undefined when it is not there. */
  list(path: string): readonly string[] | undefined;
  /** While this runs, each place is looked at once. It must change nothing, and what it gives must not be a promise. */
  atOnce<T>(look: () => T): T;
}

/** Gives what `find` gives, once for each path. */
function once<T>(find: (path: string) => T): (path: string) => T {
  const found = new Map<string, T>();
  return (path) => {
    const known = found.get(path);
    if (known !== undefined || found.has(path)) return known as T;
    const value = find(path);
    found.set(path, value);
    return value;
  };
}

type Looks = Pick<Entries, 'at' | 'link' | 'list'>;

const anew: Looks = {
  at: (path) => ifThere(() => lookAt(path)),
  // Most of what is asked for a link is a directory: that needs less than an entry.
  link: (path) =>
    ifThere(() =>
      fs.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? fs.readlinkSync(path) : undefined,
    ),
  list: (path) => ifThere(() => fs.readdirSync(path).sort()),
};

/** Where a link points that the directory called one; what is none any more is looked at as anything else. */
function linkListed(path: string, at: Looks['at']): string | undefined {
  try {
    return fs.readlinkSync(path);
  } catch {
    return at(path)?.link;
  }
}

/** A directory says what is in it is a link or not: then none of them need be asked for. */
function remembering(): Looks {
  const at = once(anew.at);
  const areLinks = new Map<string, boolean>();
  const list = once((path: string) =>
    ifThere(() => {
      const found = fs.readdirSync(path, { withFileTypes: true });
      for (const entry of found) areLinks.set(`${path}/${entry.name}`, entry.isSymbolicLink());
      return found.map(({ name }) => name).sort();
    }),
  );
  const link = once((path: string) => {
    const isLink = areLinks.get(path);
    if (isLink === undefined) return at(path)?.link;
    return isLink ? linkListed(path, at) : undefined;
  });
  return { at, link, list };
}

export function openEntries(): Entries {
  let looks = anew;
  return {
    at: (path) => looks.at(path),
    link: (path) => looks.link(path),
    list: (path) => looks.list(path),
    atOnce(look) {
      if (looks !== anew) return look();
      looks = remembering();
      try {
        return look();
      } finally {
        looks = anew;
      }
    },
  };
}
