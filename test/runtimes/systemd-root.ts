// What a node with systemd is made of: Debian by debootstrap, with systemd, the bus, containerd and runc. Nothing of it
// is installed or started on the machine.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { ownEnvironment, run } from '../cluster/process.ts';

const packages = ['systemd', 'dbus', 'containerd', 'runc'];
const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');

/**
 * Makes a root unless it is there. It can be removed at any time: the next run makes it again.
 * @param name tells it from those of other packages
 * @returns the directory that holds it; nobody may write to it
 */
export async function ensureSystemdRoot(name = 'bookworm', more: readonly string[] = []): Promise<string> {
  const directory = join(cache, 'node-ca-trust', 'systemd', name);
  if (existsSync(directory)) return directory;
  mkdirSync(dirname(directory), { recursive: true });
  const made = mkdtempSync(`${directory}.`);
  try {
    const words = [
      '--variant=minbase',
      `--include=${[...packages, ...more].join(',')}`,
      'bookworm',
      join(made, 'root'),
    ];
    await run('debootstrap', words, { env: ownEnvironment() });
    renameSync(join(made, 'root'), directory);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  return directory;
}
