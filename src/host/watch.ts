/**
 * Says that something changed in a directory; what changed is for the next pass to find out. Events may be lost or
 * doubled, so nothing but a pass ever follows from one.
 */
import { once } from 'node:events';
import { watch as hearNames, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { watch as chokidarWatch } from 'chokidar';
import { errnoOf, explain } from './problem.ts';

export interface WatchTarget {
  /** A directory, as this process sees it. */
  readonly path: string;
  /** Whether a change of an entry with this name matters. */
  readonly concerns: (name: string) => boolean;
  /** The name that `concerns` goes by, where it may come to be another: then the directory is watched anew. */
  readonly name?: string;
  /** Entries of the directories in it matter likewise. */
  readonly isDeep?: boolean;
  /** What others have there may lie on mounts that do not answer: only names are heard, and no entry is looked at. */
  readonly isShared?: boolean;
}

export interface Watch {
  /**
   * Watches exactly these from now on. A directory that was replaced since, or could not be watched, is watched anew.
   * @returns whether a watcher was started: what changed before it stood may have gone unseen
   */
  follow(targets: readonly WatchTarget[]): Promise<boolean>;
  close(): Promise<void>;
}

/** So many links on one way the kernel follows, and no more. */
const mostLinks = 40;

/** Where a link leads; undefined for what is none, the empty text for what is not there. */
function leadOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    return errnoOf(error) === 'ENOENT' ? '' : undefined;
  }
}

/**
 * The links on the way to a path, itself included, and on the way to where each leads: what they lead to may change and
 * no directory with it. Where the way ends too early, also what is missing.
 */
export function linksTo(path: string): readonly string[] {
  const found: string[] = [];
  const ahead = resolve(path).split('/');
  let real = '/';
  while (ahead.length > 0 && found.length < mostLinks) {
    const next = join(real, ahead.shift() ?? '');
    const lead = leadOf(next);
    if (lead === undefined) {
      real = next;
      continue;
    }
    found.push(next);
    if (lead === '') break;
    if (isAbsolute(lead)) real = '/';
    ahead.unshift(...lead.split('/'));
  }
  return [...new Set(found)];
}

interface Place {
  /** The real directory at a path; where there is none, the nearest one on the way to it. */
  readonly directory: string;
  /** What the way lacks in that directory. */
  readonly missing: string | undefined;
  /** What tells it from another one at the same path. */
  readonly identity: string;
}

function nearest(path: string, missing?: string): Place | undefined {
  try {
    const directory = realpathSync(path);
    const stats = statSync(directory);
    if (stats.isDirectory()) {
      const identity = [directory, stats.dev, stats.ino, stats.birthtimeMs, missing].join(':');
      return { directory, missing, identity };
    }
  } catch {
    // Not there, or not to be seen: what is above it tells when that changes.
  }
  return dirname(path) === path ? undefined : nearest(dirname(path), basename(path));
}

/** The same directory by other links, or for another name, is another place: other things are to be watched. */
function placeAt({ path, name }: WatchTarget): (Place & { readonly links: readonly string[] }) | undefined {
  const place = nearest(path);
  const links = linksTo(path);
  return place && { ...place, links, identity: [place.identity, ...links, name].join(':') };
}

interface Followed {
  /** Undefined when there is nothing to watch, or it cannot be watched: both are tried again. */
  identity: string | undefined;
  problem: string | undefined;
  close(): Promise<void>;
}

/** What the kernel means by an errno when it comes to watches. */
const limits: Readonly<Record<string, string>> = {
  ENOSPC: 'no inotify watches are left; raise fs.inotify.max_user_watches (ENOSPC)',
  EMFILE: 'no inotify instances are left; raise fs.inotify.max_user_instances (EMFILE)',
};

/** What a watcher of one directory calls. */
interface Heard {
  readonly concerns: (name: string) => boolean;
  readonly changed: () => void;
  readonly failed: (error: unknown) => void;
}

/** Hears of names in a directory, without a look at any of its entries. */
function hear(directory: string, { concerns, changed, failed }: Heard): () => void {
  try {
    const watcher = hearNames(directory, (_event, name) => {
      if (name === null || concerns(name)) changed();
    });
    watcher.on('error', failed);
    return () => {
      watcher.close();
    };
  } catch (error) {
    failed(error);
    return () => undefined;
  }
}

/** What never comes to rest, since somebody writes there all the time, or does not answer, must not hold up the passes. */
const patienceMs = 5_000;

/** Looks into a directory, and where `isDeep` into those in it; waits until nothing that happens from now on is lost, as far as that comes. */
async function look(
  directory: string,
  isDeep: boolean,
  { concerns, changed, failed }: Heard,
): Promise<() => Promise<void>> {
  const isInside = (path: string): boolean => {
    const parent = dirname(path);
    return (parent === directory || (isDeep && dirname(parent) === directory)) && concerns(basename(path));
  };
  const watcher = chokidarWatch(directory, {
    ignoreInitial: true,
    depth: isDeep ? 1 : 0,
    followSymlinks: false,
    ignored: (path) => path !== directory && !isInside(path),
  });
  watcher.on('all', changed);
  watcher.on('error', failed);
  await once(watcher, 'ready', { signal: AbortSignal.timeout(patienceMs) }).catch(() => undefined);
  return () => Promise.race([watcher.close(), sleep(patienceMs, undefined, { ref: false })]);
}

/**
 * Starts the watchers for one target.
 * @param told what `failed` was told of this directory last
 */
async function start(
  target: WatchTarget,
  changed: () => void,
  failed: (reason: string) => void,
  told?: string,
): Promise<Followed> {
  const place = placeAt(target);
  if (place === undefined) return { identity: undefined, problem: told, close: () => Promise.resolve() };
  const { directory, missing, links, identity } = place;
  const concerns = missing === undefined ? target.concerns : (name: string) => name === missing;
  const isLookedInto = missing === undefined && target.isShared !== true;
  const ends: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(ends.map((end) => end()));
  };
  const followed: Followed = { identity, problem: told, close };
  // Passes still come with every resync.
  const lost = (error: unknown): void => {
    const why = limits[errnoOf(error) ?? ''] ?? explain(error);
    const problem = `cannot watch ${target.path}: ${why}; changes there are seen at the next resync only`;
    if (problem !== followed.problem) failed(problem);
    Object.assign(followed, { identity: undefined, problem });
  };
  // What is above tells when another one takes the place of this directory, or of a link to it.
  for (const path of [directory, ...links])
    ends.push(hear(dirname(path), { concerns: (name) => name === basename(path), changed, failed: lost }));
  const heard: Heard = { concerns, changed, failed: lost };
  ends.push(isLookedInto ? await look(directory, target.isDeep === true, heard) : hear(directory, heard));
  if (followed.identity !== undefined) followed.problem = undefined;
  return followed;
}

/** One target for each directory: what concerns one of several concerns it. */
function merge(targets: readonly WatchTarget[]): readonly WatchTarget[] {
  return [...Map.groupBy(targets, ({ path }) => path)].map(([path, same]) => ({
    path,
    concerns: (name) => same.some(({ concerns }) => concerns(name)),
    name: same.map(({ name = '' }) => name).join(':'),
    isDeep: same.some(({ isDeep }) => isDeep === true),
    isShared: same.every(({ isShared }) => isShared === true),
  }));
}

/**
 * Opens a watch that follows no directory yet.
 * @param changed called for every event, often several times for one change
 * @param failed called with one line when a directory cannot be watched
 */
export function openWatch(changed: () => void, failed: (reason: string) => void): Watch {
  const followed = new Map<string, Followed>();
  const drop = async (path: string): Promise<void> => {
    await followed.get(path)?.close();
    followed.delete(path);
  };
  return {
    async follow(targets) {
      const paths = new Set(targets.map(({ path }) => path));
      for (const path of followed.keys()) if (!paths.has(path)) await drop(path);
      let started = false;
      for (const target of merge(targets)) {
        const known = followed.get(target.path);
        if (known !== undefined && known.identity === placeAt(target)?.identity) continue;
        await drop(target.path);
        const now = await start(target, changed, failed, known?.problem);
        started ||= now.identity !== undefined;
        followed.set(target.path, now);
      }
      return started;
    },
    async close() {
      for (const path of followed.keys()) await drop(path);
    },
  };
}
