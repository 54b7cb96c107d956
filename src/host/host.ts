/**
 * The only door to the node: files, commands and the lock below the host root. Paths are the host's own, absolute.
 * Nothing else in this program touches the host.
 */
import * as fs from 'node:fs';
import { posix } from 'node:path';
import { type CommandOptions, type CommandResult, runInRoot } from './commands.ts';
import { type Entries, type Entry, ifThere, openEntries } from './entries.ts';
import { type WriteOptions, closePlace, inPlace, linkWhole, readRegular, syncPath, writeWhole } from './files.ts';
import { Problem, UsageProblem, errnoOf, problemOf } from './problem.ts';
import { type Resolve, openPaths, ownLinks } from './root.ts';

export type { Entry } from './entries.ts';

export interface Host {
  /** The directory at which the host's root is mounted. */
  readonly root: string;
  /** Where a host path lies for this process. */
  locate(path: string): string;
  /** The same place by a path of the host without any link in it. */
  real(path: string): string;
  /** The bytes of a regular file, links followed inside the root; undefined when it is not there. */
  read(path: string): Buffer | undefined;
  /** The names in a directory, sorted; undefined when it is not there. */
  list(path: string): readonly string[] | undefined;
  /** What is at a path, links not followed; undefined when nothing is. */
  entry(path: string): Entry | undefined;
  /** What a path leads to, links followed; undefined when nothing is there, or a link dangles or runs in a circle. */
  target(path: string): Entry | undefined;
  /** Where a symbolic link points, as written; undefined when there is none. */
  link(path: string): string | undefined;
  /**
   * The permission bits of the program that a process runs, whatever has taken its place since.
   * @returns undefined when it has ended, or is not ours to see
   */
  program(pid: number): number | undefined;
  /**
   * Gives what `look` gives, with each place looked at once however often it is asked for: what it sees is of one moment.
   * It must change nothing, and end before it returns.
   */
  atOnce<T>(look: () => T): T;
  /** Writes a file whole: it appears with all its content or not at all. */
  write(path: string, content: string | Buffer, options?: WriteOptions): void;
  /** Moves a file over another in one step, content on the disk first. */
  publish(from: string, to: string): void;
  /** Makes a symbolic link, or lets the one that is there point elsewhere, in one step. */
  makeLink(path: string, target: string): void;
  /** Removes a file or link; false when it was not there. */
  remove(path: string): boolean;
  /**
   * Makes a directory and its parents.
   * @param mode of the directory itself; everyone can read it unless told otherwise
   */
  makeDirectory(path: string, mode?: number): void;
  /** Removes a directory when it is empty; false when it is not, or not there. */
  removeDirectory(path: string): boolean;
  /** Opens a directory for reading and gives the descriptor, to hold a lock on. */
  openDirectory(path: string): number;
  /** Runs a command in the host's root. */
  run(command: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
}

/** A directory stays that has something in it, is a mount of its own, or is none. */
const remaining = new Set(['ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR', 'EBUSY']);

/**
 * So does one in what may not be written: whoever runs the agent with mounts for what it writes has made the directories
 * at which these are.
 */
function isInReadOnly(path: string, error: unknown): boolean {
  if (!['EROFS', 'EACCES'].includes(errnoOf(error) ?? '')) return false;
  try {
    fs.accessSync(posix.dirname(path), fs.constants.W_OK);
    return false;
  } catch {
    return true;
  }
}

/** The result of `action`, or undefined when the path is not there. */
function ifFound<T>(what: string, action: () => T): T | undefined {
  return orProblem(what, () => ifThere(action));
}

function orProblem<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw problemOf(what, error);
  }
}

type Reading = 'locate' | 'real' | 'read' | 'list' | 'entry' | 'target' | 'link' | 'program' | 'atOnce';

function reading(root: string, resolve: Resolve, entries: Entries): Pick<Host, Reading> {
  const at = (path: string): string => resolve(path, false);
  const through = (path: string): string => resolve(path, true);
  const look = <T>(path: string, action: () => T): T => orProblem(`cannot look at ${path} on the host`, action);
  const atEnd = (path: string): Entry | undefined => {
    try {
      return entries.at(through(path));
    } catch (error) {
      // A name that is too long, or links in links in links: it leads nowhere.
      const leadsNowhere = error instanceof Problem || error instanceof RangeError || errnoOf(error) === 'ENAMETOOLONG';
      if (leadsNowhere) return undefined;
      throw error;
    }
  };
  return {
    locate: (path) => look(path, () => through(path)),
    real: (path) => look(path, () => posix.join('/', posix.relative(root, through(path)))),
    read: (path) => ifFound(`cannot read ${path} on the host`, () => readRegular(through(path))),
    list: (path) => orProblem(`cannot list ${path} on the host`, () => entries.list(through(path))),
    entry: (path) => look(path, () => entries.at(at(path))),
    target: (path) =>
      look(path, () => {
        const here = at(path);
        return entries.link(here) === undefined ? entries.at(here) : atEnd(path);
      }),
    link: (path) => look(path, () => entries.link(at(path))),
    program: (pid) => {
      try {
        // The kernel's link leads to the program itself: what it reads like may be gone, or another.
        return fs.statSync(at(`/proc/${pid}/exe`)).mode & 0o7777;
      } catch {
        return undefined;
      }
    },
    atOnce: (ask) => entries.atOnce(ask),
  };
}

function writingFiles(resolve: Resolve): Pick<Host, 'write' | 'publish' | 'makeLink' | 'remove'> {
  const at = (path: string): string => resolve(path, false);
  return {
    write: (path, content, options = {}) => {
      orProblem(`cannot write ${path} on the host`, () => {
        inPlace(at(path), (place) => {
          writeWhole(place, content, options);
        });
      });
    },
    publish: (from, to) => {
      orProblem(`cannot put ${from} in the place of ${to} on the host`, () => {
        inPlace(at(from), (source) => {
          inPlace(at(to), (target) => {
            syncPath(source);
            fs.renameSync(source, target);
            syncPath(posix.dirname(target));
          });
        });
      });
    },
    makeLink: (path, target) => {
      orProblem(`cannot make the link ${path} on the host`, () => {
        inPlace(at(path), (place) => {
          linkWhole(place, target);
        });
      });
    },
    remove: (path) =>
      ifFound(`cannot remove ${path} on the host`, () => {
        inPlace(at(path), fs.unlinkSync);
        return true;
      }) ?? false,
  };
}

/** Makes a directory and its parents. Node's own recursive mkdir says ENOENT of a read-only file system. */
function makePath(path: string, mode = 0o755): void {
  if (fs.existsSync(path)) return;
  makePath(posix.dirname(path));
  inPlace(path, (place) => {
    fs.mkdirSync(place, { mode });
    // Every user's programs read the trust store, whatever the umask.
    const descriptor = fs.openSync(place, fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW);
    try {
      fs.fchmodSync(descriptor, mode);
    } finally {
      fs.closeSync(descriptor);
    }
  });
}

function directories(resolve: Resolve): Pick<Host, 'makeDirectory' | 'removeDirectory' | 'openDirectory'> {
  const at = (path: string): string => resolve(path, false);
  return {
    makeDirectory: (path, mode) => {
      orProblem(`cannot make ${path} on the host`, () => {
        makePath(resolve(path, true), mode);
      });
    },
    removeDirectory: (path) => {
      try {
        inPlace(at(path), fs.rmdirSync);
        closePlace(at(path));
        return true;
      } catch (error) {
        if (remaining.has(errnoOf(error) ?? '') || isInReadOnly(at(path), error)) return false;
        throw problemOf(`cannot remove ${path} on the host`, error);
      }
    },
    openDirectory: (path) =>
      orProblem(`cannot open ${path} on the host`, () =>
        fs.openSync(resolve(path, true), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY),
      ),
  };
}

/** @throws UsageProblem when the kernel leads elsewhere than the link says, as /proc/PID/root does */
function realRoot(root: string): string {
  const real = fs.realpathSync(root);
  const [named, found] = [fs.statSync(root), fs.statSync(real)];
  if (named.dev === found.dev && named.ino === found.ino) return real;
  throw new UsageProblem(`--host-root ${root}: a link that only the kernel follows; bind-mount the host's / there`);
}

/**
 * Opens the door to the host mounted at `root`.
 * @throws UsageProblem when nothing is there, or what is there is no root file system
 */
export function openHost(root: string): Host {
  if (!fs.existsSync(root)) {
    throw new UsageProblem(`--host-root ${root}: no such directory; mount the host's / there, or name where it is`);
  }
  const real = realRoot(root);
  const entries = openEntries();
  const own = openPaths(real, ownLinks);
  const host: Host = {
    root,
    ...reading(root, openPaths(root, entries), entries),
    ...writingFiles(own),
    ...directories(own),
    run: (command, args, options) => runInRoot(root, command, args, options),
  };
  if (host.target('/etc')?.kind !== 'directory' || host.target('/usr')?.kind !== 'directory') {
    throw new UsageProblem(
      `--host-root ${root}: not a root file system (no etc or usr in it); mount the host's / there`,
    );
  }
  return host;
}
