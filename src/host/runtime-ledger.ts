/**
 * The record of what is done for container runtimes. Their directories belong to the host, not to an instance: instances
 * are counted here, and the last one to go undoes everything. Like the ledger of the store it is a help: names and marks
 * say what is ours where it is lost.
 */
import * as z from 'zod/mini';
import type { Host } from './host.ts';
import { instancesOn, removeRecord, stateDirectory, writeRecord } from './ledger.ts';
import { momentShape } from './moment.ts';

/** The name of every link of ours. Files that end so are CAs to containerd, CRI-O and dockerd alike. */
export const linkName = 'node-ca-trust.crt';

/** No instance has a name with an underscore. */
export const runtimeLedgerPath = `${stateDirectory}/_runtimes.json`;

const shape = z.object({
  version: z.literal(1),
  /** The instances for which pulls trust the store. */
  instances: z.array(z.string()),
  /** Each link of ours that may be on the host. */
  links: z.array(z.string().check(z.endsWith(`/${linkName}`))),
  /** Each file of another that may have lines of ours. */
  edited: z.array(z.string().check(z.endsWith('/hosts.toml'))),
  /** Directories that were not there before us. */
  made: z.array(z.string().check(z.regex(/^\/[^\0]+$/))),
  /** The last restart of a runtime that was made here. */
  restarted: z.optional(momentShape),
  /** Units that did not come back from one. */
  failed: z.array(z.string()),
});

export type RuntimeLedger = z.infer<typeof shape>;

export interface RuntimeRecord {
  readonly state: 'kept' | 'absent' | 'broken';
  readonly ledger: RuntimeLedger;
}

/**
 * Reads the record. An instance that is gone without a word does not count. Where the record is lost or broken each one
 * that is there counts: what one of them still needs must not be undone.
 */
export function readRuntimeLedger(host: Host): RuntimeRecord {
  const instances = instancesOn(host);
  const lost: RuntimeLedger = { version: 1, instances, links: [], edited: [], made: [], failed: [] };
  const bytes = host.read(runtimeLedgerPath);
  if (bytes === undefined) return { state: 'absent', ledger: lost };
  try {
    const ledger = shape.parse(JSON.parse(bytes.toString('utf8')));
    const present = ledger.instances.filter((instance) => instances.includes(instance));
    return { state: 'kept', ledger: { ...ledger, instances: present } };
  } catch {
    return { state: 'broken', ledger: lost };
  }
}

/** @throws Problem when the host's disk is full or read-only */
export function writeRuntimeLedger(host: Host, ledger: RuntimeLedger): void {
  writeRecord(host, runtimeLedgerPath, ledger);
}

/** Removes the record, and the directory that it was the last in. */
export function removeRuntimeLedger(host: Host): void {
  removeRecord(host, runtimeLedgerPath);
  host.removeDirectory(stateDirectory);
}
