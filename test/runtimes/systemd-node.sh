# Process 1 of a node with systemd, from power on: it builds the node's root, makes that its own and becomes systemd.
#
#   systemd-node.sh BASE DEBIAN NODE PROJECT
#
# Runs in namespaces of its own for everything, and in a control group that is its root of them. Nothing that is mounted
# here is seen outside. The network has no address, not even a loopback one: the bus and containerd are sockets.
set -eu
base=$1 debian=$2 node=$3 project=$4

mount -t tmpfs -o mode=755 tmpfs "$base"
cd "$base"
mkdir upper work root
mount -t overlay -o "lowerdir=$debian,upperdir=$base/upper,workdir=$base/work" overlay root
cd root

# Settings, modules and devices are those of the machine that this node runs on.
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
for unit in systemd-sysctl.service systemd-modules-load.service kmod-static-nodes.service sys-kernel-debug.mount \
  sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount; do
  ln -s /dev/null "etc/systemd/system/$unit"
done
# systemd takes the one hierarchy for what a machine of today has, whatever is beside it out there.
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${device%:*}" c 1 "${device#*:}"; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
# containerd lays overlays here, and none can be laid on an overlay.
mkdir var/lib/containerd
mount -t tmpfs -o mode=711 tmpfs var/lib/containerd

# What the agent is made of, for its container to mount: its root is the node's, without what is mounted in it.
mkdir opt/image opt/project host
touch opt/node
mount --bind . opt/image
mount --bind "$node" opt/node
mount --bind "$project" opt/project
for own in node project; do mount -o remount,bind,ro "opt/$own"; done

pivot_root . mnt
cd /
umount -l /mnt
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal
