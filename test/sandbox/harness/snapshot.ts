// What a trust store's directories hold, to compare before and after.
import { createHash } from 'node:crypto';
import { lstat, readFile, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';

export interface SnapshotEntry {
  readonly type: 'file' | 'directory' | 'link' | 'other';
  /** The permission bits. */
  readonly mode: number;
  /** A file's SHA-256 in hex, a link's target, else empty. */
  readonly content: string;
}

/** By absolute path as the world sees it. */
export type Snapshot = ReadonlyMap<string, SnapshotEntry>;

const directories = [
  '/etc/ssl',
  '/etc/ca-certificates',
  '/etc/ca-certificates.conf',
  '/usr/local/share/ca-certificates',
  '/usr/share/ca-certificates',
  '/var/lib/node-ca-trust',
];

/**
 * Reads the trust store under a root directory, and `more` than that; '/' is the machine's own. What may not be read has
 * no content.
 */
export async function snapshotStore(root: string, more: readonly string[] = []): Promise<Snapshot> {
  const snapshot = new Map<string, SnapshotEntry>();
  for (const directory of [...directories, ...more]) await visit(root, directory, snapshot);
  return snapshot;
}

/** The paths that differ between two snapshots, in order. */
export function changedPaths(before: Snapshot, after: Snapshot): string[] {
  const same = (path: string): boolean => JSON.stringify(before.get(path)) === JSON.stringify(after.get(path));
  return [...new Set([...before.keys(), ...after.keys()])].filter((path) => !same(path)).sort();
}

/** The ledger tells when trust was added: what is compared is what it was. */
function timeless(path: string, bytes: Buffer): string | Buffer {
  if (!path.startsWith('/var/lib/node-ca-trust/')) return bytes;
  return bytes.toString('latin1').replaceAll(/"seconds": [\d.]+/g, '"seconds": 0');
}

async function visit(root: string, path: string, snapshot: Map<string, SnapshotEntry>): Promise<void> {
  const real = join(root, path);
  const stats = await lstat(real).catch(() => undefined);
  if (stats === undefined) return;
  const mode = stats.mode & 0o7777;
  if (stats.isDirectory()) {
    snapshot.set(path, { type: 'directory', mode, content: '' });
    for (const name of await readdir(real).catch(() => [])) await visit(root, join(path, name), snapshot);
  } else if (stats.isSymbolicLink()) {
    snapshot.set(path, { type: 'link', mode, content: await readlink(real) });
  } else if (stats.isFile()) {
    const bytes = await readFile(real).catch(() => undefined);
    const content = bytes === undefined ? '' : createHash('sha256').update(timeless(path, bytes)).digest('hex');
    snapshot.set(path, { type: 'file', mode, content });
  } else {
    snapshot.set(path, { type: 'other', mode, content: '' });
  }
}
