// A node: a root and namespaces of its own in the room, with containerd, a kubelet and kube-proxy.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { binary } from '../binaries.ts';
import { nodeNames, type ClusterNode, type NodeName, type NodeOptions } from '../cluster.ts';
import { run, shell } from '../process.ts';
import { divide, makeControlGroups, membersOf } from './control-groups.ts';
import { closeDoor, enter, openDoor } from './door.ts';
import { doorOf, home, logOf, network, nodePrograms, pauseArchive, room } from './layout.ts';
import { kubeletConfig, kubeletKubeconfig, nodeFiles, proxyConfig } from './node-files.ts';
import { endPlace, processOne, untilBuilt } from './process-one.ts';
import { startService, stopService, untilServed } from './services.ts';

/** Builds a node with an empty disk. Its kubelet waits: there may be no API server yet. */
export async function installNode(node: NodeName, options: NodeOptions): Promise<void> {
  await build(node);
  for (const [path, text] of Object.entries(nodeFiles(node, options))) writeFile(node, path, text);
  await startContainerd(node);
  await importImage(node, pauseArchive);
}

/** Returns as soon as they run; they are some seconds away from being ready. */
export async function startNode(node: NodeName): Promise<void> {
  await Promise.all([startKubelet(node), startProxy(node)]);
}

/** What the suite may do with a node. */
export function clusterNode(node: NodeName): ClusterNode {
  const stopKubelet = (): Promise<void> => stopService(node, 'kubelet');
  const startAndWait = async (): Promise<void> => {
    await startKubelet(node);
    await untilServed(node, 'kubelet', () => isHealthy(node));
  };
  return {
    name: node,
    shell: doorOf(node),
    exec: (command, args = [], options = {}) => enter(node, command, args, options),
    async reboot() {
      closeDoor(node);
      await endPlace(node);
      await build(node);
      await startContainerd(node);
      await Promise.all([startAndWait(), startProxy(node)]);
    },
    stopKubelet,
    startKubelet: startAndWait,
    async restartKubelet() {
      await stopKubelet();
      await startAndWait();
    },
    importImage: (archive) => importImage(node, archive),
  };
}

/** From the dark to a node with a network, in which nothing runs. */
async function build(node: NodeName): Promise<void> {
  await makeControlGroups(node);
  const log = logOf(node, 'init');
  const output = openSync(log, 'a');
  const own = ['--mount', '--pid', '--net', '--ipc', '--uts', '--cgroup', '--fork', '--kill-child'];
  const programs = nodePrograms.map(binary);
  const script = join(import.meta.dirname, 'node.sh');
  const words = ['setsid', '--fork', 'unshare', ...own, 'sh', script, ...programs, node, home];
  // Process 1 is in its control groups before it makes them the root of its namespace.
  const joining = membersOf(node, { divided: false }).map((file) => `echo $$ > '${file}'`);
  const joined = [...joining, 'exec "$@"'].join('\n');
  const child = spawn('sh', ['-euc', joined, 'sh', doorOf(room), ...words], { stdio: ['ignore', output, output] });
  closeSync(output);
  await once(child, 'exit');
  const pid = await untilBuilt(node, log);
  divide(node);
  await plugIn(node, pid);
  openDoor(node);
}

/** A cable from the node to the switch, and the ways to the other nodes' pods and to Services. */
async function plugIn(node: NodeName, pid: number): Promise<void> {
  const script = `nsenter --target "$1" --net sh -euc '
      if ip link show "$2" > /dev/null 2>&1; then ip link delete "$2"; fi
      ip link add "$2" type veth peer name eth0 address "$3" netns "$1"
      ip link set "$2" master switch up' sh "$2" "$3" "$6"
    nsenter --target "$2" --net sh -euc '
      ip address add "$1" dev eth0
      ip link set eth0 up
      ip route add "$2" dev eth0' sh "$4" "$5"`;
  const address = `${network.nodes[node]}/${network.bits}`;
  // kube-proxy gives a packet to a Service its real address only once the packet is on its way somewhere.
  await shell(script, processOne(room) ?? '', pid, node, address, network.services, network.hardware[node]);
  for (const other of nodeNames.filter((name) => name !== node)) {
    const route = [network.podsOf[other], 'via', network.nodes[other]];
    await shell('pid=$1; shift; nsenter --target "$pid" --net ip route add "$@"', pid, ...route);
  }
}

/** Through the eyes of process 1: the node's own root is no mount of this namespace. */
function writeFile(node: NodeName, path: string, text: string): void {
  const file = `/proc/${processOne(node) ?? 0}/root${path}`;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text, { mode: path.endsWith('.key') || text.includes('client-key-data') ? 0o600 : 0o644 });
}

async function startContainerd(node: NodeName): Promise<void> {
  await startService(node, 'containerd', ['containerd']);
  await untilServed(node, 'containerd', async () => (await enter(node, 'ctr', ['version'])).code === 0);
}

function startKubelet(node: NodeName): Promise<void> {
  return startService(node, 'kubelet', [
    'kubelet',
    `--config=${kubeletConfig}`,
    `--kubeconfig=${kubeletKubeconfig}`,
    `--hostname-override=${node}`,
    `--node-ip=${network.nodes[node]}`,
  ]);
}

function startProxy(node: NodeName): Promise<void> {
  return startService(node, 'kube-proxy', ['kube-proxy', `--config=${proxyConfig}`]);
}

async function isHealthy(node: NodeName): Promise<boolean> {
  const args = ['--silent', '--fail', '--max-time', '5', 'http://127.0.0.1:10248/healthz'];
  return (await enter(node, 'curl', args)).code === 0;
}

async function importImage(node: NodeName, archive: string): Promise<void> {
  await run(doorOf(node), ['ctr', '--namespace', 'k8s.io', 'images', 'import', '-'], { inputFile: archive });
}
