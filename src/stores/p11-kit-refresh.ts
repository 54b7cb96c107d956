/**
 * A change of a trust store that p11-kit makes. The host's own tool publishes by itself, whatever it has made, and its
 * exit code proves nothing (SUSE's is always 0): so the bundle is made once in private before, and checked; and what the
 * tool published is held against it.
 */
import { getSystemErrorMessage } from 'node:util';
import type { CommandResult } from '../host/commands.ts';
import type { Lock } from '../host/lock.ts';
import { Problem } from '../host/problem.ts';
import { abandonedAfterMs, discard, endOf, lastLine, relabel, removeAnchors, writeAnchors } from './anchor-files.ts';
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

/**
 * Makes the new bundle in private, and the hashed directory, which needs as much room as the tool will.
 * @returns the fingerprints of the bundle
 * @throws Problem when one is missing that must be in it, or most of the host's own are
 */
async function tryOut(context: P11KitContext, change: StoreChange, lock: Lock): Promise<ReadonlySet<string>> {
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
  if (lost.length > 0) {
    throw new Problem(
      `trust extract on the host leaves out ${lost.length} anchors (${lost[0]?.slice(0, 16) ?? ''}...), so nothing is published; look for them in its blocklist. ${bundle} is as it was`,
    );
  }
  return held;
}

/** Whether the effective bundle is older than the one made in private: it lacks something, or holds what was taken off. */
function isStale({ files, bundle }: P11KitContext, made: ReadonlySet<string>, change: StoreChange): boolean {
  const held = files.read(bundle)?.fingerprints ?? [];
  const isTaken = isTakenBy(change);
  const isRevived = held.some((print) => isTaken(print) && !made.has(print));
  const all = new Set(held);
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
    throw new Problem(`${ended} and did not make ${bundle} anew; ${said(result.output)}`);
  }
  return result.code === 0 ? [] : [`${ended}; ${said(result.output)}`];
}

/** Waits until an extract of another that may have read the old files has published. A run that starts later reads the new. */
async function settle(context: P11KitContext): Promise<void> {
  const { host, clock } = context;
  const started = clock.steady();
  const others = new Map(extractsUnderWay(context).map((path) => [path, host.entry(path)?.identity]));
  const isUnderWay = ([path, identity]: [string, string | undefined]): boolean =>
    identity !== undefined && host.entry(path)?.identity === identity;
  while ([...others].some(isUnderWay) && clock.steady() - started < abandonedAfterMs) await clock.sleep(settleStepMs);
}

/**
 * A change of the store.
 *
 * 1. leftovers of killed runs go
 * 2. new anchors are written, each file whole
 * 3. the new bundle is made in private, on the same disk, and checked: nothing goes before its successor is known to come
 * 4. removed anchors' files go, and it is made without them
 * 5. the private one goes: its room is the tool's
 * 6. the host's tool publishes; a run of another that was under way meanwhile is waited for
 */
export async function changeP11Kit(context: P11KitContext, change: StoreChange, lock: Lock): Promise<Changed> {
  const { host, anchors } = context;
  for (const path of change.clean) discard(host, path); // (1)
  host.makeDirectory(anchors);
  await relabel(host, writeAnchors(context, change)); // (2)
  if (!change.refresh) return nothingToTell;
  const directory = privateDirectory(context);
  host.makeDirectory(directory, 0o700);
  host.makeDirectory(`${directory}/hashed`, 0o700);
  try {
    let bundle = await tryOut(context, change, lock); // (3)
    removeAnchors(context, change);
    if (change.remove.length > 0) bundle = await tryOut(context, change, lock); // (4)
    discard(host, directory); // (5)
    return { notes: await publish(context, bundle, change, lock), unheard: [] }; // (6)
  } finally {
    discard(host, directory);
  }
}
