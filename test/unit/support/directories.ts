/**
 * Directories of a test's own, which end with it.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Host, openHost } from '../../../src/host/host.ts';

/** An empty directory whose path has no symbolic link in it. */
export function temporaryDirectory(): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'node-ca-trust-test-')));
  onTestFinished(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** A directory that passes for the root of a host, with nothing in it. */
export function emptyHost(): Host {
  const root = temporaryDirectory();
  for (const name of ['etc', 'usr']) mkdirSync(join(root, name));
  return openHost(root);
}
