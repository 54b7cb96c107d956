// What must hold at every moment, whatever has gone wrong: what readers of the host find, and what is another's.
import { lstat, readFile, readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Cert } from '../../sandbox/harness/certs.ts';
import { classify } from '../../sandbox/harness/classify.ts';
import { certs, nameOf, state, trust } from '../../sandbox/harness/host.ts';
import { snapshotStore, type Snapshot, type SnapshotEntry } from '../../sandbox/harness/snapshot.ts';
import type { Kind } from './kinds.ts';
import { type Scenario, type Stage, certsDirectory } from './stage.ts';

/** The host as it is before a pass and after one that nothing has disturbed. */
export interface Ends {
  readonly before: Snapshot;
  readonly after: Snapshot;
}

/** Everything on the host that a pass may touch, and what is another's beside it. */
export function look({ world, kind }: Pick<Stage, 'world' | 'kind'>): Promise<Snapshot> {
  return snapshotStore(world.root, kind.looked);
}

/** Temporaries of ours that a killed pass may leave for the next one: nobody reads files of such a name. */
function mayBeLeft({ anchors, extension, workshop }: Kind): readonly RegExp[] {
  return [
    new RegExp(`^${anchors}/\\.node-ca-trust-default-[0-9a-f]{16}\\${extension}\\.[0-9a-f]{8}\\.tmp$`),
    new RegExp(`^${certsDirectory}/[^/]+/\\.node-ca-trust\\.(crt|toml)\\.[0-9a-f]{8}\\.tmp$`),
    new RegExp(`^${state}(/default\\.work(/.*)?|/\\.(default|_runtimes)\\.json\\.[0-9a-f]{8}\\.tmp)?$`),
    new RegExp(`^${workshop}/\\.node-ca-trust-default(/.*)?$`),
    // Links that have not got their names yet.
    new RegExp(
      `^${certs}/\\.(ca-cert-node-ca-trust-default-[0-9a-f]{16}\\.pem|[0-9a-f]{8}\\.\\d+)\\.[0-9a-f]{8}\\.tmp$`,
    ),
  ];
}

/** Whether the host's own tool makes it, in the course of its run. */
function isOfTool(path: string, { made }: Kind): boolean {
  return made.some((directory) => path.startsWith(`${directory}/`));
}

/** Each path is as before or as after; one of ours may be missing, or be a temporary that nobody reads. */
function strange({ before, after }: Ends, now: Snapshot, kind: Kind): string[] {
  const left = mayBeLeft(kind);
  const text = (entry: SnapshotEntry | undefined): string => JSON.stringify(entry ?? 'nothing');
  const paths = [...new Set([...before.keys(), ...after.keys(), ...now.keys()])];
  return paths.flatMap((path) => {
    const known = [before.get(path), after.get(path)].map(text);
    if (known.includes(text(now.get(path))) || left.some((pattern) => pattern.test(path))) return [];
    // The bundle and the records may be something in between, which is judged by what they say.
    if (path === kind.bundle || path.startsWith(`${state}/`) || isOfTool(path, kind)) return [];
    // Links are made anew one after the other.
    if (now.get(path) === undefined && path.includes('/node-ca-trust-')) return [];
    return [`${path} is ${text(now.get(path))}, and not ${known.join(' or ')}`];
  });
}

async function bundleProblems({ world, kind, distribution }: Stage, scenario: Scenario): Promise<string[]> {
  const bytes = await readFile(world.path(kind.bundle)).catch(() => undefined);
  const prints = (some: readonly Cert[]): string[] => some.map(({ fingerprint }) => fingerprint);
  const expected = { all: [...distribution, ...prints(scenario.stays)], any: prints(scenario.oneOf) };
  const { state: verdict, detail } = classify(bytes, expected);
  return verdict === 'whole' ? [] : [`readers find a bundle that is ${verdict}: ${detail}`];
}

/** Whom a look-up by hash has to find; where the host's tool makes such look-ups itself, they are not ours to keep. */
async function hashProblems({ world, kind }: Stage, { stays, oneOf }: Scenario): Promise<string[]> {
  if (kind.linkPrefix === undefined) return [];
  const isFound = async (cert: Cert): Promise<boolean> => (await trust(world, cert)).hashed;
  const [found, turns] = await Promise.all([Promise.all(stays.map(isFound)), Promise.all(oneOf.map(isFound))]);
  const missed = stays.filter((_, index) => found[index] === false);
  return [
    ...missed.map((cert) => `a look-up by hash does not find ${nameOf(cert, kind.extension)}, which stays`),
    ...(oneOf.length === 0 || turns.includes(true)
      ? []
      : ['a look-up by hash finds neither the old CA nor the new one']),
  ];
}

function isNamedAnchor(name: string, extension: string): boolean {
  return name.startsWith('node-ca-trust-') && name.endsWith(extension);
}

/** Go programs read every file in there. */
async function strayFiles({ world, kind: { anchors, bundle, extension, linkPrefix } }: Stage): Promise<string[]> {
  if (linkPrefix === undefined) return [];
  const entries = await readdir(world.path(certs), { withFileTypes: true });
  // Where anchors lie among the links, whether they are whole is looked at with the others.
  const isAnchor = (name: string): boolean => anchors === certs && isNamedAnchor(name, extension);
  const strays = entries.filter(
    (entry) => !entry.isSymbolicLink() && join(certs, entry.name) !== bundle && !isAnchor(entry.name),
  );
  return strays.map(({ name }) => `${certs}/${name} is a file that Go programs read`);
}

/** An anchor file is whole: it is the certificate that its name says. */
async function brokenAnchors({
  world,
  kind: { anchors, extension },
  certs: { kept, old, next },
}: Stage): Promise<string[]> {
  const known = new Map([kept, old, next].map((cert) => [nameOf(cert, extension), cert.pem]));
  const names = await readdir(world.path(anchors)).catch(() => []);
  const broken = await Promise.all(
    names
      .filter((name) => isNamedAnchor(name, extension))
      .map(async (name) => {
        const text = await readFile(world.path(`${anchors}/${name}`), 'utf8');
        return text === known.get(name) ? [] : [`${anchors}/${name} is not what its name says`];
      }),
  );
  return broken.flat();
}

async function brokenRecords({ world }: Stage): Promise<string[]> {
  const names = (await readdir(world.path(state)).catch(() => [])).filter((name) => /^[^.].*\.json$/.test(name));
  const broken = await Promise.all(
    names.map(async (name) => {
      try {
        JSON.parse(await readFile(world.path(`${state}/${name}`), 'utf8'));
        return [];
      } catch (error) {
        return [`the record ${name} is broken: ${String(error)}`];
      }
    }),
  );
  return broken.flat();
}

/** What is wrong at this moment; a line each. */
export async function problemsNow(stage: Stage, scenario: Scenario, ends: Ends): Promise<string[]> {
  const atOnce = await bundleProblems(stage, scenario);
  // It runs on, whatever becomes of the agent.
  await stage.unit?.settle();
  const found = await Promise.all([
    bundleProblems(stage, scenario),
    hashProblems(stage, scenario),
    strayFiles(stage),
    brokenAnchors(stage),
    brokenRecords(stage),
    look(stage).then((now) => strange(ends, now, stage.kind)),
  ]);
  return [atOnce, ...found].flat();
}

/** What a tool that was killed leaves for ever, and nobody reads: a temporary of trust(1), a link that leads nowhere. */
function isDead(found: Snapshot, path: string): boolean {
  if (/\.[A-Za-z0-9]{6}$/.test(path)) return true;
  for (let at = path; ;) {
    const entry = found.get(at);
    if (entry?.type !== 'link') return at !== path && entry === undefined;
    at = resolve(dirname(at), entry.content);
  }
}

/** What is not as a pass that nothing has disturbed leaves it. */
export function differences(expected: Snapshot, found: Snapshot, kind: Kind): string[] {
  const text = (entry: SnapshotEntry | undefined): string => JSON.stringify(entry ?? 'nothing');
  const paths = [...new Set([...expected.keys(), ...found.keys()])];
  const isForgiven = (path: string): boolean =>
    path !== kind.bundle && isOfTool(path, kind) && (kind.isToolFailed === true || isDead(found, path));
  return paths
    .filter((path) => text(expected.get(path)) !== text(found.get(path)) && !isForgiven(path))
    .map((path) => `${path} is ${text(found.get(path))} in the end, and not ${text(expected.get(path))}`);
}

/**
 * The version of everything that a pass may write: an idle pass changes none. A directory that shows through from below
 * gets another number whenever the kernel has forgotten it.
 */
export async function versions(stage: Stage): Promise<ReadonlyMap<string, string>> {
  const now = await look(stage);
  const entries = [...now.keys()].map(async (path): Promise<[string, string]> => {
    const stats = await lstat(stage.world.path(path), { bigint: true });
    return [path, `${stats.isDirectory() ? '' : stats.ino} ${stats.ctimeNs}`];
  });
  return new Map(await Promise.all(entries));
}
