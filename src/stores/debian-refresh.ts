/**
 * A change of a Debian-family trust store. update-ca-certificates(8) builds into a fixed temporary name, so that two
 * plain runs at once publish a bundle of a few certificates, and it copies whatever it finds, so that one truncated
 * file breaks every TLS client: here it builds into a private bundle, which is checked before it is published.
 */
import { posix } from 'node:path';
import type { Lock } from '../host/lock.ts';
import { workDirectory } from '../host/ledger.ts';
import type { CommandResult } from '../host/commands.ts';
import { Problem } from '../host/problem.ts';
import { type StoreContext, discard, endOf, isAbandoned, lastLine, relabel, writeAnchors } from './anchor-files.ts';
import { check } from './debian-bundle.ts';
import { clean, openHooks } from './debian-hooks.ts';
import { type DebianContext, debian, privateBundle, privateDirectory, unfinishedBundles } from './debian-layout.ts';
import { linkAnchors, markLinks, markerOf, removeLinked } from './debian-links.ts';
import type { Changed, StoreChange } from './store.ts';

/** How often the other writer's temporary file is looked at while we wait for it. */
const settleStepMs = 50;

/** The host's own selection, and one removal of what is not there. */
function writeConfiguration(context: DebianContext): string {
  const { host, instance } = context;
  const own = host.read(debian.configuration)?.toString('utf8') ?? '';
  const path = `${workDirectory(instance)}/ca-certificates.conf`;
  // Never empty: an empty selection makes the tool start afresh, with all hash links gone for most of the run.
  const removal = `!node-ca-trust/${markerOf(context)}`;
  host.write(path, ['# made by node-ca-trust for one run', removal, own].join('\n'));
  return path;
}

/** One run of the tool into the private bundle. Its exit code proves nothing: what counts is what it wrote. */
async function runTool(context: StoreContext, configuration: string, lock: Lock): Promise<CommandResult> {
  const { host, instance } = context;
  const work = workDirectory(instance);
  const bundle = posix.relative(host.real(debian.certs), privateBundle(context));
  const args = ['--certsconf', configuration, '--certbundle', bundle, '--hooksdir', `${work}/none`];
  return host.run('update-ca-certificates', args, { descriptor: lock.descriptor, temporary: work });
}

/**
 * What the tool calls the link of a certificate when the program that it asks for the name was killed. It goes on, with exit
 * code 0, and links by hash may lead there from then on.
 */
const nameless = `${debian.certs}/.pem`;

function noBundle(result: CommandResult): Problem {
  return new Problem(
    `update-ca-certificates on the host ${endOf(result)} and wrote no bundle; it said: ${lastLine(result.output) || 'nothing'}. The host's bundle is as it was`,
  );
}

/**
 * Runs the tool until it has written the private bundle, and no link without a name is left. Where another certificate came
 * or went, its `openssl rehash` fails as a whole on an unreadable file, though it has made all links; the next run has none
 * to make, leaves that out, and writes the bundle.
 * @throws Problem when it wrote no bundle, or left such a link
 */
async function build(context: DebianContext, lock: Lock): Promise<void> {
  const { host } = context;
  const configuration = writeConfiguration(context);
  const bundle = privateBundle(context);
  const isWritten = (): boolean => host.entry(bundle)?.kind === 'file';
  const isNameless = (): boolean => host.entry(nameless)?.kind === 'link';
  const run = (): Promise<CommandResult> => {
    // It would append to what a run that was killed has left.
    for (const path of [bundle, `${bundle}.new`]) host.remove(path);
    return runTool(context, configuration, lock);
  };
  let result = await run();
  if (isWritten() && isNameless()) {
    markLinks(context);
    host.remove(nameless);
    result = await run();
  }
  if (!isWritten() && !result.timedOut) {
    // It was killed, or what it had started was: that may have been the making of links.
    if (result.code === undefined || result.code > 128) markLinks(context);
    result = await run();
  }
  if (!isWritten()) throw noBundle(result);
  if (!isNameless()) return;
  throw new Problem(
    `update-ca-certificates on the host left ${nameless}, which should be gone; its bundle is not published, the host's is as it was`,
  );
}

/**
 * Waits until a run of another that may have read the old files has published: what it publishes may lack what we just
 * added. A run that starts later reads the new files. One that nobody writes to any more goes.
 */
async function settle(context: DebianContext, others: ReturnType<typeof unfinishedBundles>): Promise<void> {
  const { host, clock, layout } = context;
  const left = (): ReturnType<typeof unfinishedBundles> =>
    new Map([...unfinishedBundles(context)].filter(([path, { identity }]) => others.get(path)?.identity === identity));
  // Versions by when they were first seen: whoever sets the clock meanwhile must not keep us waiting.
  const seen = new Map<string, number>();
  const isAlive = ([path, { modified }]: [string, { modified: number }]): boolean => {
    const version = `${path} ${modified}`;
    const at = seen.get(version) ?? clock.steady();
    seen.set(version, at);
    const { abandonedAfterMs } = layout;
    return !isAbandoned(clock, modified, abandonedAfterMs) && clock.steady() - at <= abandonedAfterMs;
  };
  while ([...left()].some(isAlive)) await clock.sleep(settleStepMs);
  for (const path of left().keys()) host.remove(path);
}

/** Puts the private bundle in the place of the effective one, and waits for a run of another. */
export async function publish(context: DebianContext): Promise<void> {
  const { host } = context;
  const others = unfinishedBundles(context);
  host.publish(privateBundle(context), debian.bundle);
  await relabel(host, [debian.bundle]);
  await settle(context, others);
}

/** The tool, the check, the publication: (4) to (7) of a change. */
async function refresh(context: DebianContext, change: StoreChange, lock: Lock): Promise<void> {
  await build(context, lock); // (4)
  check(context, () => context.layout.sources(context.host), change); // (5)
  await publish(context); // (6) (7)
}

/** What has taken links of ours away, or ended a pass, may have done so while the tool made those of others. */
function mayLackLinks(context: DebianContext, { add, link, clean }: StoreChange): boolean {
  return link.length > add.length || clean.includes(privateDirectory(context));
}

/**
 * A change of the store.
 *
 * 1. leftovers of killed runs go, ours and another's abandoned one, or the tool would append to them
 * 2. new anchors are written, each file whole
 * 3. they are linked, by hash too; removed anchors' links and files go
 * 4. the tool builds into a private bundle outside the certificate directory
 * 5. that bundle is checked: everything that must be in it is, nothing broken
 * 6. it takes the place of the host's bundle in one step
 * 7. a run of another that was under way meanwhile is waited for
 * 8. the hooks hear of every addition and removal
 * 9. nothing of the work is left
 */
export async function changeDebian(context: DebianContext, change: StoreChange, lock: Lock): Promise<Changed> {
  const { host, instance } = context;
  // Before what tells of it is gone.
  if (mayLackLinks(context, change)) markLinks(context);
  clean(context, change.clean); // (1)
  host.makeDirectory(debian.local);
  host.makeDirectory(workDirectory(instance));
  host.makeDirectory(privateDirectory(context), 0o700);
  const runHooks = openHooks(context);
  writeAnchors(context, change); // (2)
  linkAnchors(context, change); // (3)
  removeLinked(context, change);
  if (change.refresh) await refresh(context, change, lock); // (4) to (7)
  const changed = await runHooks(change); // (8)
  for (const directory of [workDirectory(instance), privateDirectory(context)]) discard(host, directory); // (9)
  return changed;
}
