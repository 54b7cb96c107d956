// Container-Optimized OS, as far as its documentation tells; no image of it is to be had here. Its program is Debian's, as
// in Chromium OS, whose kin it is: anchors that are no more than files in /etc/ssl/certs are nothing to that one, so each
// run of it takes ours out of the bundle.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { bundle, certs } from '../../sandbox/harness/host.ts';
import { shell } from '../../sandbox/harness/shell.ts';
import type { World } from '../../sandbox/harness/world.ts';
import type { System } from '../system.ts';
import { runOnce } from './p11-kit.ts';
import { clear } from './programs.ts';

/** Starts the machine anew: its /etc is in memory, and as in the image again. */
export async function startAnew(world: World): Promise<void> {
  await shell(
    `cd "$1"; if mountpoint -q etc; then umount -l etc; fi
    mkdir tmp/etc; mount -t tmpfs -o mode=755 tmpfs tmp/etc; cp -a etc/. tmp/etc; mount --move tmp/etc etc; rmdir tmp/etc`,
    world.root,
  );
}

/** Makes the root read-only but for /etc and /var, and lets nothing be executed there. */
export async function seal(world: World): Promise<void> {
  const script =
    'cd "$1"; mount --bind var var; mount -o remount,bind,noexec var; mount -o remount,noexec tmp; mount -o remount,bind,ro .';
  await shell(script, world.root);
  await startAnew(world);
}

export const cos: System = {
  name: 'cos',
  family: 'cos',
  release: 'NAME="Container-Optimized OS"\nID=cos\nPRETTY_NAME="Container-Optimized OS from Google"\nVERSION_ID=117\n',
  emulated: 'the image is re-created from its documentation, with the update-ca-certificates of Debian',
  anchors: certs,
  bundle,
  hashed: [certs],
  disk: '/etc/ssl',
  refresh: ['update-ca-certificates'],
  needed: ['/usr/bin/flock', 'util-linux'],
  drops: false,
  isDirect: true,
  ignores: true,
  async build(world: World) {
    const selected = await clear(world);
    await writeFile(world.path('/etc/ca-certificates.conf'), `${selected.join('\n')}\n`);
    await mkdir(world.path('/mnt/stateful_partition'), { recursive: true });
    await runOnce(world, ['update-ca-certificates']);
    await rm(world.path('/usr/local/share/ca-certificates'), { recursive: true, force: true });
  },
};
