// A cluster by kind: its nodes are containers of this machine's Docker. The same interface, for machines that have both.
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import type { Cluster, ClusterNode, CommandOptions, NodeName, Options, Provider } from './cluster.ts';
import { attempt, ownEnvironment, run, type Result } from './process.ts';

const name = 'node-ca-trust';
const directory = resolve(process.env['NODE_CA_TRUST_CLUSTER'] ?? '/var/tmp/node-ca-trust-kind');
const kubeconfig = join(directory, 'kubeconfig');
const containers: Readonly<Record<NodeName, string>> = { node1: `${name}-control-plane`, node2: `${name}-worker` };

/** The control plane's pods follow the files of this directory. */
const manifest = '/etc/kubernetes/manifests/kube-apiserver.yaml';
const aside = '/etc/kubernetes/kube-apiserver.yaml';

// One for each Docker, whoever made it: kind itself knows no owner.
export const kind: Provider = { up, running, down, keep: () => Promise.resolve(() => undefined) };

async function up(options: Options = {}): Promise<Cluster> {
  requireDefaults(options);
  await requireTools();
  if (await isRunning()) return cluster;
  await down();
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const config = join(import.meta.dirname, 'kind.yaml');
  const words = ['--name', name, '--config', config, '--kubeconfig', kubeconfig, '--wait=180s'];
  await tool('kind', ['create', 'cluster', ...words]);
  return cluster;
}

async function running(): Promise<Cluster | undefined> {
  await requireTools();
  return (await isRunning()) ? cluster : undefined;
}

async function down(): Promise<void> {
  await requireTools();
  await tool('kind', ['delete', 'cluster', '--name', name, '--kubeconfig', kubeconfig]);
  rmSync(directory, { recursive: true, force: true });
}

const cluster: Cluster = {
  kubeconfig,
  // kubectl and helm are the user's own.
  path: [],
  environment: { KUBECONFIG: kubeconfig },
  nodes: [clusterNode('node1'), clusterNode('node2')],
  node: clusterNode,
  kubectl: (args, options = {}) => command('kubectl', ['--kubeconfig', kubeconfig, ...args], options),
  async outside() {
    const [, gateway = ''] = /^default via (\S+)/m.exec(await order('node1', 'ip', 'route')) ?? [];
    return gateway;
  },
  async importImage(archive) {
    await tool('kind', ['load', 'image-archive', archive, '--name', name]);
  },
  async stopApiServer() {
    await order('node1', 'mv', manifest, aside);
    await until('the API server ends', async () => !(await isServing()));
  },
  async startApiServer() {
    await order('node1', 'mv', aside, manifest);
    await until('the API server answers', isServing);
  },
  down,
  [Symbol.asyncDispose]: down,
};

function clusterNode(node: NodeName): ClusterNode {
  const container = containers[node];
  const systemctl = async (verb: string): Promise<void> => {
    await order(node, 'systemctl', verb, 'kubelet');
  };
  return {
    name: container,
    shell: `docker exec ${container}`,
    exec: (program, args = [], options = {}) => command('docker', inside(node, program, args), options),
    async reboot() {
      await tool('docker', ['restart', '-t', '0', container]);
      await until(`${container} is up`, async () => {
        const { code } = await attempt('docker', inside(node, 'systemctl', ['is-active', '--quiet', 'kubelet']), {
          env,
        });
        return code === 0;
      });
    },
    stopKubelet: () => systemctl('stop'),
    startKubelet: () => systemctl('start'),
    restartKubelet: () => systemctl('restart'),
    async importImage(archive) {
      await tool('kind', ['load', 'image-archive', archive, '--name', name, '--nodes', container]);
    },
  };
}

/** Where Docker and kind are, and how they reach the daemon, is the user's own to say. */
const env = ownEnvironment();

function inside(node: NodeName, program: string, args: readonly string[]): string[] {
  const environment = Object.entries(cleanEnvironment).map(([key, value]) => `${key}=${value}`);
  return ['exec', '--interactive', containers[node], 'env', '-i', ...environment, program, ...args];
}

function order(node: NodeName, program: string, ...args: readonly string[]): Promise<string> {
  return tool('docker', inside(node, program, args));
}

function tool(program: string, args: readonly string[]): Promise<string> {
  return run(program, args, { env });
}

function command(
  program: string,
  args: readonly string[],
  { input = '', timeout = 60_000 }: CommandOptions,
): Promise<Result> {
  return attempt(program, args, { env, input, timeout });
}

async function requireTools(): Promise<void> {
  for (const program of ['docker', 'kind', 'kubectl']) {
    const found = await attempt('sh', ['-c', 'command -v "$1"', 'sh', program], { env });
    if (found.code !== 0) throw new Error(`CLUSTER=kind needs ${program} on PATH: install it, or unset CLUSTER`);
  }
  await requireEngine();
}

async function requireEngine(): Promise<void> {
  const { code } = await attempt('docker', ['version'], { env });
  if (code !== 0) throw new Error('CLUSTER=kind needs a Docker engine, and none answers: start it, or unset CLUSTER');
}

function requireDefaults({ nodes = {} }: Options): void {
  if (Object.keys(nodes).length === 0) return;
  throw new Error('CLUSTER=kind makes its nodes as kind.yaml says: it takes no options of a node; unset CLUSTER');
}

async function isRunning(): Promise<boolean> {
  const clusters = (await tool('kind', ['get', 'clusters'])).split('\n');
  return clusters.includes(name) && existsSync(kubeconfig) && isServing();
}

async function isServing(): Promise<boolean> {
  return (await cluster.kubectl(['get', '--raw', '/readyz', '--request-timeout=5s'])).code === 0;
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  for (let attempts = 0; attempts < 240; attempts += 1) {
    if (await check()) return;
    await sleep(500);
  }
  throw new Error(`not within two minutes: ${what}`);
}
