// The cluster as its tests use it: what an admin types, and what the agent answers.
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { project } from '../image/machine.ts';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import type { Cluster, ClusterNode } from './cluster.ts';
import { base } from './installed.ts';
import { attempt } from './process.ts';
import { provider } from './provider.ts';
import { endServers } from './witness.ts';

export const namespace = 'node-ca-trust';
export const chart = join(project, 'deploy/chart');
export const enabledLabel = 'node-ca-trust.io/enabled';

/** Files of a Secret: each key with what it holds. */
export type Files = Readonly<Record<string, string>>;

interface Pod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly status: {
    readonly phase: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly lastTransitionTime: string;
    }[];
    readonly containerStatuses?: readonly { readonly restartCount: number; readonly ready: boolean }[];
  };
}

/** One agent: which DaemonSet, where its Secret is, where it answers. */
export interface AgentNames {
  readonly namespace: string;
  readonly daemonSet: string;
  readonly instance: string;
  readonly secret: string;
  readonly label: string;
  readonly port: number;
}

export const defaultAgent: AgentNames = {
  namespace,
  daemonSet: 'node-ca-trust',
  instance: 'default',
  secret: 'node-ca-trust',
  label: enabledLabel,
  port: 9641,
};

/** A clock that a person reads: seconds with one decimal. */
export function secondsSince(start: number): number {
  return Math.round((performance.now() - start) / 100) / 10;
}

const pollMs = 200;

/**
 * Waits until `probe` says true. Throws with what was waited for, and with what `why` tells, when that takes too long.
 */
export async function eventually(
  what: string,
  probe: () => Promise<boolean>,
  { seconds = 60, why = () => Promise.resolve('') }: { seconds?: number; why?: () => Promise<string> } = {},
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await probe())) {
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}\n${await why()}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Waits until what a command prints has the line. */
export function shows(line: RegExp, print: () => Promise<string>): Promise<void> {
  return eventually(String(line), async () => line.test(await print()), { why: print });
}

export interface Scene {
  readonly cluster: Cluster;
  /** The node that the tests label, and the one that they leave alone. */
  readonly node: ClusterNode;
  readonly other: ClusterNode;
  /** What the command printed. Throws with what it said when it fails. */
  kubectl(...args: readonly string[]): Promise<string>;
  /** The same of helm. */
  helm(...args: readonly string[]): Promise<string>;
  /** A namespace for an agent, as an admin of a cluster that enforces Pod Security has to make it. */
  makeNamespace(agent: AgentNames): Promise<void>;
  /** Makes the objects, or brings them to what they hold now. */
  apply(...resources: readonly unknown[]): Promise<void>;
  /** Makes a Secret, or changes one to hold these files and no others. */
  putSecret(files: Files, agent?: AgentNames): Promise<void>;
  label(node: ClusterNode, key?: string, value?: string): Promise<void>;
  unlabel(node: ClusterNode, key?: string): Promise<void>;
  /** What an admin's script waits for after an install on so many nodes, or an upgrade. */
  rollout(agent?: AgentNames, nodes?: number): Promise<void>;
  /** The pod of an agent on a node, or nothing. */
  pod(node: ClusterNode, agent?: AgentNames): Promise<Pod | undefined>;
  /** Waits until no pod of the agent is left on any node. */
  gone(agent?: AgentNames): Promise<void>;
  logs(node: ClusterNode, agent?: AgentNames): Promise<string>;
  /** What an admin is shown of the pods in the namespace of `deploy/base`, with their events. */
  readonly describePods: () => Promise<string>;
  /** What the agent on the node answers to its readiness probe. */
  readiness(node: ClusterNode, agent?: AgentNames): Promise<{ readonly ready: boolean; readonly text: string }>;
  /**
   * Waits like `eventually`, and has the kubelet bring a changed Secret to the pod now, not within its 90 s: it looks at
   * every change of a pod's annotations.
   */
  nudged(what: string, node: ClusterNode, probe: () => Promise<boolean>, agent?: AgentNames): Promise<void>;
  /** From the Secret to the labelled node's trust, as an admin installs it. */
  install(files: Files, nodes?: readonly ClusterNode[]): Promise<void>;
  /** Back to where every test begins: the manifests applied, no label, no pod, no Secret. */
  reset(): Promise<void>;
}

/**
 * The cluster for a file of tests: each begins where `begin` leaves all, and with it end the servers that it started.
 */
export async function useScene(begin = (scene: Scene): Promise<void> => scene.reset()): Promise<Scene> {
  const scene = await openScene();
  beforeEach(() => begin(scene));
  afterEach(async () => {
    await Promise.all(scene.cluster.nodes.map(endServers));
  });
  return scene;
}

/** Opens the cluster that the suite's set-up started. */
async function openScene(): Promise<Scene> {
  const cluster = await provider().running();
  if (cluster === undefined) throw new Error('no cluster runs: start these tests by `npm run test:cluster`');
  return sceneOf(cluster);
}

function sceneOf(cluster: Cluster): Scene {
  const [other, node] = cluster.nodes;
  const kubectl = async (args: readonly string[], input = ''): Promise<string> => {
    const { code, stdout, stderr } = await cluster.kubectl(args, { input, timeout: 240_000 });
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} (${code}):\n${stdout}${stderr}`);
    return stdout;
  };
  const selector = ({ instance }: AgentNames): string =>
    `app.kubernetes.io/name=node-ca-trust,app.kubernetes.io/instance=${instance}`;
  const podsOn = ({ name }: ClusterNode, agent: AgentNames): readonly string[] => {
    return ['-n', agent.namespace, '-l', selector(agent), '--field-selector', `spec.nodeName=${name}`];
  };
  const scene: Scene = {
    cluster,
    node,
    other,
    kubectl: (...args) => kubectl(args),
    helm: async (...args) => {
      const PATH = [...cluster.path, cleanEnvironment['PATH']].join(':');
      const { code, stdout, stderr } = await attempt('helm', args, { env: { ...cluster.environment, PATH } });
      if (code !== 0) throw new Error(`helm ${args.join(' ')} (${code}):\n${stdout}${stderr}`);
      return stdout;
    },
    makeNamespace: async ({ namespace: name }) => {
      const labels = { 'pod-security.kubernetes.io/enforce': 'privileged' };
      await scene.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
    },
    apply: async (...resources) => {
      const list = { apiVersion: 'v1', kind: 'List', items: resources };
      await kubectl(['apply', '-f', '-'], JSON.stringify(list));
    },
    putSecret: async (files, agent = defaultAgent) => {
      const metadata = { name: agent.secret, namespace: agent.namespace };
      const named = ['secret', agent.secret, '-n', agent.namespace];
      const found = await kubectl(['get', ...named, '--ignore-not-found', '-o', 'name']);
      const secret = JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata, stringData: files });
      await kubectl([found === '' ? 'create' : 'replace', '-f', '-'], secret);
    },
    label: async ({ name }, key = enabledLabel, value = 'true') => {
      await kubectl(['label', 'node', name, '--overwrite', `${key}=${value}`]);
    },
    unlabel: async ({ name }, key = enabledLabel) => {
      await kubectl(['label', 'node', name, `${key}-`]);
    },
    rollout: async (agent = defaultAgent, nodes = 1) => {
      const daemonSet = ['-n', agent.namespace, `daemonset/${agent.daemonSet}`];
      // A label that it has not seen yet is nothing to wait for.
      await kubectl(['wait', ...daemonSet, `--for=jsonpath={.status.desiredNumberScheduled}=${nodes}`]);
      await kubectl(['rollout', 'status', ...daemonSet, '--timeout=180s']);
    },
    pod: async (on, agent = defaultAgent) => {
      const found = await kubectl(['get', 'pods', ...podsOn(on, agent), '-o', 'json']);
      const { items } = JSON.parse(found) as { items: readonly Pod[] };
      return items.find(({ metadata }) => metadata.deletionTimestamp === undefined);
    },
    gone: async (agent = defaultAgent) => {
      await kubectl(['-n', agent.namespace, 'wait', '--for=delete', 'pod', '-l', selector(agent), '--timeout=150s']);
    },
    logs: async (on, agent = defaultAgent) => {
      const pod = await scene.pod(on, agent);
      if (pod === undefined) return '';
      // A container that is being made has none yet.
      return (await cluster.kubectl(['-n', agent.namespace, 'logs', pod.metadata.name])).stdout;
    },
    describePods: () => kubectl(['-n', namespace, 'describe', 'pods', '-l', 'app.kubernetes.io/name=node-ca-trust']),
    readiness: async (on, agent = defaultAgent) => {
      const url = `http://127.0.0.1:${agent.port}/readyz`;
      const { code, stdout } = await on.exec('curl', [
        '--silent',
        '--max-time',
        '10',
        '--write-out',
        '%{http_code}',
        url,
      ]);
      return { ready: code === 0 && stdout.endsWith('200'), text: stdout };
    },
    nudged: async (what, on, probe, agent = defaultAgent) => {
      let tries = 0;
      const nudge = async (): Promise<boolean> => {
        if (await probe()) return true;
        tries += 1;
        const at = `example.com/nudge=${Date.now()}`;
        if (tries % 5 === 1) await cluster.kubectl(['annotate', 'pod', ...podsOn(on, agent), '--overwrite', at]);
        return false;
      };
      await eventually(what, nudge, { why: () => scene.logs(on, agent) });
    },
    install: async (files, nodes = [node]) => {
      await scene.putSecret(files);
      await kubectl(['label', 'node', ...nodes.map(({ name }) => name), '--overwrite', `${enabledLabel}=true`]);
      await scene.rollout(defaultAgent, nodes.length);
    },
    reset: async () => {
      await Promise.all([
        kubectl(['apply', '-k', base]),
        kubectl(['label', 'node', '--all', `${enabledLabel}-`]).then(() => scene.gone()),
      ]);
      await kubectl(['-n', namespace, 'delete', 'secret', defaultAgent.secret, '--ignore-not-found']);
    },
  };
  return scene;
}
