// Who waits for the lock that lets one pass at a time change a host.
import { readFile, readdir, stat } from 'node:fs/promises';

/** The command of a pass that waits for it. */
const waiting = ['flock', '-x', '3', ''].join('\0');

/**
 * Whether a pass waits for the lock on a directory. Not by /proc/locks: a process namespace shows no lock there whose first
 * holder has ended, nor who waits for it.
 */
export async function isWaitedFor(directory: string): Promise<boolean> {
  const { dev, ino } = await stat(directory);
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command !== waiting) continue;
    const file = await stat(`/proc/${pid}/fd/3`).catch(() => undefined);
    // Another test's host has the same inodes, on another device.
    if (file?.dev === dev && file.ino === ino) return true;
  }
  return false;
}
