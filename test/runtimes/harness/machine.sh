# Process 1 of a machine: gives the root that was made for it what a running machine has, and makes it its own. What is
# mounted outside on the root, now and later, is in the machine too; nothing that is mounted in there gets out.
#
#   machine.sh ADDRESS PAUSE ROOT
set -eu
address=$1 pause=$2 root=$3

# The address is not a loopback one to those who look at it, and they verify whom they find there.
ip link set lo up
ip address add "$address/32" dev lo

# These the agent sees as well.
cd "$root"
umount -l proc
mount -t proc proc proc
# Settings belong to the machine that this one runs on.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs sysfs sys
# As the outside has them, to be looked at.
mount --rbind /sys/fs/cgroup sys/fs/cgroup
findmnt --list --noheadings --output TARGET --submounts sys/fs/cgroup | while read -r target; do
  mount -o remount,bind,ro "$target"
done
# No overlay can be laid on an overlay.
for directory in containerd docker containers/storage; do
  rm -rf "var/lib/$directory"
  mkdir -p "var/lib/$directory"
  mount -t tmpfs -o mode=711,size=64m tmpfs "var/lib/$directory"
done
mount --make-rshared "$root"

# Other machines have their roots outside: as a slave this one takes nothing of them along when it leaves.
exec unshare --mount --propagation slave sh -euc '
  cd "$2"
  mkdir -p mnt
  pivot_root . mnt
  cd /
  umount -l /mnt
  # As systemd makes it.
  mount --make-rshared /
  # Nobody in here loads a module into the kernel.
  if [ -e /usr/bin/kmod ]; then mount --bind /usr/bin/true /usr/bin/kmod; fi
  exec "$1" "$2"' sh "$pause" "$root"
