/**
 * Where the families whose stores p11-kit makes keep what it reads and writes.
 */
import { posix } from 'node:path';
import type { Entry, Host } from '../host/host.ts';
import { Problem, caught } from '../host/problem.ts';
import type { StoreContext } from './anchor-files.ts';

/** What differs between the families. */
export interface P11KitLayout {
  readonly family: string;
  readonly anchors: string;
  /** Every directory that trust(1) reads, the one of anchors among them. */
  readonly sources: readonly string[];
  readonly bundle: string;
  /** Where an instance has its bundle tried out: on the disk of the effective one, where nobody looks for certificates. */
  readonly workspace: string;
  /** The host's own refresh command. */
  readonly tool: readonly [command: string, ...args: string[]];
  /** The directories in which it makes hash links. */
  hashed(host: Host): readonly string[];
}

export interface P11KitContext extends StoreContext {
  readonly layout: P11KitLayout;
}

/**
 * Temporaries of trust(1) beside the bundle, by path: of mkstemp(3), and root's alone until all is written, unlike what
 * somebody keeps there as tls-ca-bundle.pem.backup or .rpmnew. One that a kill meets between that and its renaming stays.
 */
export function extractsUnderWay({ host, bundle }: StoreContext): ReadonlyMap<string, Entry> {
  const [directory, name] = [posix.dirname(bundle), posix.basename(bundle)];
  const found = new Map<string, Entry>();
  for (const other of host.list(directory) ?? []) {
    if (!other.startsWith(name) || !/^(\.tmp)?\.[A-Za-z0-9]{6}$/.test(other.slice(name.length))) continue;
    const entry = host.entry(`${directory}/${other}`);
    if (entry?.kind === 'file' && entry.rights.mode === 0o600) found.set(`${directory}/${other}`, entry);
  }
  return found;
}

export function privateDirectory({ layout, instance }: P11KitContext): string {
  return `${layout.workspace}/.node-ca-trust-${instance}`;
}

/** Every file that trust(1) reads; it does not look into directories below. */
export function sourcePaths({ host, layout }: P11KitContext): readonly string[] {
  const paths = layout.sources.flatMap((directory) =>
    (host.list(directory) ?? []).map((name) => `${directory}/${name}`),
  );
  return paths.filter((path) => {
    const entry = caught(() => host.target(path));
    // What cannot be looked at, on a dead mount, is among them, for who reads them to say so.
    return entry instanceof Problem || entry?.kind === 'file';
  });
}
