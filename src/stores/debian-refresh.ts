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
import { type StoreContext, discard, endOf, lastLine, relabel, removeAnchors, writeAnchors } from './anchor-files.ts';
import { goodBlocks } from './certificate-files.ts';
import {
  type DebianContext,
  debian,
  fileNameOf,
  linkNameOf,
  privateBundle,
  privateDirectory,
  unfinishedBundles,
} from './debian-layout.ts';
import type { StoreChange, StoreChanged } from './store.ts';

/** How often the other writer's temporary file is looked at while we wait for it. */
const settleStepMs = 50;

/** Names of the links in the certificate directory that carry certificates, with where each points. */
export function certificateLinks({ host }: StoreContext): ReadonlyMap<string, string> {
  const links = new Map<string, string>();
  for (const name of host.list(debian.certs) ?? []) {
    const target = name.endsWith('.pem') ? host.link(`${debian.certs}/${name}`) : undefined;
    if (target !== undefined) links.set(name, target);
  }
  return links;
}

/** The host's own selection, and one line `!x/FILE` per removal: that makes the tool report it and make links anew. */
function writeConfiguration({ host, instance }: StoreContext, removed: readonly string[]): string {
  const own = host.read(debian.configuration)?.toString('utf8') ?? '';
  const path = `${workDirectory(instance)}/ca-certificates.conf`;
  // Never empty: an empty selection makes the tool start afresh, with all hash links gone for most of the run.
  const lines = ['# made by node-ca-trust for one run', ...removed.map((name) => `!node-ca-trust/${name}`), own];
  host.write(path, lines.join('\n'));
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
 * Runs the tool until it has written the private bundle. Its `openssl rehash` fails as a whole on another's unreadable
 * file, though it has made all links; the next run has none to make, leaves that out, and writes the bundle.
 * @throws Problem when it wrote no bundle
 */
async function build(context: StoreContext, configuration: string, lock: Lock): Promise<void> {
  const isWritten = (): boolean => context.host.entry(privateBundle(context))?.kind === 'file';
  const first = await runTool(context, configuration, lock);
  if (isWritten()) return;
  const last = first.timedOut ? first : await runTool(context, configuration, lock);
  if (isWritten()) return;
  throw new Problem(
    `update-ca-certificates on the host ${endOf(last)} and wrote no bundle; it said: ${lastLine(last.output) || 'nothing'}. The host's bundle is as it was`,
  );
}

/** All that the new bundle must hold: what is required of us, and every certificate that the host's own files carry. */
function expectedFingerprints(
  { files }: StoreContext,
  paths: readonly string[],
  required: ReadonlySet<string>,
): ReadonlySet<string> {
  return new Set([...required, ...paths.flatMap((path) => files.read(path)?.fingerprints ?? [])]);
}

/**
 * The bundle as the tool makes it, all files one after the other, but without the broken blocks of another's file: one
 * truncated block breaks curl for every site, and a private key would be there for all to read.
 */
export function concatenation({ host, files }: StoreContext, paths: readonly string[]): Buffer {
  const texts = paths.map((path) => {
    const file = files.read(path);
    if (file === undefined || file.fingerprints.length === 0) return '';
    const text = host.read(path)?.toString('latin1') ?? '';
    return file.problems.length === 0 ? text : goodBlocks(text);
  });
  const ended = texts.map((text) => (text === '' || text.endsWith('\n') ? text : `${text}\n`));
  return Buffer.from(ended.join(''), 'latin1');
}

/**
 * Checks the private bundle, and leaves out of it what another's broken file brought in.
 * @param paths the files that it is made of
 * @throws Problem when a certificate that must be there is not
 */
export function check(context: StoreContext, paths: readonly string[], required: ReadonlySet<string>): void {
  const { host, files } = context;
  const bundle = privateBundle(context);
  if ((files.read(bundle)?.problems.length ?? 0) > 0) host.write(bundle, concatenation(context, paths));
  const held = new Set(files.read(bundle)?.fingerprints);
  const lost = [...expectedFingerprints(context, paths, required)].filter((fingerprint) => !held.has(fingerprint));
  if (lost.length > 0) {
    throw new Problem(
      `the bundle that was built on the host lacks ${lost.length} certificates (${lost[0]?.slice(0, 16) ?? ''}...); it is not published, the host's is as it was`,
    );
  }
}

/**
 * What the hooks are told: `+` or `-` and the link's path, additions first, as the tool words it. Of ours, what they have
 * not heard yet, also when a killed pass made the change; of others', what the tool changed in this run.
 */
function hookLines(
  context: DebianContext,
  before: ReadonlyMap<string, string>,
  { announced, present }: StoreChange,
): readonly string[] {
  const after = certificateLinks(context);
  const isOurs = (name: string): boolean => fileNameOf(context, name) !== undefined;
  const linkOf = (name: string): string => linkNameOf(context, name);
  const added = [...after]
    .filter(([name, target]) => !isOurs(name) && before.get(name) !== target)
    .map(([name]) => name);
  const gone = [...before.keys()].filter((name) => !isOurs(name) && !after.has(name));
  const ourAdded = present.filter((name) => !announced.includes(name)).map(linkOf);
  // Without a ledger nothing counts as heard of: what had a link is told again, rather than not at all.
  const linked = [...before.keys()].filter(isOurs);
  const expected = new Set(present.map(linkOf));
  const ourGone = [...new Set([...announced.map(linkOf), ...linked])].filter((name) => !expected.has(name));
  return [
    ...[...added, ...ourAdded].map((name) => `+${debian.certs}/${name}`),
    ...[...gone, ...ourGone].map((name) => `-${debian.certs}/${name}`),
  ];
}

/**
 * Runs the host's hooks as the tool does, after the publication, so that they see what they are told of.
 * @param before the links that there were before the change
 */
export async function runHooks(
  context: DebianContext,
  before: ReadonlyMap<string, string>,
  change: StoreChange,
): Promise<readonly string[]> {
  const { host } = context;
  const lines = hookLines(context, before, change);
  const isDue = change.refresh || lines.length > 0;
  if (!isDue || host.target(debian.hooks)?.kind !== 'directory') return [];
  const { output } = await host.run('run-parts', ['--test', '--', debian.hooks]);
  const failures: string[] = [];
  for (const hook of output.split('\n').filter((path) => path.startsWith('/'))) {
    const result = await host.run(hook, [], { input: lines.map((line) => `${line}\n`).join('') });
    if (result.code !== 0) {
      failures.push(`${hook} on the host ended with exit code ${result.code ?? '?'}: ${lastLine(result.output)}`);
    }
  }
  return failures;
}

/**
 * Waits until a run of another that may have read the old files has published: what it publishes may lack what we just
 * added. A run that starts later reads the new files. One that nobody writes to any more goes.
 */
async function settle(context: DebianContext, others: ReturnType<typeof unfinishedBundles>): Promise<void> {
  const { host, clock, layout } = context;
  const left = (): ReturnType<typeof unfinishedBundles> =>
    new Map([...unfinishedBundles(context)].filter(([path, { identity }]) => others.get(path)?.identity === identity));
  const isAlive = ({ modified }: { modified: number }): boolean => clock.now() - modified <= layout.abandonedAfterMs;
  while ([...left().values()].some(isAlive)) await clock.sleep(settleStepMs);
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
  await build(context, writeConfiguration(context, change.remove), lock); // (4)
  check(context, context.layout.sources(context.host), change.required); // (5)
  await publish(context); // (6) (7)
}

/**
 * A change of the store.
 *
 * 1. leftovers of killed runs go, ours and another's abandoned one, or the tool would append to them
 * 2. new anchors are written, each file whole
 * 3. removed anchors' files go, and links that must be made anew
 * 4. the tool builds into a private bundle outside the certificate directory
 * 5. that bundle is checked: everything that must be in it is, nothing broken
 * 6. it takes the place of the effective bundle in one step
 * 7. a run of another that was under way meanwhile is waited for
 * 8. the hooks hear of every addition and removal
 * 9. nothing of the work is left
 */
export async function changeDebian(context: DebianContext, change: StoreChange, lock: Lock): Promise<StoreChanged> {
  const { host, instance } = context;
  for (const path of change.clean) discard(host, path); // (1)
  const made = host.makeDirectory(debian.local);
  host.makeDirectory(workDirectory(instance));
  host.makeDirectory(privateDirectory(context), 0o700);
  const before = certificateLinks(context);
  writeAnchors(context, change); // (2)
  removeAnchors(context, change); // (3)
  const links = new Set(host.list(debian.certs));
  for (const name of change.relink.map((file) => linkNameOf(context, file))) {
    if (links.has(name)) host.remove(`${debian.certs}/${name}`);
  }
  if (change.refresh) await refresh(context, change, lock); // (4) to (7)
  const notes = await runHooks(context, before, change); // (8)
  for (const directory of [workDirectory(instance), privateDirectory(context)]) discard(host, directory); // (9)
  return { made, notes };
}
