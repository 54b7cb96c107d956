// The cluster as its tests use it: what an admin types, what a pod and a node's own curl say of it.
import { expect } from 'vitest';
import { type Cert, makeCert, makeServerCert } from '../sandbox/harness/certs.ts';
import { project } from '../image/machine.ts';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import type { Cluster, ClusterNode } from './cluster.ts';
import { attempt } from './process.ts';
import { provider } from './provider.ts';

export const namespace = 'node-ca-trust';
export const chart = `${project}/deploy/chart`;
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

/** A CA, and what tells whether a node trusts it: a server on the node itself, signed by it. */
export interface Authority {
  readonly ca: Cert;
  readonly server: Cert;
}

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

export async function makeAuthority(): Promise<Authority> {
  const ca = await makeCert();
  return { ca, server: await makeServerCert(ca, [serverName]) };
}

const serverName = 'registry.example';
const judgeDirectory = '/var/tmp/judge';

const javaStore = '/etc/ssl/certs/java/cacerts';

/**
 * What a node's trust store is made of, one line for each path: kind, mode, owner, link target, SHA-256. Of Java's key
 * store how many entries it has, and the name, kind and fingerprint of each: its bytes are those of a hash table, whose
 * chains turn round whenever it is written, and hold the time at which each entry came.
 */
const listing = `
set -- /etc/ssl /etc/ca-certificates /etc/ca-certificates.conf /usr/local/share /usr/share/ca-certificates /var/lib/node-ca-trust
find "$@" -printf '%y %m %U:%G %p %l\\n' 2>/dev/null | sort
find "$@" -type f ! -path ${javaStore} -exec sha256sum {} + 2>/dev/null | sort -k 2
if [ -e ${javaStore} ]; then
  entries=$(keytool -list -keystore ${javaStore} -storepass changeit 2>/dev/null |
    sed -n '/ contains /p; /Entry, *$/{N;s/, [^:]*, \\([A-Za-z]*Entry\\), *\\n.*: / \\1 /;p}' | sort)
  [ -n "$entries" ] && echo "$entries" || sha256sum ${javaStore}
fi
`;

/** A server that shows a certificate on the node's loopback until it is ended; its process outlives the command. */
const serve = `
mkdir -p "$1/$2" && cat > "$1/$2/server.pem"
setsid openssl s_server -quiet -www -accept "127.0.0.1:$2" -cert "$1/$2/server.pem" -key "$1/$2/server.pem" \\
  > /dev/null 2>&1 < /dev/null & echo $! > "$1/$2/pid"
for _ in $(seq 100); do
  curl --silent --output /dev/null --insecure --max-time 1 "https://127.0.0.1:$2/" && exit 0
  sleep 0.1
done
exit 1
`;

/** Asks the server at the port named in a file, on and on until a file says stop; prints each failure. */
const ask = `
asked=0
while [ ! -e "$1/stop" ]; do
  read -r port < "$1/port"
  curl --silent --show-error --output /dev/null --max-time 10 --resolve "$2:$port:127.0.0.1" "https://$2:$port/" 2>&1 ||
    echo "failed: port $port at $(date +%T.%N)"
  asked=$((asked + 1))
done
echo "asked $asked"
`;

/** The answer of a command that has to succeed. Throws with what it said. */
export async function onNode(
  node: ClusterNode,
  script: string,
  ...words: readonly (string | number)[]
): Promise<string> {
  const { code, stdout, stderr } = await node.exec('sh', ['-c', script, 'sh', ...words.map(String)], {
    timeout: 300_000,
  });
  if (code !== 0) throw new Error(`on ${node.name} (${code}): ${script}\n${stdout}${stderr}`);
  return stdout;
}

let port = 7000;

/** Starts a server of the authority on the node, and gives its port. */
export async function serveOn(node: ClusterNode, { server }: Authority): Promise<number> {
  port += 1;
  const words = ['-c', serve, 'sh', judgeDirectory, String(port)];
  const { code, stderr } = await node.exec('sh', words, { input: `${server.pem}${server.key}`, timeout: 30_000 });
  if (code !== 0) throw new Error(`no server on ${node.name}: ${stderr}`);
  return port;
}

/** Ends every server of the tests on the node. */
export async function endServers(node: ClusterNode): Promise<void> {
  await onNode(
    node,
    'for file in "$1"/*/pid; do [ -e "$file" ] && kill "$(cat "$file")"; done; rm -rf "$1"',
    judgeDirectory,
  );
}

/** Whether the node's curl, with its default settings, trusts who answers on that port. */
export async function trusts(node: ClusterNode, at: number): Promise<boolean> {
  const args = ['--silent', '--show-error', '--output', '/dev/null', '--max-time', '10'];
  const url = ['--resolve', `${serverName}:${at}:127.0.0.1`, `https://${serverName}:${at}/`];
  const { code, stderr } = await node.exec('curl', [...args, ...url]);
  if (code !== 0 && code !== 60) throw new Error(`curl on ${node.name} gave no verdict (${code}): ${stderr}`);
  return code === 0;
}

export interface Asking {
  /** From now on the server at this port is asked. */
  turnTo(port: number): Promise<void>;
  /** Ends it: how often was asked, and what failed. */
  end(): Promise<{ readonly asked: number; readonly failures: string }>;
}

/** Lets the node's curl ask a server on and on. */
export async function keepAsking(node: ClusterNode, first: number): Promise<Asking> {
  const turnTo = async (at: number): Promise<void> => {
    await onNode(
      node,
      'mkdir -p "$1"; rm -f "$1/stop"; echo "$2" > "$1/.port"; mv "$1/.port" "$1/port"',
      judgeDirectory,
      at,
    );
  };
  await turnTo(first);
  const asking = node.exec('sh', ['-c', ask, 'sh', judgeDirectory, serverName], { timeout: 600_000 });
  return {
    turnTo,
    async end() {
      await onNode(node, 'touch "$1/stop"', judgeDirectory);
      const { stdout } = await asking;
      const asked = /^asked (\d+)\n$/m.exec(stdout)?.[1];
      if (asked === undefined) throw new Error(`the loop on ${node.name} did not end by itself: ${stdout}`);
      return { asked: Number(asked), failures: stdout.replace(/^asked \d+\n/m, '') };
    },
  };
}

export function storeOf(node: ClusterNode): Promise<string> {
  return onNode(node, `${listing}true`);
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
  /** What an admin waits for after an install or an upgrade. */
  rollout(agent?: AgentNames): Promise<void>;
  /** The pod of an agent on a node, or nothing. */
  pod(node: ClusterNode, agent?: AgentNames): Promise<Pod | undefined>;
  /** Waits until no pod of the agent is left on any node. */
  gone(agent?: AgentNames): Promise<void>;
  logs(node: ClusterNode, agent?: AgentNames): Promise<string>;
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

/** Opens the cluster that the suite's set-up started. */
export async function openScene(): Promise<Scene> {
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
  const scene: Scene = {
    cluster,
    node,
    other,
    kubectl: (...args) => kubectl(args),
    helm: async (...args) => {
      const PATH = [...cluster.path, cleanEnvironment['PATH']].join(':');
      const { code, stdout, stderr } = await attempt('helm', args, { env: { PATH, KUBECONFIG: cluster.kubeconfig } });
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
    rollout: async (agent = defaultAgent) => {
      await kubectl(['-n', agent.namespace, 'rollout', 'status', `daemonset/${agent.daemonSet}`, '--timeout=180s']);
    },
    pod: async ({ name }, agent = defaultAgent) => {
      const args = ['-n', agent.namespace, '-l', selector(agent), '--field-selector', `spec.nodeName=${name}`];
      const { items } = JSON.parse(await kubectl(['get', 'pods', ...args, '-o', 'json'])) as { items: readonly Pod[] };
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
      let nudges = 0;
      const nudge = async (): Promise<boolean> => {
        if (await probe()) return true;
        const pod = await scene.pod(on, agent);
        nudges += 1;
        if (pod !== undefined && nudges % 5 === 1) {
          const at = `example.com/nudge=${Date.now()}`;
          await cluster.kubectl(['-n', agent.namespace, 'annotate', 'pod', pod.metadata.name, '--overwrite', at]);
        }
        return false;
      };
      await eventually(what, nudge, { why: () => scene.logs(on, agent) });
    },
    install: async (files, nodes = [node]) => {
      await scene.putSecret(files);
      for (const one of nodes) await scene.label(one);
      await scene.rollout();
    },
    reset: async () => {
      await kubectl(['apply', '-k', `${project}/deploy/base`]);
      for (const one of cluster.nodes) await scene.unlabel(one);
      await scene.gone();
      await kubectl(['-n', namespace, 'delete', 'secret', defaultAgent.secret, '--ignore-not-found']);
    },
  };
  return scene;
}

/** Says that a loop of curl has asked, and never failed. */
export async function expectNoFailure(asking: Asking): Promise<void> {
  const { asked, failures } = await asking.end();
  expect(failures).toBe('');
  expect(asked).toBeGreaterThan(2);
}
