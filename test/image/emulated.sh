#!/bin/sh
# Runs a command that may start programs of arm64 on another machine: sh emulated.sh COMMAND ARGS...
#
# The kernel asks binfmt_misc who runs them, which belongs to a user namespace (since Linux 6.7): this one has its own, so
# nothing of it is seen outside, and all ends with it. Every user is mapped to itself, so files get the owners that they
# should; but the last one, by which buildah sees that this is a user namespace.
set -eu
ready=$(mktemp -u)
mkfifo "$ready"
unshare --user --mount --propagation private sh -euc '
  read -r _ < "$0"
  if ! mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; then
    echo "programs of arm64 cannot be run here: that needs Linux 6.7 or later" >&2
    exit 1
  fi
  magic="\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
  mask="\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
  printf "%s" ":arm64:M::$magic:$mask:/usr/bin/qemu-aarch64-static:F" > /proc/sys/fs/binfmt_misc/register
  exec "$@"' "$ready" "$@" &
child=$!
until [ "$(readlink "/proc/$child/ns/user")" != "$(readlink /proc/self/ns/user)" ]; do :; done
for map in uid_map gid_map; do echo '0 0 4294967294' > "/proc/$child/$map"; done
echo > "$ready"
rm "$ready"
wait "$child"
