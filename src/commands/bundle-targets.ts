/**
 * Where the daemon watches for another bundle.
 */
import { readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { attempt } from '../bundle/der.ts';
import { maxFiles } from '../bundle/bundle.ts';
import { type WatchTarget, linksTo } from '../host/watch.ts';
import { maxDepth } from '../sources/directory.ts';

/** Whether a path is a directory; one that is not there may become one. */
const isDirectory = (path: string): boolean => attempt(() => statSync(path).isDirectory()) ?? true;

/** A directory and those in it that are read with it. The kubelet's tell by a link at the top, and stay as they are. */
function directoriesFrom(path: string): readonly string[] {
  const found = [path];
  let level = [path];
  for (let depth = 0; depth < maxDepth && found.length < maxFiles; depth += 1) {
    level = level.flatMap((directory) => {
      const entries = attempt(() => readdirSync(directory, { withFileTypes: true })) ?? [];
      if (entries.some(({ name }) => name === '..data')) return [];
      const own = entries.filter((entry) => !entry.name.startsWith('..') && !entry.isFile());
      const below = own.map(({ name }) => join(directory, name));
      return below.filter((one) => attempt(() => statSync(one).isDirectory()) === true);
    });
    found.push(...level);
  }
  return found.slice(0, maxFiles);
}

/** Whether a path lies in a version of the kubelet's, which never changes: the next one has another name. */
const isInVersion = (path: string): boolean => /\/\.\.[^/]+\//.test(path);

/** A file, the links on the way to it, and what it is in the end. */
function stepsTo(file: string): readonly string[] {
  // Where it went just now, what is above it tells.
  const real = attempt(() => realpathSync(file)) ?? file;
  const further = [...linksTo(file), real].filter((step) => !isInVersion(step));
  return [...new Set([file, ...further])];
}

/**
 * The directories in which a change can mean another bundle. A file is watched by its directory, since it may be
 * replaced, and so is each link to it; what else lies there is not ours to look at.
 */
export function bundleTargets(paths: readonly string[]): readonly WatchTarget[] {
  return paths.flatMap((path): readonly WatchTarget[] => {
    if (isDirectory(path)) return directoriesFrom(path).map((directory) => ({ path: directory, concerns: () => true }));
    return stepsTo(path).map((file) => ({
      path: dirname(file),
      // The kubelet's names, which begin with two dots, tell of a new version of the file too.
      concerns: (entry) => entry === basename(file) || entry.startsWith('..'),
      isShared: true,
    }));
  });
}
