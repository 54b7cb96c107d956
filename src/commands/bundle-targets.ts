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

/**
 * A directory and those in it that are read with it, each once. What lies outside is refused, whoever links to it. The
 * kubelet's volumes tell by a link at the top, and stay as they are.
 */
function directoriesFrom(path: string): readonly string[] {
  const found = [path];
  const top = attempt(() => realpathSync(path)) ?? path;
  const seen = new Set([top]);
  const isNew = (directory: string): boolean => {
    const real = attempt(() => realpathSync(directory));
    if (real?.startsWith(`${top}/`) !== true || seen.has(real) || seen.size >= maxFiles) return false;
    if (attempt(() => statSync(real).isDirectory()) !== true) return false;
    seen.add(real);
    return true;
  };
  let level = [path];
  for (let depth = 0; depth < maxDepth; depth += 1) {
    level = level.flatMap((directory) => {
      const entries = attempt(() => readdirSync(directory, { withFileTypes: true })) ?? [];
      if (entries.some(({ name }) => name === '..data')) return [];
      const own = entries.filter((entry) => !entry.name.startsWith('..') && !entry.isFile());
      return own.map(({ name }) => join(directory, name)).filter(isNew);
    });
    found.push(...level);
  }
  return found;
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
      name: basename(file),
      // The kubelet's names, which begin with two dots, tell of a new version of the file too.
      concerns: (entry) => entry === basename(file) || entry.startsWith('..'),
      isShared: true,
    }));
  });
}
