// Kills the agent at random moments of a rotation, and says what a reader found then and what the next pass made of it.
import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { agent, signalGroup, startProcess } from './agent.ts';
import { makeCert, type Cert } from './certs.ts';
import {
  anchors,
  bundle as debianBundle,
  certs,
  danglingLinks,
  inBundle,
  plainTemporary,
  state,
  trust,
} from './host.ts';
import { mountSecret } from './secret-mount.ts';
import type { World } from './world.ts';

/** The store of a world that is looked into after a kill. */
export interface Watched {
  /** The host's bundle. */
  readonly bundle: string;
  trust(world: World, cert: Cert): Promise<{ readonly bundle: boolean; readonly hashed: boolean }>;
  /** What should not be there once a pass has ended. */
  leftovers(world: World): Promise<readonly string[]>;
}

export interface KillCounts {
  kills: number;
  /** The pass had not ended when it was killed. */
  underWay: number;
  /** What was wrong, one line each; empty when all was well. */
  readonly failures: string[];
}

/** The seed of a run: NODE_CA_TRUST_SEED repeats an earlier one. */
export function chooseSeed(): number {
  const given = process.env['NODE_CA_TRUST_SEED'];
  return given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
}

/** Numbers from 0 to 1 that follow from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let held = seed;
  return () => {
    held = (held + 0x6d2b79f5) | 0;
    let mixed = Math.imul(held ^ (held >>> 15), 1 | held);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Makes everything that a process starts end with it, as when a container is killed. */
const asContainer = ['unshare', '--pid', '--fork', '--kill-child=KILL'];

/**
 * Rotates between two CAs beside one that stays, killing the agent's process group at a random moment of each rotation:
 * every other time together with all that it started, else the host's tool outlives it.
 */
export async function killRotations(
  world: World,
  kills: number,
  random: () => number,
  watched: Watched = debianStore,
): Promise<KillCounts> {
  const [kept, first, second] = await Promise.all([makeCert(), makeCert(), makeCert()]);
  const counts: KillCounts = { kills: 0, underWay: 0, failures: [] };
  const fail = (what: string): void => void counts.failures.push(`kill ${counts.kills}: ${what}`);
  const common = [...(await inBundle(world, watched.bundle)), kept.fingerprint];
  await using secret = await mountSecret({ 'kept.crt': kept.pem, 'ca.crt': first.pem });
  const converge = async (next: Cert, old: Cert): Promise<void> => {
    const { code, report } = await agent(world).apply(secret.directory);
    if (code !== 0) fail(`the next pass does not converge: ${report.reasons.join('; ')}`);
    for (const problem of await problemsAfter(world, watched, [kept, next], old)) fail(problem);
  };
  await converge(first, second);
  const idle = await timePass(world, secret.directory);
  await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': second.pem });
  const busy = await timePass(world, secret.directory);
  for (let [old, next] = [second, first]; counts.kills < kills; [old, next] = [next, old]) {
    await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': next.pem });
    const words = ['apply', '--host-root', world.root, '--bundle', secret.directory, '--output', 'json'];
    const { child, ended } = startProcess(words, counts.kills % 2 === 0 ? asContainer : []);
    child.stdout.resume();
    const cut = new AbortController();
    const moment = sleep(idle / 2 + random() * (busy - idle / 2), undefined, { signal: cut.signal });
    await Promise.race([ended, moment]);
    cut.abort();
    moment.catch(() => undefined);
    if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
    counts.kills += 1;
    if ((await ended).signal === 'SIGKILL') counts.underWay += 1;
    for (const problem of await problemsOfReaders(world, watched, common)) fail(problem);
    await converge(next, old);
  }
  return counts;
}

/** How long the program takes from its start to its end, in milliseconds. */
async function timePass(world: World, directory: string): Promise<number> {
  const started = performance.now();
  const words = ['apply', '--host-root', world.root, '--bundle', directory, '--output', 'json'];
  const { child, ended } = startProcess(words);
  child.stdout.resume();
  await ended;
  return performance.now() - started;
}

async function problemsOfReaders(world: World, { bundle }: Watched, common: readonly string[]): Promise<string[]> {
  try {
    const held = await inBundle(world, bundle);
    const lost = common.filter((fingerprint) => !held.has(fingerprint));
    return lost.length === 0 ? [] : [`${lost.length} CAs that stay are missing`];
  } catch (error) {
    return [String(error)];
  }
}

async function problemsAfter(world: World, watched: Watched, wanted: readonly Cert[], removed: Cert) {
  const problems: string[] = [];
  for (const cert of wanted) {
    const { bundle, hashed } = await watched.trust(world, cert);
    if (!bundle || !hashed) problems.push(`a wanted CA is not trusted: bundle ${bundle}, hashed ${hashed}`);
  }
  const { bundle, hashed } = await watched.trust(world, removed);
  if (bundle || hashed) problems.push(`a removed CA is trusted: bundle ${bundle}, hashed ${hashed}`);
  const leftovers = await watched.leftovers(world);
  return leftovers.length === 0 ? problems : [...problems, `left behind: ${leftovers.join(', ')}`];
}

/** Names in these directories that only work under way has. */
export async function unfinishedIn(world: World, ...directories: readonly string[]): Promise<readonly string[]> {
  const lists = await Promise.all(directories.map((directory) => readdir(world.path(directory)).catch(() => [])));
  return lists.flat().filter((name) => name.startsWith('.') || name.endsWith('.work'));
}

const debianStore: Watched = {
  bundle: debianBundle,
  trust,
  async leftovers(world) {
    const temporary = (await readdir(world.path(certs))).filter((name) => plainTemporary.endsWith(`/${name}`));
    return [...(await danglingLinks(world)), ...(await unfinishedIn(world, '/etc/ssl', anchors, state)), ...temporary];
  },
};
