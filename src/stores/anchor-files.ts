/**
 * What every family does alike: one file per anchor in a directory that the host's own tool reads, one host's bundle
 * that it makes of them.
 */
import type { Clock } from '../host/clock.ts';
import type { CommandResult } from '../host/commands.ts';
import type { Host } from '../host/host.ts';
import type { CertificateFile, CertificateFiles } from './certificate-files.ts';
import { type Extension, type OwnFile, type StoreChange, type StoreState, prefixIn, stemOf } from './store.ts';

/** A store of one family, and where it keeps things. */
export interface StoreContext {
  readonly host: Host;
  readonly instance: string;
  readonly clock: Clock;
  readonly files: CertificateFiles;
  /** The directory with one file per anchor. */
  readonly anchors: string;
  readonly extension: Extension;
  /** The host's bundle. */
  readonly bundle: string;
}

/** Another's temporary file that has not changed for so long was left behind by a run that was killed. */
export const abandonedAfterMs = 60_000;

/** Whether a file has not changed for so long. One of the future was left there before the clock was set back. */
export function isAbandoned(clock: Pick<Clock, 'now'>, modified: number, afterMs: number): boolean {
  return Math.abs(clock.now() - modified) > afterMs;
}

/** A file directly in the anchor directory that bears this instance's name; undefined for any other. */
function ownFileAt(context: StoreContext, path: string, file: CertificateFile): OwnFile | undefined {
  const { anchors, instance, extension } = context;
  const name = path.slice(anchors.length + 1);
  const prefix = path.startsWith(`${anchors}/`) ? prefixIn(instance, name, extension) : undefined;
  if (prefix === undefined) return undefined;
  // In another form it does not do for all programs, and none of the host's own tools would change that.
  const [fingerprint] = file.plain;
  const single = file.problems.length === 0 && file.fingerprints.length === 1;
  return single && fingerprint?.startsWith(prefix) === true
    ? { name, content: 'intact', fingerprint }
    : { name, content: 'altered' };
}

/**
 * What stands under a name of ours in the anchor directory and is no file: a directory, a FIFO, a link to nowhere, or to where
 * the agent sees nothing by way of a neighbour.
 */
function squatters(
  { host, files, instance, anchors, extension }: StoreContext,
  sources: ReadonlySet<string>,
): readonly OwnFile[] {
  const names = (host.list(anchors) ?? []).filter((name) => prefixIn(instance, name, extension) !== undefined);
  return names.flatMap((name): readonly OwnFile[] => {
    const path = `${anchors}/${name}`;
    if (host.entry(path)?.kind === 'directory') return [{ name, content: 'directory' }];
    const file = files.read(path);
    const isUnseen = file?.unread !== undefined && !sources.has(path);
    return file === undefined || isUnseen ? [{ name, content: 'altered' }] : [];
  });
}

/** What is wrong with another's file. Nobody expects a certificate of a README. */
function problemOf(path: string, { fingerprints, problems }: CertificateFile): string | undefined {
  const isEmpty = fingerprints.length === 0 && /\.(crt|pem|cer|der)$/.test(path);
  return problems[0] ?? (isEmpty ? 'no certificate in it' : undefined);
}

/** All that the refresh command puts together: ours, and everyone else's. @param paths every file that it reads */
export function observeSources(
  context: StoreContext,
  paths: readonly string[],
): Pick<StoreState, 'own' | 'carriers' | 'notes'> {
  const own = [...squatters(context, new Set(paths))];
  const carriers = new Map<string, string>();
  const notes: string[] = [];
  for (const path of paths) {
    const file = context.files.read(path);
    // What is no file under a name of ours is among the squatters.
    if (file === undefined) continue;
    const ours = ownFileAt(context, path, file);
    if (ours !== undefined) own.push(ours);
    if (ours?.content === 'intact') continue;
    for (const fingerprint of file.fingerprints) carriers.set(fingerprint, path);
    // Of one that bears our name the plan says whose it is.
    const problem = ours === undefined ? problemOf(path, file) : undefined;
    if (problem !== undefined) notes.push(`${path} on the host, not ours, is broken: ${problem}`);
  }
  return { own, carriers, notes };
}

/**
 * What is wrong with the host's bundle, beside what our own anchors say of it.
 * @param expected fingerprints that it must hold, of the host's own files
 */
export function bundleProblems(
  { bundle }: Pick<StoreContext, 'bundle'>,
  effective: CertificateFile | undefined,
  expected: Iterable<string>,
): readonly string[] {
  if (effective === undefined) return [`${bundle} is missing on the host`];
  const broken = effective.problems.map((problem) => `${bundle} on the host: ${problem}`);
  const held = new Set(effective.fingerprints);
  const lost = [...expected].filter((fingerprint) => !held.has(fingerprint));
  if (lost.length === 0) return broken;
  return [...broken, `${bundle} on the host lacks ${lost.length} certificates of the host's own`];
}

/** Temporaries of this instance in the anchor directory, which only a killed pass leaves: paths. */
export function temporariesOf({ host, instance, anchors, extension }: StoreContext): readonly string[] {
  const isOurs = (name: string): boolean => {
    const target = /^\.(.+)\.[0-9a-f]{8}\.tmp$/.exec(name)?.[1];
    return target !== undefined && prefixIn(instance, target, extension) !== undefined;
  };
  const paths = (host.list(anchors) ?? []).filter(isOurs).map((name) => `${anchors}/${name}`);
  // Whoever else can write there may have given such a name to a directory, which is none of ours.
  return paths.filter((path) => host.entry(path)?.kind === 'file');
}

/** Every file in these directories with what it holds: Go programs read each of them. */
export function holdersIn({ host, files }: StoreContext, directories: readonly string[]): ReadonlyMap<string, string> {
  const held = new Map<string, string>();
  const paths = directories.flatMap((directory) => (host.list(directory) ?? []).map((name) => `${directory}/${name}`));
  for (const path of paths) {
    for (const fingerprint of files.read(path)?.fingerprints ?? [])
      if (!held.has(fingerprint)) held.set(fingerprint, path);
  }
  return held;
}

/** Writes the files of new anchors, each whole. @returns their paths */
export function writeAnchors(context: StoreContext, { add }: StoreChange): readonly string[] {
  const { host, instance, anchors, extension } = context;
  return add.map(({ fingerprint, pem }) => {
    const path = `${anchors}/${stemOf(instance, fingerprint)}${extension}`;
    host.write(path, pem);
    return path;
  });
}

/** Takes off the files of removed anchors. A directory of such a name is somebody else's. */
export function removeAnchors(
  { host, anchors }: Pick<StoreContext, 'host' | 'anchors'>,
  { remove }: StoreChange,
): void {
  const paths = remove.map((name) => `${anchors}/${name}`);
  for (const path of paths) if (host.entry(path)?.kind !== 'directory') host.remove(path);
}

/** Removes a file, or a directory of ours with all that is in it. */
export function discard(host: Host, path: string): void {
  if (host.entry(path)?.kind !== 'directory') host.remove(path);
  else {
    for (const name of host.list(path) ?? []) discard(host, `${path}/${name}`);
    host.removeDirectory(path);
  }
}

/** Gives files the labels that a host with SELinux wants at their places. */
export async function relabel(host: Host, paths: readonly string[]): Promise<void> {
  const isThere = host.target('/sbin/restorecon')?.kind === 'file';
  if (isThere && paths.length > 0) await host.run('/sbin/restorecon', paths);
}

/** The last line a command printed: tools say there what went wrong. */
export function lastLine(output: string): string {
  return output.split('\n').at(-1) ?? '';
}

/** How a command ended, as a phrase. */
export function endOf({ code, timedOut }: CommandResult): string {
  return timedOut ? 'took too long and was ended' : `ended with exit code ${code ?? '?'}`;
}
