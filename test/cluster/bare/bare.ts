// A cluster in this machine's own namespaces, from plain programs: no Docker, no registry, no systemd. Only root can
// make one.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { binary, binaryDirectories, ensureBinaries, kubernetesVersion } from '../binaries.ts';
import { nodeNames, type Cluster, type CommandOptions, type Options, type Provider } from '../cluster.ts';
import { writePauseImage } from '../pause-image.ts';
import { attempt, type Result } from '../process.ts';
import { removeControlGroups } from './control-groups.ts';
import { startApiServer, startControlPlane, stopApiServer } from './control-plane.ts';
import { closeDoor } from './door.ts';
import { home, kubeconfig, network, pauseArchive, pauseImage, room } from './layout.ts';
import { alone, forgetTheDead, keep } from './lock.ts';
import { requireMachine } from './machine.ts';
import { clusterNode, installNode, startNode } from './node.ts';
import { makePki } from './pki.ts';
import { otherHome, processOne } from './process-one.ts';
import { buildRoom, endRoom } from './room.ts';

/** Written last: a cluster without it was never finished. */
const finished = join(home, 'finished.json');

export const bare: Provider = { up, running, down, keep: keepPlace };

async function up(options: Options = {}): Promise<Cluster> {
  await requireMachine();
  await ensureBinaries();
  return alone(async () => {
    if (isRunning() && readFileSync(finished, 'utf8') === descriptionOf(options)) return cluster;
    await end();
    forgetTheDead();
    await start(options).catch(giveUp);
    writeFileSync(finished, descriptionOf(options));
    return cluster;
  });
}

function running(): Promise<Cluster | undefined> {
  return Promise.resolve(isRunning() ? cluster : undefined);
}

function down(): Promise<void> {
  return alone(end);
}

async function keepPlace(): Promise<() => void> {
  return Promise.resolve(keep(isRunning()));
}

const cluster: Cluster = {
  kubeconfig,
  path: binaryDirectories(),
  environment: { KUBECONFIG: kubeconfig, KUBECACHEDIR: join(home, 'kubectl'), HELM_CACHE_HOME: join(home, 'helm') },
  nodes: [clusterNode('node1'), clusterNode('node2')],
  node: clusterNode,
  outside: () => Promise.resolve(network.machine),
  kubectl,
  async importImage(archive) {
    await Promise.all(cluster.nodes.map((node) => node.importImage(archive)));
  },
  stopApiServer,
  startApiServer,
  down,
  [Symbol.asyncDispose]: down,
};

function isRunning(): boolean {
  return existsSync(finished) && processOne(room) !== undefined;
}

async function start(options: Options): Promise<void> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  await together([makePki(), writePauseImage(pauseArchive, pauseImage), buildRoom()]);
  const install = nodeNames.map((node) => installNode(node, options.nodes?.[node] ?? {}));
  await together([startControlPlane(), ...install]);
  await together(nodeNames.map(startNode));
  await untilReady(options);
}

/** Throws when all have ended: nothing goes on building while what was built is taken down. */
async function together(actions: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(actions);
  await Promise.all(actions);
}

function descriptionOf(options: Options): string {
  return JSON.stringify({ version: kubernetesVersion(), options });
}

/** Of a start that failed the logs stay, and nothing else that anybody would notice. */
async function giveUp(cause: unknown): Promise<never> {
  await endRoom();
  await removeControlGroups();
  nodeNames.forEach(closeDoor);
  const message = cause instanceof Error ? cause.message : String(cause);
  throw new Error(`${message}\nMore is in ${home}/log, until the next start.`, { cause });
}

/** A node without a network plugin never gets ready: it is waited for until it is there. */
async function untilReady(options: Options): Promise<void> {
  await Promise.all(
    nodeNames.map(async (node) => {
      await must('wait', '--for=create', `node/${node}`, '--timeout=120s');
      if (options.nodes?.[node]?.cni === false) return;
      await must('wait', '--for=condition=Ready', `node/${node}`, '--timeout=120s');
    }),
  );
  // Kubeadm and kind name it so; a kubelet may not do it.
  await must('label', 'node/node1', 'node-role.kubernetes.io/control-plane=');
  // Without it no pod is admitted to the namespace.
  await must('wait', '--for=create', 'serviceaccount/default', '--timeout=120s');
}

async function end(): Promise<void> {
  const other = otherHome();
  if (other !== undefined) throw new Error(`the cluster in ${other} has the same addresses: choose another directory`);
  await endRoom();
  await removeControlGroups();
  rmSync(home, { recursive: true, force: true });
}

function kubectl(args: readonly string[], { input = '', timeout = 60_000 }: CommandOptions = {}): Promise<Result> {
  return attempt(binary('kubectl'), args, { input, timeout, env: cluster.environment });
}

async function must(...args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await kubectl(args, { timeout: 150_000 });
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')} failed (${code}):\n${stdout}${stderr}`);
}
