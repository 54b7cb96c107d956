/**
 * Where a host of Debian's kind keeps what its update-ca-certificates(8) reads and writes: one bundle in a directory of
 * certificates by hash. What tells such families apart is a layout; all else they have in common.
 */
import { posix } from 'node:path';
import type { Entry, Host } from '../host/host.ts';
import type { Lock } from '../host/lock.ts';
import { Problem, caught } from '../host/problem.ts';
import type { StoreContext } from './anchor-files.ts';
import { hiddenEnd, hiddenLinkEnd, isToNeighbour } from './hidden.ts';
import { type Changed, type Extension, type StoreChange, prefixIn } from './store.ts';

export const debian = {
  local: '/usr/local/share/ca-certificates',
  certs: '/etc/ssl/certs',
  bundle: '/etc/ssl/certs/ca-certificates.crt',
  configuration: '/etc/ca-certificates.conf',
  distribution: '/usr/share/ca-certificates',
  hooks: '/etc/ca-certificates/update.d',
} as const;

/** What a family does in its own way. */
export interface Layout {
  readonly family: string;
  /** Where the files of ours go, and how their names end. */
  readonly anchors: string;
  readonly extension: Extension;
  /** What comes before the name of a file, which then ends in `.pem`, in the certificate directory. */
  readonly linkPrefix: string;
  /** Every file of which the host's program puts the bundle together, ours among them. */
  readonly sources: (host: Host) => readonly string[];
  /** Whether the host's program builds its bundle under this name in the certificate directory. */
  readonly isUnfinished: (name: string, mode: number) => boolean;
  /** One that has not changed for so long was left behind by a run that was killed, and can be taken off, in milliseconds. */
  readonly abandonedAfterMs: number;
  /** Whether the host's program can be had to make the links by hash anew. */
  readonly canRelink?: (context: DebianContext) => boolean;
  /** Whether an agent serves it that sees a part of the host's root alone. */
  readonly isServedInPart?: true;
  /** What is written to /etc is gone when the machine is started anew. */
  readonly volatile?: true;
  readonly change: (context: DebianContext, change: StoreChange, lock: Lock) => Promise<Changed>;
}

export interface DebianContext extends StoreContext {
  readonly layout: Layout;
}

/** Whether a path leads to the host's bundle, maybe by another name. */
export function isBundle(host: Host, path: string): boolean {
  if (path === debian.bundle) return true;
  const isLedThere = (): boolean => {
    const entry = host.link(path) === undefined ? undefined : host.target(path);
    return entry !== undefined && entry.at === host.target(debian.bundle)?.at;
  };
  return caught(isLedThere) === true;
}

/** The name in the certificate directory of a file of ours. */
export function linkNameOf({ layout }: DebianContext, name: string): string {
  return `${layout.linkPrefix}${name.slice(0, -layout.extension.length)}.pem`;
}

/** The name of the file of ours that has this name in the certificate directory; undefined when none of ours has. */
export function fileNameOf({ instance, layout }: DebianContext, link: string): string | undefined {
  if (!link.startsWith(layout.linkPrefix)) return undefined;
  const name = link.slice(layout.linkPrefix.length);
  return prefixIn(instance, name, '.pem') === undefined ? undefined : `${name.slice(0, -4)}${layout.extension}`;
}

/**
 * Where an instance has its bundle built: beside the certificate directory, since Go programs trust every file inside
 * it, and for root alone, since the tool copies another's private key into it like anything else. Beside where the
 * directory really is, since the tool names it from within.
 */
export function privateDirectory({ host, instance }: StoreContext): string {
  return posix.join(host.real(debian.certs), '..', `.node-ca-trust-${instance}`);
}

export function privateBundle(context: StoreContext): string {
  return `${privateDirectory(context)}/bundle.crt`;
}

/** Nobody nests certificates deeper, or puts more there: a link to `/` would lead through the whole host. */
const maxDepth = 32;
const maxEntries = 10_000;

/**
 * Every file that Debian's update-ca-certificates takes from a directory: `find -L DIR -type f -name '*.crt'`. A
 * directory to which several links lead is looked through once. What cannot be looked at or into is among them, and what
 * may be hidden, for whoever reads them to say so.
 * @throws Problem when that has no end
 */
export function certificatePaths(host: Host, directory: string): readonly string[] {
  const seen = new Set<string>();
  let count = 0;
  const below = (path: string, { kind, identity }: Entry, depth: number): readonly string[] => {
    if (kind === 'file' && path.endsWith('.crt')) return [path];
    if (kind !== 'directory' || seen.has(identity)) return [];
    // The tool goes on: to whatever lies there.
    if (depth > maxDepth) throw new Problem(`${directory} on the host leads more than ${maxDepth} directories deep`);
    seen.add(identity);
    const names = depth === 0 ? (host.list(path) ?? []) : caught(() => host.list(path) ?? []);
    if (names instanceof Problem) return [`${path}/*.crt`];
    count += names.length;
    if (count > maxEntries) {
      throw new Problem(`${directory} on the host leads to more than ${maxEntries} files; look for a link in it`);
    }
    return names.flatMap((name) => at(`${path}/${name}`, depth + 1));
  };
  const at = (path: string, depth: number): readonly string[] => {
    const entry = depth === 0 ? host.target(path) : caught(() => host.target(path));
    if (entry instanceof Problem) return [path];
    if (entry !== undefined) return below(path, entry, depth);
    const isOwnEnd = depth > 0 && !isToNeighbour(host.link(path));
    return isOwnEnd && caught(() => hiddenEnd(host, path)) !== undefined ? [path] : [];
  };
  return at(directory, 0);
}

/** The lines of a text, whether the last one has its end or not. */
export function allLines(text: string): readonly string[] {
  return text.split('\n');
}

/** The lines of a text as a shell's `read` gives them: without the blanks around them, the last one only with its end. */
export function shellLines(text: string): readonly string[] {
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => line.replace(/^[ \t]+|[ \t]+$/g, ''));
}

/**
 * The distribution's certificates that /etc/ca-certificates.conf selects.
 * @param linesOf how the host's program reads it
 */
export function selectedPaths(host: Host, linesOf: typeof allLines): readonly string[] {
  const lines = linesOf(host.read(debian.configuration)?.toString('utf8') ?? '');
  return lines.filter((line) => line !== '' && !/^[#!]/.test(line)).map((line) => `${debian.distribution}/${line}`);
}

/**
 * Links of others in the certificate directory that lead to where the agent may see nothing, and where. Those into the
 * directories of certificates are not looked at: what these hold is read anyway.
 */
export function hiddenLinks({ host, layout }: DebianContext): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  if (layout.isServedInPart !== true) return found;
  const known = [debian.distribution, debian.local, debian.certs].map((path) => `${path}/`);
  for (const name of host.list(debian.certs) ?? []) {
    const path = `${debian.certs}/${name}`;
    const target = host.link(path);
    if (target === undefined || isToNeighbour(target) || known.some((above) => target.startsWith(above))) continue;
    const end = hiddenLinkEnd(host, path);
    if (end !== undefined) found.set(path, end);
  }
  return found;
}

interface Unfinished {
  /** What tells it from another one at the same path. */
  readonly identity: string;
  /** Milliseconds since the epoch. */
  readonly modified: number;
}

/** The bundles that runs of the host's program have not finished, by path. */
export function unfinishedBundles({ host, layout }: DebianContext): ReadonlyMap<string, Unfinished> {
  const found = new Map<string, Unfinished>();
  for (const name of host.list(debian.certs) ?? []) {
    const path = `${debian.certs}/${name}`;
    // The name first: of some 300 hardly one looks like it.
    const entry = layout.isUnfinished(name, 0o600) ? host.entry(path) : undefined;
    if (entry?.kind === 'file' && layout.isUnfinished(name, entry.rights.mode)) found.set(path, entry);
  }
  return found;
}
