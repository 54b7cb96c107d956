/**
 * The ledger: the record on the host of everything an instance has written there. It is a help, not the truth: when it
 * is lost or broken, the files' own names and contents say what is ours (design, rule 2).
 */
import { posix } from 'node:path';
import * as z from 'zod/mini';
import type { Host } from './host.ts';
import { Problem } from './problem.ts';
import { momentShape, readMoment } from './moment.ts';

export const stateDirectory = '/var/lib/node-ca-trust';

/** A name in it is deleted on `remove`, so it must be one that this program gives: never a path, never another's file. */
const ownName = z.string().check(z.regex(/^node-ca-trust-[a-z0-9-]+-[0-9a-f]{16}\.(crt|pem)$/));

const shape = z.object({
  version: z.literal(1),
  /** The trust store's family when it was written. */
  store: z.string(),
  /** Certificate files of ours: each name that may be on the host, or whose removal is not proven yet. */
  files: z.array(z.object({ name: ownName, fingerprint: z.string() })),
  /** Names of those files that the store's hooks have heard of. */
  announced: z.array(ownName),
  /** What hooks that failed were told, and are told again: `+` or `-` and a path. */
  unheard: z.optional(z.array(z.string().check(z.regex(/^[+-]\/[^\n]+$/)))),
  /** Directories of the trust store that did not exist before us. */
  made: z.array(z.string()),
  /** How many certificates of others the host's bundle held after the last change, where the store tells. */
  others: z.optional(z.number()),
  /** When the host last came to trust something through this instance, and when it last ceased to. */
  added: z.optional(momentShape),
  removed: z.optional(momentShape),
  /** Names of those files whose certificates the host was seen to trust when that was put down. */
  dated: z.optional(z.array(ownName)),
});

export type Ledger = z.infer<typeof shape>;

export interface LedgerFile {
  readonly state: 'kept' | 'absent' | 'broken';
  /** What was read, or an empty ledger. */
  readonly ledger: Ledger;
}

/** The names that are dated. Earlier versions took all for it that hooks had heard of. */
export function datedNames({ dated, announced }: Ledger): readonly string[] {
  return dated ?? announced;
}

function ledgerPath(instance: string): string {
  return `${stateDirectory}/${instance}.json`;
}

/** The directories above a path that are not there, the topmost first: who makes them has to put them on record before. */
export function missingAbove(host: Host, path: string): readonly string[] {
  const directory = posix.dirname(path);
  if (directory === '/' || host.target(directory) !== undefined) return [];
  return [...missingAbove(host, directory), directory];
}

/** The instances that have something on the host. */
export function instancesOn(host: Host): string[] {
  const names = (host.list(stateDirectory) ?? []).map((name) => /^([a-z0-9][a-z0-9-]*)\.json$/.exec(name)?.[1]);
  return names.filter((name) => name !== undefined);
}

export function workDirectory(instance: string): string {
  return `${stateDirectory}/${instance}.work`;
}

function parse(text: string, instance: string): Ledger | undefined {
  try {
    const ledger = shape.parse(JSON.parse(text));
    const names = [...ledger.files.map(({ name }) => name), ...ledger.announced, ...datedNames(ledger)];
    return names.every((name) => name.slice(0, -21) === `node-ca-trust-${instance}`) ? ledger : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the machine was started anew since the ledger was written. */
function isOfEarlierStart({ added }: Ledger, host: Host): boolean {
  return added !== undefined && added.boot !== readMoment(host)?.boot;
}

/**
 * Reads an instance's ledger. A broken one counts as lost.
 * @param store a volatile one has lost all that the ledger knows of an earlier start of the machine: to put that back is
 *   no repair, and what is not wanted any more is gone
 */
export function readLedger(
  host: Host,
  instance: string,
  store: { readonly family: string; readonly volatile?: true },
): LedgerFile {
  const empty: Ledger = { version: 1, store: store.family, files: [], announced: [], made: [] };
  const bytes = host.read(ledgerPath(instance));
  // A directory with no record at all in it is what a pass has left that was ended before its first, or after its last.
  const isLeft = host.list(stateDirectory)?.every((name) => name.startsWith('.')) === true;
  if (bytes === undefined) return { state: isLeft ? 'broken' : 'absent', ledger: empty };
  const ledger = parse(bytes.toString('utf8'), instance);
  if (ledger === undefined) return { state: 'broken', ledger: empty };
  return { state: 'kept', ledger: store.volatile === true && isOfEarlierStart(ledger, host) ? empty : ledger };
}

/** Removes what writes of a file in the state directory that were killed have left beside it. */
export function removeLeftovers(host: Host, path: string): void {
  const prefix = `.${path.slice(stateDirectory.length + 1)}.`;
  const leftovers = (host.list(stateDirectory) ?? []).filter((name) => name.startsWith(prefix));
  for (const name of leftovers) host.remove(`${stateDirectory}/${name}`);
}

/**
 * Writes a record in the state directory, on the disk when it returns. What it already says is not written again.
 * @throws Problem when the host's disk is full or read-only, or the directory was removed behind a mount of it
 */
export function writeRecord(host: Host, path: string, record: unknown): void {
  host.makeDirectory(stateDirectory);
  if (host.target(stateDirectory)?.isGone === true) {
    throw new Problem(
      `${stateDirectory} was removed on the host while this pod has it mounted; delete the pod, the next one mounts it anew`,
    );
  }
  removeLeftovers(host, path);
  const text = `${JSON.stringify(record, undefined, 2)}\n`;
  if (host.read(path)?.toString('utf8') !== text) host.write(path, text, { durable: true });
}

/** Removes a record, and what writes of it have left. */
export function removeRecord(host: Host, path: string): void {
  host.remove(path);
  removeLeftovers(host, path);
}

const fields = z.keyof(shape).options;

/** Writes it in one order, whichever way it came to be. @throws Problem when the host's disk is full or read-only */
export function writeLedger(host: Host, instance: string, ledger: Ledger): void {
  writeRecord(host, ledgerPath(instance), Object.fromEntries(fields.map((field) => [field, ledger[field]])));
}

/** Removes the directories made by us that are empty now, and then an instance's ledger, which says which they are. */
export function removeLedger(host: Host, instance: string, ledger: Ledger): void {
  for (const directory of [...ledger.made].reverse()) host.removeDirectory(directory);
  removeRecord(host, ledgerPath(instance));
  // It may have been made by another instance, which is gone too when it is empty.
  host.removeDirectory(stateDirectory);
}
