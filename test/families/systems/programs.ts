// A family's own programs in a world. What cannot be had here is a stand-in, that says so, until a variable names a
// directory where the family's own lie.
import { copyFile, lstat, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { certs } from '../../sandbox/harness/host.ts';
import type { World } from '../../sandbox/harness/world.ts';

const local = '/usr/local/share/ca-certificates';

/** What is not the family's own, for the table. @param variable names the directory where its own program lies */
export function emulatedWithout(variable: string, what: string): string {
  return process.env[variable] === undefined ? `${what} is a stand-in (${variable} names where the real one lies)` : '';
}

/** Puts one of the family's own programs to where it lies; false when it is not to be had. */
export async function installOwn(world: World, variable: string, name: string, to: string): Promise<boolean> {
  const path = join(process.env[variable] ?? '/nonexistent', name);
  if ((await lstat(path).catch(() => undefined)) === undefined) return false;
  await rm(world.path(to), { force: true });
  await copyFile(path, world.path(to));
  return true;
}

/** Puts the family's update-ca-certificates to where it lies: its own, else the stand-in. */
export async function installRefresh(world: World, family: string, variable: string): Promise<void> {
  const to = '/usr/sbin/update-ca-certificates';
  if (await installOwn(world, variable, 'update-ca-certificates', to)) return;
  await rm(world.path(to), { force: true });
  await copyFile(join(import.meta.dirname, `${family}-update-ca-certificates`), world.path(to));
}

/**
 * Takes all certificates out of the store, and what tells Debian from others.
 * @returns a few public CAs, by their paths below the distribution's directory
 */
export async function clear(world: World): Promise<readonly string[]> {
  for (const directory of [certs, local]) {
    for (const name of await readdir(world.path(directory)).catch(() => [])) {
      await rm(world.path(`${directory}/${name}`), { recursive: true });
    }
  }
  await rm(world.path('/var/lib/dpkg'), { recursive: true, force: true });
  const selection = await readFile(world.path('/etc/ca-certificates.conf'), 'utf8');
  return selection
    .split('\n')
    .filter((line) => line !== '' && !/^[#!]/.test(line))
    .slice(0, 6);
}
