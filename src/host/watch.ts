/**
 * Says that something changed in a directory; what changed is for the next pass to find out. Events may be lost or
 * doubled, so nothing but a pass ever follows from one.
 */
import { realpathSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { watch as chokidarWatch } from 'chokidar';
import { explain } from './problem.ts';

export interface WatchTarget {
  /** A directory, as this process sees it. */
  readonly path: string;
  /** Whether a change of an entry with this name matters. */
  readonly concerns: (name: string) => boolean;
}

export interface Watch {
  /**
   * Watches exactly these from now on. A directory that was replaced since is watched anew.
   * @returns whether a watcher was started: what changed before it stood may have gone unseen
   */
  follow(targets: readonly WatchTarget[]): Promise<boolean>;
  close(): Promise<void>;
}

/** What tells a directory from another one at the same path; undefined when there is none. */
function identityOf(path: string): string | undefined {
  try {
    const { dev, ino, birthtimeMs } = statSync(path);
    return [realpathSync(path), dev, ino, birthtimeMs].join(':');
  } catch {
    return undefined;
  }
}

interface Followed {
  readonly identity: string | undefined;
  close(): Promise<void>;
}

/** Starts one watcher, and waits until nothing that happens from now on is lost. */
async function start(target: WatchTarget, changed: () => void, failed: (reason: string) => void): Promise<Followed> {
  const identity = identityOf(target.path);
  if (identity === undefined) return { identity, close: () => Promise.resolve() };
  const directory = realpathSync(target.path);
  // The directory above tells when another one takes the place of this one.
  const above = dirname(directory);
  const isInside = (path: string): boolean => dirname(path) === directory && target.concerns(basename(path));
  const watcher = chokidarWatch([directory, above], {
    ignoreInitial: true,
    depth: 0,
    followSymlinks: false,
    ignored: (path) => path !== directory && path !== above && !isInside(path),
  });
  watcher.on('all', changed);
  // Out of inotify watches, say: passes still come with every resync.
  watcher.on('error', (error) => {
    failed(`cannot watch ${target.path}: ${explain(error)}; changes there are seen at the next resync only`);
  });
  await new Promise<void>((resolve) =>
    watcher.once('ready', resolve).once('error', () => {
      resolve();
    }),
  );
  return { identity, close: () => watcher.close() };
}

/** One target for each directory: what concerns one of several concerns it. */
function merge(targets: readonly WatchTarget[]): readonly WatchTarget[] {
  return [...Map.groupBy(targets, ({ path }) => path)].map(([path, same]) => ({
    path,
    concerns: (name) => same.some(({ concerns }) => concerns(name)),
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
        if (known !== undefined && known.identity === identityOf(target.path)) continue;
        await drop(target.path);
        const now = await start(target, changed, failed);
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
