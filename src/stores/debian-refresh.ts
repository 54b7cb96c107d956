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
import {
  type StoreContext,
  abandonedAfterMs,
  discard,
  endOf,
  lastLine,
  relabel,
  removeAnchors,
  writeAnchors,
} from './anchor-files.ts';
import { goodBlocks } from './certificate-files.ts';
import { certificatePaths, debian, privateBundle, privateDirectory, selectedPaths } from './debian-layout.ts';
import { type StoreChange, type StoreChanged, prefixIn } from './store.ts';

/** How often the other writer's temporary file is looked at while we wait for it. */
const settleStepMs = 50;

/** Names of the links in the certificate directory that carry certificates, with where each points. */
function certificateLinks({ host }: StoreContext): ReadonlyMap<string, string> {
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
function expectedFingerprints({ host, files }: StoreContext, required: ReadonlySet<string>): ReadonlySet<string> {
  const paths = [...selectedPaths(host), ...certificatePaths(host, debian.anchors)];
  return new Set([...required, ...paths.flatMap((path) => files.read(path)?.fingerprints ?? [])]);
}

/**
 * The bundle as the tool makes it, all files one after the other, but without the broken blocks of another's file: one
 * truncated block breaks curl for every site, and a private key would be there for all to read.
 */
function withoutBroken({ host, files }: StoreContext): string {
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
function check(context: StoreContext, required: ReadonlySet<string>): void {
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

/**
 * What the hooks are told: `+` or `-` and the link's path, additions first, as the tool words it. Of ours, what they have
 * not heard yet, also when a killed pass made the change; of others', what the tool changed in this run.
 */
function hookLines(
  context: StoreContext,
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

/** Runs the host's hooks as the tool does, after the publication, so that they see what they are told of. */
async function runHooks({ host }: StoreContext, lines: readonly string[]): Promise<readonly string[]> {
  if (host.target(debian.hooks)?.kind !== 'directory') return [];
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
 * added. A run that starts later reads the new files. One that nobody writes to any more is left to the next pass.
 */
async function settle({ host, clock }: StoreContext, other: string | undefined): Promise<void> {
  for (;;) {
    const temporary = host.entry(debian.plainTemporary);
    if (other === undefined || temporary?.identity !== other) return;
    if (clock.now() - temporary.modified > abandonedAfterMs) return;
    await clock.sleep(settleStepMs);
  }
}

/** The tool, the check, the publication: (4) to (7) of a change. */
async function refresh(context: StoreContext, change: StoreChange, lock: Lock): Promise<void> {
  const { host } = context;
  await build(context, writeConfiguration(context, change.remove), lock); // (4)
  check(context, change.required); // (5)
  const other = host.entry(debian.plainTemporary)?.identity;
  host.publish(privateBundle(context), debian.bundle); // (6)
  await relabel(host, [debian.bundle]);
  await settle(context, other); // (7)
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
export async function changeDebian(context: StoreContext, change: StoreChange, lock: Lock): Promise<StoreChanged> {
  const { host, instance } = context;
  for (const path of change.clean) discard(host, path); // (1)
  const made = host.makeDirectory(debian.anchors);
  host.makeDirectory(workDirectory(instance));
  host.makeDirectory(privateDirectory(context), 0o700);
  const before = certificateLinks(context);
  writeAnchors(context, change); // (2)
  removeAnchors(context, change); // (3)
  for (const name of change.relink) host.remove(`${debian.certs}/${name.replace(/\.crt$/, '.pem')}`);
  if (change.refresh) await refresh(context, change, lock); // (4) to (7)
  const lines = hookLines(context, before, change);
  const notes = change.refresh || lines.length > 0 ? await runHooks(context, lines) : []; // (8)
  for (const directory of [workDirectory(instance), privateDirectory(context)]) discard(host, directory); // (9)
  return { made, notes };
}
