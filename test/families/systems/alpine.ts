// Alpine. Its userland is busybox, Debian's here, which has no flock: that one is util-linux's. NODE_CA_TRUST_ALPINE names
// a directory with Alpine's own update-ca-certificates and c_rehash, which are tried then.
import { mkdir, symlink, rm, writeFile } from 'node:fs/promises';
import { anchors, bundle, certs } from '../../sandbox/harness/host.ts';
import type { World } from '../../sandbox/harness/world.ts';
import type { System } from '../system.ts';
import { put, runOnce } from './p11-kit.ts';
import { clear, emulatedWithout, installOwn, installRefresh } from './programs.ts';

const variable = 'NODE_CA_TRUST_ALPINE';

/** Those that the family's program, its hooks or the agent start. */
const busybox = ['run-parts', 'sh', 'basename', 'mktemp', 'readlink', 'tr', 'ln', 'mv', 'chmod', 'cat', 'rm'];

export const alpine: System = {
  name: 'alpine',
  family: 'alpine',
  release: 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.1\nPRETTY_NAME="Alpine Linux v3.22"\n',
  emulated: emulatedWithout(variable, 'update-ca-certificates'),
  anchors,
  bundle,
  hashed: [certs],
  disk: '/etc/ssl',
  refresh: ['update-ca-certificates'],
  needed: ['/usr/sbin/update-ca-certificates', 'ca-certificates'],
  drops: false,
  isDirect: true,
  async build(world: World) {
    const selected = await clear(world);
    await writeFile(world.path('/etc/ca-certificates.conf'), `${selected.join('\n')}\n`);
    await mkdir(world.path(anchors), { recursive: true });
    await mkdir(world.path('/etc/apk'));
    await installRefresh(world, 'alpine', variable);
    const rehash = (await installOwn(world, variable, 'c_rehash', '/usr/bin/c_rehash')) ? 'c_rehash' : 'openssl rehash';
    const hook = `#!/bin/sh\nexec /usr/bin/${rehash} ${certs}\n`;
    await put(world, '/etc/ca-certificates/update.d/certhash', hook, 0o755);
    for (const name of busybox) {
      await rm(world.path(`/usr/bin/${name}`), { force: true });
      await symlink('/usr/bin/busybox', world.path(`/usr/bin/${name}`));
    }
    await runOnce(world, ['update-ca-certificates']);
  },
};
