// What the systems have in common whose stores p11-kit makes: Debian's p11-kit, the real one, told where they keep things.
import { chmod, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { shell } from '../../sandbox/harness/shell.ts';
import type { World } from '../../sandbox/harness/world.ts';

const moduleFile = '/usr/share/p11-kit/modules/p11-kit-trust.module';

/** Writes a file of the world, its directories included. */
export async function put(world: World, path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(world.path(path)), { recursive: true });
  await rm(world.path(path), { force: true });
  await writeFile(world.path(path), text);
  await chmod(world.path(path), mode);
}

/** Puts a link in the place of whatever is there. */
export async function link(world: World, path: string, target: string): Promise<void> {
  await rm(world.path(path), { recursive: true, force: true });
  await mkdir(dirname(world.path(path)), { recursive: true });
  await symlink(target, world.path(path));
}

/** A few public CAs, as PEM. */
async function publicCas(world: World): Promise<readonly string[]> {
  const directory = world.path('/usr/share/ca-certificates/mozilla');
  const names = (await readdir(directory)).sort().slice(0, 6);
  return Promise.all(names.map((name) => readFile(`${directory}/${name}`, 'utf8')));
}

/** Takes Debian's store off, and lets trust(1) read these directories; the distribution's CAs lie in the last of them. */
export async function layOut(world: World, sources: readonly [string, string]): Promise<void> {
  const cas = await publicCas(world);
  for (const path of [
    '/usr/sbin/update-ca-certificates',
    '/etc/ca-certificates.conf',
    '/etc/ca-certificates',
    '/usr/share/ca-certificates',
    '/usr/local/share/ca-certificates',
    '/etc/ssl/certs',
    '/etc/pki',
  ]) {
    await rm(world.path(path), { recursive: true, force: true });
  }
  const settings = await readFile(world.path(moduleFile), 'utf8');
  await put(
    world,
    moduleFile,
    settings.replace(/^x-init-reserved:.*$/m, `x-init-reserved: paths='${sources.join(':')}'`),
  );
  for (const directory of sources) {
    await shell('mkdir -p "$1/anchors" "$1/blocklist"', world.path(directory));
  }
  const objects = cas.map((pem) => `[p11-kit-object-v1]\ntrusted: true\n${pem}\n`);
  await put(world, `${sources[1]}/ca-bundle.trust.p11-kit`, objects.join('\n'));
}

export async function runOnce(world: World, [command, ...args]: readonly [string, ...string[]]): Promise<void> {
  const { code, stderr } = await world.exec(command, args);
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${stderr}`);
}
