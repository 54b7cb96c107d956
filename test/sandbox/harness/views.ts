// The two ways to see the machine's root without being able to change it.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { shell } from './shell.ts';

/**
 * What both views need beside the disk. /proc is read-only so that no sysctl can be set; /dev is the machine's;
 * /tmp and /run are empty and the world's own, so no service manager or container runtime can be reached.
 * A user namespace may refuse the read-only remount; there nothing was writable to begin with.
 */
const surroundings = `
  mount --rbind /proc root/proc; mount -o remount,bind,ro root/proc || [ ! -w root/proc/sys/kernel/panic ]
  mount --rbind /dev root/dev
  mount -t tmpfs -o mode=1777 tmpfs root/tmp
  mount -t tmpfs -o mode=755 tmpfs root/run
  mkdir root/run/lock`;

/** Copy on write of the whole root; throws where the kernel refuses, or lets nothing be written (a user namespace). */
export async function overlayView(base: string): Promise<'overlay'> {
  await shell(
    `cd "$1"; mkdir layers/upper layers/work
    mount -t overlay -o "lowerdir=/,upperdir=$1/layers/upper,workdir=$1/layers/work" overlay root
    mkdir root/etc/ssl/certs/.probe; rmdir root/etc/ssl/certs/.probe
    ${surroundings}`,
    base,
  );
  for (const [index, mountPoint] of mountPointsOfInterest().entries()) await addMount(base, mountPoint, index);
  return 'overlay';
}

/**
 * An ordinary user's view: programs are bound, /etc and the certificates are copied (what cannot be read is left
 * out), /var is empty. Everything belongs to that user, who is root in the user namespace.
 */
export async function copiedView(base: string): Promise<'copy'> {
  await shell(
    `cd "$1"; mkdir layers/root; mount --bind layers/root root
    mkdir -p root/proc root/sys root/dev root/tmp root/run root/root root/mnt root/opt \
      root/var/lib root/var/log root/var/cache root/var/tmp
    for name in usr bin sbin lib lib32 lib64 libx32; do
      if [ -L "/$name" ]; then cp -d "/$name" root/
      elif [ -d "/$name" ]; then mkdir "root/$name"; mount --rbind "/$name" "root/$name"
        mount -o remount,bind,ro "root/$name" || [ ! -w "root/$name" ]
      fi
    done
    copy() { cp -R --no-dereference --preserve=mode,timestamps,links "$1" "$2" 2>/dev/null || true; }
    copy /etc root/
    for directory in usr/local/share/ca-certificates usr/share/ca-certificates; do
      if [ -d "/$directory" ]; then
        mkdir -p "layers/own/$directory"; copy "/$directory/." "layers/own/$directory"
        mount --bind "layers/own/$directory" "root/$directory"
      fi
    done
    test -d root/etc/ssl/certs
    ${surroundings}`,
    base,
  );
  return 'copy';
}

/** An overlay of / shows what lies under a mount point, not what is mounted there; the tools need these. */
const needed = /^\/(etc|usr|bin|sbin|lib\d*|var\/lib\/ca-certificates)(\/|$)|^\/var(\/lib)?$/;

function mountPointsOfInterest(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n');
  const mountPoints = lines.map((line) => unescape(line.split(' ')[4] ?? ''));
  return [...new Set(mountPoints)].filter((mountPoint) => needed.test(mountPoint));
}

function unescape(field: string): string {
  return field.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** A directory gets an overlay of its own; a file (a container's /etc/hosts) is copied. */
async function addMount(base: string, mountPoint: string, index: number): Promise<void> {
  const target = join(base, 'root', mountPoint);
  if (!statSync(mountPoint).isDirectory()) return shell('rm -f "$2"; cp "$1" "$2"', mountPoint, target);
  try {
    await shell(
      `upper="$1/layers/upper-$4"; work="$1/layers/work-$4"; mkdir "$upper" "$work"; mkdir -p "$3"
      mount -t overlay -o "lowerdir=$2,upperdir=$upper,workdir=$work" overlay "$3"`,
      ...[base, mountPoint, target, String(index)],
    );
  } catch (cause) {
    throw new Error(`${mountPoint} is a mount of its own that no overlay can be laid over`, { cause });
  }
}
