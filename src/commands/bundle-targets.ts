/**
 * Where the daemon watches for another bundle.
 */
import { realpathSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { WatchTarget } from '../host/watch.ts';

/** Whether a path is a directory; one that is not there may become one. */
function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return true;
  }
}

/** The file that a link leads to, unless it lies beside it, as the kubelet's do. */
function linkedFile(path: string): readonly string[] {
  try {
    const real = realpathSync(path);
    return real.startsWith(`${realpathSync(dirname(path))}/`) ? [] : [real];
  } catch {
    return [];
  }
}

/**
 * The directories in which a change can mean another bundle. A file is watched by its directory, since it may be
 * replaced; what else lies there is not ours to look at.
 */
export function bundleTargets(paths: readonly string[]): readonly WatchTarget[] {
  return paths.flatMap((path): readonly WatchTarget[] => {
    if (isDirectory(path)) return [{ path, concerns: () => true }];
    return [path, ...linkedFile(path)].map((file) => ({
      path: dirname(file),
      // The kubelet's names, which begin with two dots, tell of a new version of the file too.
      concerns: (entry) => entry === basename(file) || entry.startsWith('..'),
      isShared: true,
    }));
  });
}
