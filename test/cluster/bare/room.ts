// The room that the nodes stand in: its namespaces hold everything, so that the end of one process is the end of all.
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { binary } from '../binaries.ts';
import { cleanEnvironment } from '../../sandbox/harness/environment.ts';
import { nodeNames } from '../cluster.ts';
import { shell } from '../process.ts';
import { closeDoor, openDoor } from './door.ts';
import { home, logOf, network, room } from './layout.ts';
import { endPlace, processOne, untilBuilt } from './process-one.ts';

export async function buildRoom(): Promise<void> {
  const log = logOf(room, 'init');
  mkdirSync(join(home, 'log'), { recursive: true });
  const output = openSync(log, 'a');
  const address = `${network.apiServer}/${network.bits}`;
  const script = [join(import.meta.dirname, 'room.sh'), binary('pause'), address, room, home];
  // What the machine unmounts is let go in here too; nothing mounted in here reaches the machine.
  const own = ['--mount', '--propagation=slave', '--net', '--pid', '--mount-proc', '--ipc', '--uts', '--fork'];
  spawn('unshare', [...own, '--kill-child', 'sh', ...script], {
    stdio: ['ignore', output, output],
    env: cleanEnvironment,
    detached: true,
  }).unref();
  closeSync(output);
  await untilBuilt(room, log);
  await layCable();
  openDoor(room);
}

/** Ends the room with everything in it. */
export async function endRoom(): Promise<void> {
  await endPlace(room);
  closeDoor(room);
  // It goes with the room's network, but that may take the kernel a while.
  await shell('if ip link show "$1" > /dev/null 2>&1; then ip link delete "$1" || true; fi', network.cable);
}

/** From the machine to the switch, so that kubectl need not be in the room. */
async function layCable(): Promise<void> {
  const pid = processOne(room);
  const script = `ip link add "$1" type veth peer name cable netns "$2"
    nsenter --target "$2" --net ip link set cable master switch up
    ip address add "$3" dev "$1"
    ip link set "$1" up`;
  await shell(script, network.cable, pid ?? '', `${network.machine}/${network.bits}`);
  // Each node's pods are behind that node.
  for (const node of nodeNames) {
    const route = [network.podsOf[node], 'via', network.nodes[node]];
    await shell('pid=$1; shift; nsenter --target "$pid" --net ip route add "$@"', pid ?? '', ...route);
  }
}
