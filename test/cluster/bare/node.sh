# Process 1 of a node, from power on: it builds the node's root and makes that its own.
#
#   node.sh PROGRAM... NODE HOME
#
# The root is the machine's, seen through an overlay that takes every change; the node's disk holds the changes and
# outlives the node. Runs in namespaces of its own for everything, below those of the room.
set -eu
programs=
while [ $# -gt 2 ]; do
  programs="$programs $1"
  shift
done
node=$1
disk=$2/disks/$1

# What a new machine of this kind would not have, or have empty.
empty='home media mnt opt proc root run srv sys tmp dev var/log var/tmp var/lib/cni var/lib/containerd
  var/lib/kubelet etc/cni etc/containerd etc/kubernetes'
absent='var/lib/docker var/lib/containers var/lib/etcd'
usual=' bin boot etc lib lib32 lib64 libx32 sbin usr var '

install_disk() {
  mkdir -p "$disk/root" "$disk/work" "$disk/containerd" "$disk/kubelet" "$disk/new/etc" "$disk/new/var/lib"
  for path in /* /.[!.]*; do
    # A character device 0:0 in the upper layer hides what the lower one has (overlayfs' "whiteout").
    case $usual in *" ${path#/} "*) ;; *) mknod "$disk/new$path" c 0 0 ;; esac
  done
  for path in $empty $absent; do
    [ -e "$disk/new/$path" ] || mknod "$disk/new/$path" c 0 0
  done
  mv "$disk/new" "$disk/upper"
}

mount_root() {
  mount -t overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" overlay "$disk/root"
  cd "$disk/root"
  for path in $empty; do
    [ -d "$path" ] || mkdir "$path"
  done
  chmod 700 root
  chmod 1777 var/tmp
  # On an overlay neither container images nor volumes could be overlays.
  mount --bind "$disk/containerd" var/lib/containerd
  mount --bind "$disk/kubelet" var/lib/kubelet
  for program in $programs; do
    : >> "usr/local/bin/${program##*/}"
    mount --bind "$program" "usr/local/bin/${program##*/}"
    mount -o remount,bind,ro "usr/local/bin/${program##*/}"
  done
  mount -t tmpfs -o mode=755 tmpfs run
  mkdir run/lock
  mount -t tmpfs -o mode=1777 tmpfs tmp
}

mount_devices() {
  mount -t tmpfs -o mode=755 tmpfs dev
  # The kubelet reads in kmsg of processes that ran out of memory, and does not start without it.
  while read -r name mode major minor; do
    mknod -m "$mode" "dev/$name" c "$major" "$minor"
  done <<EOD
null 666 1 3
zero 666 1 5
full 666 1 7
random 666 1 8
urandom 666 1 9
kmsg 600 1 11
tty 666 5 0
EOD
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  for stream in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${stream%:*}" "dev/${stream#*:}"
  done
  mkdir dev/pts dev/shm dev/mqueue
  mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
  mount -t tmpfs -o mode=1777 tmpfs dev/shm
  mount -t mqueue mqueue dev/mqueue
}

# A node may set what belongs to its network. The rest of /proc/sys is the machine's: read-only here, and what the
# kubelet insists on it finds to be so already. By the boot's identity it sees that the node was down.
mount_settings() {
  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
  mount --bind proc/sys/net proc/sys/net
  mount -o remount,bind,rw proc/sys/net
  mkdir -p "$disk/settings"
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000 \
    "kernel/random/boot_id=$(cat proc/sys/kernel/random/uuid)"; do
    file=$disk/settings/$(basename "${setting%=*}")
    echo "${setting#*=}" > "$file"
    mount --bind "$file" "proc/sys/${setting%=*}"
  done
  echo 1 > proc/sys/net/ipv4/ip_forward
}

# A control group is the node's root of them all, since the namespace was made in it.
mount_control_groups() {
  mount -t sysfs sysfs sys
  if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup; fi
  findmnt --raw --noheadings --types cgroup,cgroup2 --output FSTYPE,TARGET,FS-OPTIONS | while read -r type target options; do
    mkdir -p "./$target"
    # Only the machine's own root of a hierarchy may name an agent.
    mount -t "$type" -o "${options%%,release_agent=*}" "$type" "./$target"
  done
  # cpu -> cpu,cpuacct
  find /sys/fs/cgroup -maxdepth 1 -type l -exec cp -d '{}' sys/fs/cgroup/ ';'
}

hostname "$node"
ip link set lo up
[ -d "$disk/upper" ] || install_disk
mount_root
mount_devices
mount_settings
mount_control_groups
pivot_root . mnt
cd /
umount -l /mnt
# As on a machine with systemd. From here on, so that no mount above reached a mount of the machine.
mount --make-rshared /
exec pause "$@"
