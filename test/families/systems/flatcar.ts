// Flatcar, laid out as its package of certificates lays it out. c_rehash is OpenSSL's, of which Flatcar's is a port.
// NODE_CA_TRUST_FLATCAR names a directory with Flatcar's own update-ca-certificates, which is tried then.
import { mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { bundle, certs } from '../../sandbox/harness/host.ts';
import type { World } from '../../sandbox/harness/world.ts';
import type { System } from '../system.ts';
import { runOnce } from './p11-kit.ts';
import { clear, emulatedWithout, installRefresh } from './programs.ts';

const variable = 'NODE_CA_TRUST_FLATCAR';
const image = '/usr/share/ca-certificates';

/** Files in /usr, and in /etc a link to each of them and to all else that lies there. */
async function layOut(world: World, selected: readonly string[]): Promise<void> {
  const texts = await Promise.all(selected.map((name) => readFile(world.path(`${image}/${name}`))));
  await rm(world.path(image), { recursive: true });
  await mkdir(world.path(image));
  for (const [index, name] of selected.entries()) {
    await writeFile(world.path(`${image}/${basename(name, '.crt')}.pem`), texts[index] ?? '');
  }
  await runOnce(world, ['openssl', 'rehash', image]);
  await writeFile(world.path(`${image}/ca-certificates.crt`), Buffer.concat(texts));
  for (const name of await readdir(world.path(image))) {
    await symlink(`../../..${image}/${name}`, world.path(`${certs}/${name}`));
  }
}

export const flatcar: System = {
  name: 'flatcar',
  family: 'flatcar',
  release: 'NAME="Flatcar Container Linux by Kinvolk"\nID=flatcar\nID_LIKE=coreos\nVERSION_ID=4230.2.1\n',
  emulated: emulatedWithout(variable, 'update-ca-certificates'),
  anchors: certs,
  bundle,
  hashed: [certs],
  disk: '/etc/ssl',
  refresh: ['update-ca-certificates'],
  needed: ['/usr/bin/flock', 'util-linux'],
  drops: false,
  isDirect: true,
  async build(world: World) {
    await layOut(world, await clear(world));
    await installRefresh(world, 'flatcar', variable);
    await rm(world.path('/etc/ca-certificates.conf'));
    await rm(world.path('/usr/local/share/ca-certificates'), { recursive: true, force: true });
    await mkdir(world.path('/usr/share/flatcar'));
  },
};
