/**
 * A change of a trust store that p11-kit makes. The host's own tool publishes by itself, whatever it has made, and its
 * exit code proves nothing (SUSE's is always 0): so the bundle is made once in private before, and checked; and what the
 * tool published is held against it.
 */
import { posix } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import type { CommandResult } from '../host/commands.ts';
import type { Host } from '../host/host.ts';
import type { Lock } from '../host/lock.ts';
import { Problem, caught } from '../host/problem.ts';
import {
  abandonedAfterMs,
  discard,
  endOf,
  isAbandoned,
  lastLine,
  relabel,
  removeAnchors,
  writeAnchors,
} from './anchor-files.ts';
import { isHashLink } from './hash-links.ts';
import { type P11KitContext, extractsUnderWay, privateDirectory } from './p11-kit-layout.ts';
import { type Changed, type StoreChange, isTakenBy, nothingToTell } from './store.ts';

/** How often another's unfinished file is looked at while we wait for it. */
const settleStepMs = 50;

/** What a tool said last. p11-kit knows error numbers only. */
function said(output: string): string {
  const named = lastLine(output).replace(/Unknown error (\d+)/, (_, code) => getSystemErrorMessage(-Number(code)));
  return `it said: ${named || 'nothing'}`;
}

/** Extracts in private as the host's tool does in its place. @throws Problem when nothing came of it */
async function extract(context: P11KitContext, format: string, to: string, lock: Lock): Promise<void> {
  const { host, bundle } = context;
  const what = ['--filter=ca-anchors', '--purpose=server-auth', '--overwrite'];
  // The configuration of root's own would count beside the system's.
  const command = ['P11_KIT_NO_USER_CONFIG=1', 'trust', 'extract', `--format=${format}`, ...what, to];
  const result = await host.run('env', command, { descriptor: lock.descriptor });
  if (result.code === 0 && host.entry(to) !== undefined) return;
  throw new Problem(
    `trust extract on the host ${endOf(result)} and made no ${format}; ${said(result.output)}. ${bundle} is as it was`,
  );
}

interface Tried {
  /** The fingerprints of the bundle. */
  readonly held: ReadonlySet<string>;
  /** Those of ours that are not in it, though they must be. */
  readonly lost: readonly string[];
}

/**
 * Makes the new bundle in private, and the hashed directory, which needs as much room as the tool will.
 * @throws Problem when most of the host's own are missing
 */
async function tryOut(context: P11KitContext, change: StoreChange, lock: Lock): Promise<Tried> {
  const { host, files, bundle, layout } = context;
  const directory = privateDirectory(context);
  await extract(context, 'pem-bundle', `${directory}/bundle.pem`, lock);
  if (layout.hashed(host).length > 0) await extract(context, 'pem-directory-hash', `${directory}/hashed`, lock);
  const held = new Set(files.read(`${directory}/bundle.pem`)?.fingerprints);
  const before = new Set(files.read(bundle)?.fingerprints).size;
  const lost = [...change.required].filter((fingerprint) => !held.has(fingerprint));
  if (held.size + change.remove.length < before / 2) {
    throw new Problem(
      `trust extract on the host finds only ${held.size} of ${before} certificates, so nothing is published; look for what has become of ${layout.sources.join(', ')}, or run ${layout.tool.join(' ')} yourself. ${bundle} is as it was`,
    );
  }
  return { held, lost };
}

/** What look-ups in a hashed directory find of what p11-kit has made: an admin's own file and link may lie there too. */
function foundByHash({ host, files, bundle }: P11KitContext, directory: string): readonly string[] {
  const made = host.locate(posix.dirname(bundle));
  const links = (host.list(directory) ?? []).filter(isHashLink).map((name) => `${directory}/${name}`);
  const isOfStore = (path: string): boolean => host.target(path)?.at.startsWith(`${made}/`) === true;
  // What cannot be looked through, a dead mount's, is none of the store's.
  const ofStore = links.filter((path) => caught(() => isOfStore(path)) === true);
  return ofStore.flatMap((path) => files.read(path)?.fingerprints ?? []);
}

/**
 * Whether the store is older than the bundle made in private: the effective one lacks something; or it holds what was taken
 * off, or a look-up by hash finds that still.
 */
function isStale(context: P11KitContext, made: ReadonlySet<string>, change: StoreChange): boolean {
  const { host, files, bundle, layout } = context;
  const effective = files.read(bundle);
  const found = change.remove.length > 0 ? layout.hashed(host).flatMap((path) => foundByHash(context, path)) : [];
  const isTaken = isTakenBy(change);
  const isRevived = [...(effective?.fingerprints ?? []), ...found].some((print) => isTaken(print) && !made.has(print));
  const all = new Set(effective?.plain);
  return isRevived || [...made].some((print) => !all.has(print));
}

async function runTool({ host, layout }: P11KitContext, lock: Lock): Promise<CommandResult> {
  const [command, ...args] = layout.tool;
  return host.run(command, args, { descriptor: lock.descriptor });
}

/** Runs the host's tool; once more when another's run has published what it had read before. */
async function publish(
  context: P11KitContext,
  made: ReadonlySet<string>,
  change: StoreChange,
  lock: Lock,
): Promise<readonly string[]> {
  const { bundle, layout } = context;
  let result = await runTool(context, lock);
  await settle(context);
  if (isStale(context, made, change)) result = await runTool(context, lock);
  const ended = `${layout.tool.join(' ')} on the host ${endOf(result)}`;
  if (isStale(context, made, change)) {
    throw new Problem(
      `${ended} and did not make ${bundle}, or the look-ups by hash beside it, anew; ${said(result.output)}`,
    );
  }
  return result.code === 0 ? [] : [`${ended}; ${said(result.output)}`];
}

/** Waits until an extract of another that may have read the old files has published. A run that starts later reads the new. */
async function settle(context: P11KitContext): Promise<void> {
  const { host, clock } = context;
  const started = clock.steady();
  const others = extractsUnderWay(context);
  const isUnderWay = ([path, { identity }]: [string, { identity: string }]): boolean => {
    const entry = host.entry(path);
    return entry?.identity === identity && !isAbandoned(clock, entry.modified, abandonedAfterMs);
  };
  while ([...others].some(isUnderWay) && clock.steady() - started < abandonedAfterMs) await clock.sleep(settleStepMs);
}

/** Takes away all that is in a directory of ours, or what is no directory in its place. */
function empty(host: Host, directory: string): void {
  if (host.entry(directory)?.kind !== 'directory') host.remove(directory);
  for (const name of host.list(directory) ?? []) discard(host, `${directory}/${name}`);
}

/**
 * Publishes what is news beside the anchors that are left out. Nothing is removed for these: they may be to take its place.
 * @throws Problem always, once that is done
 */
async function publishOthers(
  context: P11KitContext,
  { held, lost }: Tried,
  change: StoreChange,
  lock: Lock,
): Promise<never> {
  const { host, files, bundle } = context;
  const directory = privateDirectory(context);
  empty(host, directory);
  const isBroken = files.read(bundle)?.problems.length !== 0;
  const isUnlinked = change.link.some(({ fingerprint }) => !lost.includes(fingerprint));
  const isLacking = isBroken || isUnlinked || isStale(context, held, { ...change, remove: [] });
  if (isLacking || change.clean.includes(directory)) await publish(context, held, change, lock);
  throw new Problem(
    `trust extract on the host leaves out ${lost.length} anchors (${lost[0]?.slice(0, 16) ?? ''}...); look for them in its blocklist. Nothing is removed until they are in ${bundle}`,
  );
}

/**
 * A change of the store.
 *
 * 1. leftovers of killed runs go, but for the private directory
 * 2. new anchors are written, each file whole
 * 3. the new bundle is made in private, on the same disk, and checked: nothing goes before its successor is known to come
 * 4. removed anchors' files go, and it is made without them
 * 5. what was made in private goes: its room is the tool's
 * 6. the host's tool publishes; a run of another that was under way meanwhile is waited for
 *
 * The private directory stays until the tool has ended. One that is there before says that it may not have made all that it
 * makes after the bundle, for Java or for look-ups by hash: then it runs again. Where it failed beside the bundle, it does as
 * hooks that failed are told again.
 */
export async function changeP11Kit(context: P11KitContext, change: StoreChange, lock: Lock): Promise<Changed> {
  const { host, anchors } = context;
  const directory = privateDirectory(context);
  for (const path of change.clean) if (path !== directory) discard(host, path); // (1)
  host.makeDirectory(anchors);
  await relabel(host, writeAnchors(context, change)); // (2)
  if (!change.refresh && change.unheard.length === 0) return nothingToTell;
  empty(host, directory);
  host.makeDirectory(directory, 0o700);
  host.makeDirectory(`${directory}/hashed`, 0o700);
  try {
    const tried = await tryOut(context, change, lock); // (3)
    if (tried.lost.length > 0) return await publishOthers(context, tried, change, lock);
    removeAnchors(context, change);
    const { held } = change.remove.length > 0 ? await tryOut(context, change, lock) : tried; // (4)
    empty(host, directory); // (5)
    const notes = await publish(context, held, change, lock); // (6)
    return { notes, unheard: notes.length > 0 ? [`+${context.bundle}`] : [] };
  } finally {
    discard(host, directory);
  }
}
