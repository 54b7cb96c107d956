# Process 1 of the room that the nodes stand in: a network of its own with a switch for all of them.
#
#   room.sh PAUSE ADDRESS room HOME
set -eu
pause=$1 address=$2 disks=$4/disks

mkdir -p "$disks"
# Nothing that a node writes to can be an overlay on an overlay, as the root of a container is.
if [ "$(stat --file-system --format=%T "$disks")" = overlayfs ]; then mount -t tmpfs tmpfs "$disks"; fi

hostname node-ca-trust
ip link set lo up
# With an address of its own, or it would take its lowest port's, and all would wait for it when a node has come or gone.
ip link add switch address 02:00:c6:12:00:01 type bridge
# The switch only switches: what passes between two nodes is none of this network's firewall's business.
for setting in /proc/sys/net/bridge/bridge-nf-call-*; do
  if [ -e "$setting" ]; then echo 0 > "$setting"; fi
done
ip address add "$address" dev switch
ip link set switch up
shift 2
exec "$pause" "$@"
