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
import { goodBlocks } from './certificate-files.ts';
import {
  type DebianContext,
  abandonedAfterMs,
  certificatePaths,
  debian,
  privateBundle,
  privateDirectory,
  selectedPaths,
} from './debian-layout.ts';
import { type StoreChange, prefixIn, stemOf } from './store.ts';

/** How often the other writer's temporary file is looked at while we wait for it. */
const settleStepMs = 50;

/** Names of the links in the certificate directory that carry certificates, with where each points. */
function certificateLinks({ host }: DebianContext): ReadonlyMap<string, string> {
  const links = new Map<string, string>();
  for (const name of host.list(debian.certs) ?? []) {
    const target = name.endsWith('.pem') ? host.link(`${debian.certs}/${name}`) : undefined;
    if (target !== undefined) links.set(name, target);
  }
  return links;
}

/** A name of ours that no certificate has. */
function noAnchor(instance: string): string {
  return stemOf(instance, '0'.repeat(64));
}

/** The host's own selection, and one line `!x/FILE` per removal: that makes the tool report it and make links anew. */
function writeConfiguration({ host, instance }: DebianContext, removed: readonly string[]): string {
  const own = host.read(debian.configuration)?.toString('utf8') ?? '';
  const path = `${workDirectory(instance)}/ca-certificates.conf`;
  // Never empty: an empty selection makes the tool start afresh, with all hash links gone for most of the run.
  const names = [...removed, `${noAnchor(instance)}.crt`];
  const lines = ['# made by node-ca-trust for one run', ...names.map((name) => `!node-ca-trust/${name}`), own];
  host.write(path, lines.join('\n'));
  return path;
}

/** The last line a command printed: tools say there what went wrong. */
function lastLine(output: string): string {
  return output.split('\n').at(-1) ?? '';
}

/** One run of the tool into the private bundle. Its exit code proves nothing: what counts is what it wrote. */
async function runTool(context: DebianContext, configuration: string, lock: Lock): Promise<CommandResult> {
  const { host, instance } = context;
  const work = workDirectory(instance);
  const bundle = posix.relative(host.real(debian.certs), privateBundle(context));
  const args = ['--certsconf', configuration, '--certbundle', bundle, '--hooksdir', `${work}/none`];
  return host.run('update-ca-certificates', args, { descriptor: lock.descriptor, temporary: work });
}

/** What the tool calls the link of a certificate when the program that it asks for the name was killed. */
const namelessLink = '.pem';

/**
 * Links of removed anchors, by hash too, and nameless ones. The tool leaves them, with exit code 0, when something that it
 * has started was killed; and it makes links by hash anew only after a run that has made or removed another.
 */
function staleLinks({ host }: DebianContext, removed: readonly string[]): readonly string[] {
  const gone = new Set([namelessLink, ...removed.map((name) => name.replace(/\.crt$/, '.pem'))]);
  return (host.list(debian.certs) ?? []).filter((name) => {
    const path = `${debian.certs}/${name}`;
    const target = gone.has(name) || /^[0-9a-f]{8}\.\d+$/.test(name) ? host.link(path) : undefined;
    if (target === undefined) return false;
    if (name === namelessLink || target === namelessLink) return true;
    // Another's file of the same name may have taken over the link.
    return (gone.has(name) || gone.has(target)) && host.target(path) === undefined;
  });
}

/** Gives the tool a link of ours to remove, that leads nowhere: then it makes the links by hash anew. */
function forceLinks(context: DebianContext): void {
  const { host, instance } = context;
  host.remove(`${debian.certs}/${namelessLink}`);
  host.makeLink(`${debian.certs}/${noAnchor(instance)}.pem`, `${debian.anchors}/${noAnchor(instance)}.crt`);
}

function noBundle({ code, output, timedOut }: CommandResult): Problem {
  const end = timedOut ? 'took too long and was ended' : `ended with exit code ${code ?? '?'}`;
  return new Problem(
    `update-ca-certificates on the host ${end} and wrote no bundle; it said: ${lastLine(output) || 'nothing'}. The host's bundle is as it was`,
  );
}

/**
 * Runs the tool until it has written the private bundle, and no link is left that should be gone. Its `openssl rehash`
 * fails as a whole on another's unreadable file, though it has made all links; the next run has none to make, leaves that
 * out, and writes the bundle.
 * @throws Problem when it wrote no bundle, or left such a link
 */
async function build(context: DebianContext, { remove }: StoreChange, lock: Lock): Promise<void> {
  const { host } = context;
  const configuration = writeConfiguration(context, remove);
  const bundle = privateBundle(context);
  const isWritten = (): boolean => host.entry(bundle)?.kind === 'file';
  const run = (): Promise<CommandResult> => {
    // It would append to what a run that was killed has left.
    for (const path of [bundle, `${bundle}.new`]) host.remove(path);
    return runTool(context, configuration, lock);
  };
  let result = await run();
  if (isWritten() && staleLinks(context, remove).length > 0) {
    forceLinks(context);
    result = await run();
  }
  if (!isWritten() && !result.timedOut) result = await run();
  if (!isWritten()) throw noBundle(result);
  const [stale] = staleLinks(context, remove);
  if (stale === undefined) return;
  throw new Problem(
    `update-ca-certificates on the host left ${debian.certs}/${stale}, which should be gone; its bundle is not published, the host's is as it was`,
  );
}

/** All that the new bundle must hold: what is required of us, and every certificate that the host's own files carry. */
function expectedFingerprints({ host, files }: DebianContext, required: ReadonlySet<string>): ReadonlySet<string> {
  const paths = [...selectedPaths(host), ...certificatePaths(host, debian.anchors)];
  return new Set([...required, ...paths.flatMap((path) => files.read(path)?.fingerprints ?? [])]);
}

/**
 * The bundle as the tool makes it, all files one after the other, but without the broken blocks of another's file: one
 * truncated block breaks curl for every site, and a private key would be there for all to read.
 */
function withoutBroken({ host, files }: DebianContext): string {
  const paths = [...selectedPaths(host), ...certificatePaths(host, debian.anchors)];
  const texts = paths.map((path) => {
    const file = files.read(path);
    if (file === undefined || file.fingerprints.length === 0) return '';
    const text = host.read(path)?.toString('latin1') ?? '';
    return file.problems.length === 0 ? text : goodBlocks(text);
  });
  return texts.map((text) => (text === '' || text.endsWith('\n') ? text : `${text}\n`)).join('');
}

/**
 * Checks the private bundle, and leaves out of it what another's broken file brought in.
 * @throws Problem when a certificate that must be there is not
 */
function check(context: DebianContext, required: ReadonlySet<string>): void {
  const { host, files } = context;
  const bundle = privateBundle(context);
  if ((files.read(bundle)?.problems.length ?? 0) > 0) {
    host.write(bundle, Buffer.from(withoutBroken(context), 'latin1'));
  }
  const held = new Set(files.read(bundle)?.fingerprints);
  const lost = [...expectedFingerprints(context, required)].filter((fingerprint) => !held.has(fingerprint));
  if (lost.length > 0) {
    throw new Problem(
      `update-ca-certificates on the host left out ${lost.length} certificates (${lost[0]?.slice(0, 16) ?? ''}...); its bundle is not published, the host's is as it was`,
    );
  }
}

/** Gives the file the label that a host with SELinux wants at its new place, as the tool does. */
async function relabel({ host }: DebianContext): Promise<void> {
  if (host.target('/sbin/restorecon')?.kind === 'file') await host.run('/sbin/restorecon', [debian.bundle]);
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
  const isOurs = (name: string): boolean => prefixIn(context.instance, name, '.pem') !== undefined;
  const linkOf = (name: string): string => name.replace(/\.crt$/, '.pem');
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

/** The host's hooks, as run-parts(8) chooses and orders them for the tool: programs whose names are plain. */
function hooksOf({ host }: DebianContext): readonly string[] {
  const paths = (host.list(debian.hooks) ?? [])
    .filter((name) => /^[\w-]+$/.test(name))
    .map((name) => `${debian.hooks}/${name}`);
  return paths.filter((path) => {
    const entry = host.target(path);
    return entry?.kind === 'file' && (entry.rights.mode & 0o111) !== 0;
  });
}

/** Runs the host's hooks as the tool does, after the publication, so that they see what they are told of. */
async function runHooks(context: DebianContext, lines: readonly string[]): Promise<readonly string[]> {
  const failures: string[] = [];
  for (const hook of hooksOf(context)) {
    const result = await context.host.run(hook, [], { input: lines.map((line) => `${line}\n`).join('') });
    if (result.code !== 0) {
      failures.push(`${hook} on the host ended with exit code ${result.code ?? '?'}: ${lastLine(result.output)}`);
    }
  }
  return failures;
}

/**
 * Waits until a run of another that may have read the old files has published: what it publishes may lack what we just
 * added. A run that starts later reads the new files. One that nobody writes to any more is left to the next pass.
 */
async function settle({ host, clock }: DebianContext, other: string | undefined): Promise<void> {
  let seen = { modified: 0, at: clock.steady() };
  for (;;) {
    const temporary = host.entry(debian.plainTemporary);
    if (other === undefined || temporary?.identity !== other) return;
    if (Math.abs(clock.now() - temporary.modified) > abandonedAfterMs) return;
    if (temporary.modified !== seen.modified) seen = { modified: temporary.modified, at: clock.steady() };
    if (clock.steady() - seen.at > abandonedAfterMs) return;
    await clock.sleep(settleStepMs);
  }
}

/** The tool, the check, the publication: (4) to (7) of a change. */
async function refresh(context: DebianContext, change: StoreChange, lock: Lock): Promise<void> {
  const { host } = context;
  await build(context, change, lock); // (4)
  check(context, change.required); // (5)
  const other = host.entry(debian.plainTemporary)?.identity;
  host.publish(privateBundle(context), debian.bundle); // (6)
  await relabel(context);
  await settle(context, other); // (7)
}

function moveFiles({ host, instance }: DebianContext, change: StoreChange): void {
  for (const { fingerprint, pem } of change.add) {
    host.write(`${debian.anchors}/${stemOf(instance, fingerprint)}.crt`, pem); // (2)
  }
  for (const name of change.remove) host.remove(`${debian.anchors}/${name}`); // (3)
  for (const name of change.relink) host.remove(`${debian.certs}/${name.replace(/\.crt$/, '.pem')}`);
}

/** Removes a file, or a directory of ours with all that is in it. */
function discard(context: DebianContext, path: string): void {
  const { host } = context;
  if (host.entry(path)?.kind !== 'directory') host.remove(path);
  else {
    for (const name of host.list(path) ?? []) discard(context, `${path}/${name}`);
    host.removeDirectory(path);
  }
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
export async function changeDebian(
  context: DebianContext,
  change: StoreChange,
  lock: Lock,
): Promise<readonly string[]> {
  const { host, instance } = context;
  for (const path of change.clean) discard(context, path); // (1)
  host.makeDirectory(debian.anchors);
  host.makeDirectory(workDirectory(instance));
  host.makeDirectory(privateDirectory(context), 0o700);
  const before = certificateLinks(context);
  moveFiles(context, change); // (2) (3)
  if (change.refresh) await refresh(context, change, lock); // (4) to (7)
  const lines = hookLines(context, before, change);
  const notes = change.refresh || lines.length > 0 ? await runHooks(context, lines) : []; // (8)
  for (const directory of [workDirectory(instance), privateDirectory(context)]) discard(context, directory); // (9)
  return notes;
}
