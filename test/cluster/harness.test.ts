// The harness judges everything else, so it is shown first to work: two nodes that are as real as the agent needs them,
// and a machine that is left as it was.
import { execa } from 'execa';
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import { home } from './bare/layout.ts';
import { recordFor } from './bare/lock.ts';
import type { Cluster, ClusterNode } from './cluster.ts';
import { differences, inhabitants, readMachine, type Machine } from './leftovers.ts';
import { provider } from './provider.ts';

const main = new URL('main.ts', import.meta.url).pathname;
let machine: Machine;
let cluster: Cluster;

let giveBack: () => void;

beforeAll(async () => {
  giveBack = await provider().keep();
  await provider().down();
  machine = await readMachine();
  cluster = await provider().up();
});

afterAll(async () => {
  await expectNothingLeft().finally(giveBack);
});

async function expectNothingLeft(): Promise<void> {
  const processes = inhabitants();
  await provider().down();
  expect(differences(machine, await readMachine())).toEqual([]);
  // A process that entered a place is ended by its end, but outlives it a little.
  await vi.waitFor(() => {
    expect(processes.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
  }, 20_000);
}

/** A shell in a pod on a node, with the rights of the agent's, and with the node's own programs. */
function pod(node: ClusterNode, name: string, hostNetwork: boolean): unknown {
  const programs = Object.entries({ usr: '/usr', lib: '/usr/lib', lib64: '/usr/lib64', bin: '/usr/bin' });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      nodeName: node.name,
      hostNetwork,
      dnsPolicy: 'Default',
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'shell',
          image: 'localhost/pause:1',
          command: ['/usr/bin/sleep', 'infinity'],
          securityContext: { privileged: true, readOnlyRootFilesystem: true, runAsUser: 0 },
          volumeMounts: [
            { name: 'host', mountPath: '/host', mountPropagation: 'HostToContainer' },
            ...programs.map(([volume]) => ({ name: volume, mountPath: `/${volume}` })),
          ],
        },
      ],
      volumes: [
        { name: 'host', hostPath: { path: '/' } },
        ...programs.map(([volume, path]) => ({ name: volume, hostPath: { path } })),
      ],
    },
  };
}

async function kubectl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await cluster.kubectl(args, { timeout: 150_000 });
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')} (${code}): ${stdout}${stderr}`);
  return stdout;
}

/** Runs a script in a pod. */
function inPod(name: string, script: string): Promise<string> {
  return kubectl('exec', name, '--', '/bin/sh', '-euc', script);
}

async function onNode(node: ClusterNode, script: string): Promise<string> {
  const { code, stdout, stderr } = await node.exec('sh', ['-euc', script]);
  if (code !== 0) throw new Error(`on ${node.name} (${code}): ${stdout}${stderr}`);
  return stdout;
}

/** Each node's pods: one in the pod network, one in the node's. */
const podsOf = (node: ClusterNode): [string, string] => [`${node.name}-pod`, `${node.name}-host`];

test('both nodes run pods', async () => {
  const pods = cluster.nodes.flatMap((node) => podsOf(node).map((name) => pod(node, name, name.endsWith('-host'))));
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: pods });
  expect(await cluster.kubectl(['apply', '-f', '-'], { input: list })).toMatchObject({ code: 0 });
  await kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=60s');
});

test("hostPath / is the node's own root, with all that is mounted in it", async () => {
  for (const node of cluster.nodes) {
    const [name] = podsOf(node);
    await inPod(name, `echo ${node.name} > /host/etc/made-by-a-pod`);
    expect(await inPod(name, 'cat /host/etc/hostname')).toBe(`${node.name}\n`);
    expect(
      await inPod(name, 'head -1 /host/proc/1/status; ls /host/sys/fs/cgroup /host/dev/null; ls -d /host/tmp'),
    ).toContain('pause');
    // What the node mounts while the pod runs.
    await onNode(node, 'mount -t tmpfs tmpfs /srv; touch /srv/late');
    expect(await inPod(name, 'ls /host/srv')).toBe('late\n');
    await onNode(node, 'umount /srv');
    expect(await inPod(name, 'ls /host/srv')).toBe('');
    await expect(inPod(name, 'touch /own')).rejects.toThrow('Read-only file system');
  }
  for (const node of cluster.nodes) {
    expect(await onNode(node, 'cat /etc/made-by-a-pod')).toBe(`${node.name}\n`);
  }
  expect(existsSync('/etc/made-by-a-pod')).toBe(false);
});

test("a trust store is the node's own", async () => {
  const count = 'grep -c BEGIN /etc/ssl/certs/ca-certificates.crt';
  const [first, second] = cluster.nodes;
  const before = await onNode(second, count);
  expect(await onNode(first, count)).toBe(before);
  await onNode(
    first,
    `cd /usr/local/share/ca-certificates
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=own -keyout /dev/null -out own.crt
    update-ca-certificates`,
  );
  expect(Number(await onNode(first, count))).toBe(Number(before) + 1);
  expect(await onNode(second, count)).toBe(before);
});

test('a pod reaches the API server by the address of its Service', async () => {
  const ask = `cd /var/run/secrets/kubernetes.io/serviceaccount
    curl --silent --fail --max-time 5 --cacert ca.crt --header "Authorization: Bearer $(cat token)" \\
      "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/version"`;
  for (const name of cluster.nodes.flatMap(podsOf)) expect(await inPod(name, ask)).toContain('gitVersion');
});

test('pods reach each other across nodes', async () => {
  const [first, second] = cluster.nodes.map((node) => podsOf(node)[0]);
  const address = await kubectl('get', 'pod', second ?? '', '--output=jsonpath={.status.podIP}');
  await inPod(
    second ?? '',
    'openssl s_server -quiet -nocert -cipher ALL -accept 8443 > /dev/null 2>&1 < /dev/null & sleep 0.5',
  );
  // No certificate and so no handshake: but an answer, from the other node.
  const said = await inPod(first ?? '', `curl --silent --max-time 5 http://${address}:8443/ || echo "code $?"`);
  expect(said).not.toMatch(/code (7|28)/);
});

test("a node cannot change the machine's settings", async () => {
  const [node] = cluster.nodes;
  expect(await onNode(node, 'cat /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic')).toBe('1\n10\n');
  await expect(onNode(node, 'echo 99 > /proc/sys/vm/swappiness')).rejects.toThrow('Read-only');
  expect(differences(machine, await readMachine()).filter((line) => line.includes('sysctl'))).toEqual([]);
});

test('a command that takes too long is ended, with what it started', async () => {
  const [node] = cluster.nodes;
  expect(await node.exec('sh', ['-c', 'sleep 4322 & wait'], { timeout: 300 })).toMatchObject({ code: 143 });
  expect((await node.exec('pgrep', ['-f', 'sleep [4]322'])).code).toBe(1);
  expect(await node.exec('cat', [], { input: 'said' })).toEqual({ code: 0, stdout: 'said', stderr: '' });
});

test('all that makes a cluster is seen, or its leftovers would not be', async () => {
  const kinds = new Set(differences(machine, await readMachine()).map((line) => line.split(':')[0]));
  expect(kinds).toEqual(
    new Set(
      ['process', 'control group', 'file', 'link', 'address', 'route', 'route (IPv6)'].map((kind) => `+ ${kind}`),
    ),
  );
  // Of the control plane, and of each node: process 1, containerd, a kubelet and kube-proxy.
  expect(inhabitants().length).toBeGreaterThan(5 + 2 * 4);
});

test('a node comes back from a power cut with its disk', async () => {
  const [first, node] = cluster.nodes;
  const boot = ['get', `node/${node.name}`, '--output=jsonpath={.status.nodeInfo.bootID}'];
  const before = await kubectl(...boot);
  await node.reboot();
  expect(await onNode(node, 'cat /etc/made-by-a-pod')).toBe(`${node.name}\n`);
  await expect.poll(() => kubectl(...boot), { timeout: 60_000 }).not.toBe(before);
  await kubectl('wait', '--for=condition=Ready', `node/${node.name}`, '--timeout=60s');
  // The node's pods are started again, and the other one's have not noticed.
  for (const name of podsOf(node)) await restarted(name);
  for (const name of podsOf(first)) expect(await restarts(name)).toBe('0');
});

async function restarted(name: string): Promise<void> {
  await expect.poll(() => restarts(name), { timeout: 60_000 }).not.toBe('0');
  await kubectl('wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s');
  expect(await inPod(name, 'cat /host/etc/made-by-a-pod')).toBe(`${name.split('-')[0] ?? ''}\n`);
}

function restarts(name: string): Promise<string> {
  return kubectl('get', 'pod', name, '--output=jsonpath={.status.containerStatuses[0].restartCount}');
}

test('a kubelet and the API server stop and start again, and pods go on', async () => {
  const [node] = cluster.nodes;
  await node.stopKubelet();
  await node.stopKubelet();
  expect((await node.exec('pgrep', ['-x', 'kubelet'])).code).toBe(1);
  await cluster.stopApiServer();
  expect((await cluster.kubectl(['get', 'nodes', '--request-timeout=2s'])).code).not.toBe(0);
  await node.startKubelet();
  await cluster.startApiServer();
  await kubectl('wait', '--for=condition=Ready', 'node', '--all', '--timeout=60s');
  expect(await restarts(podsOf(node)[0])).toBe('0');
});

test('a running cluster is taken as it is', async () => {
  const uid = ['get', 'namespace/kube-system', '--output=jsonpath={.metadata.uid}'];
  const before = await kubectl(...uid);
  await provider().up();
  expect(await kubectl(...uid)).toBe(before);
});

test('a node gets its own kubelet settings, or no network plugin', async () => {
  const taint = { key: 'example.com/new', effect: 'NoSchedule' };
  cluster = await provider().up({
    nodes: { node1: { kubelet: { registerWithTaints: [taint] } }, node2: { cni: false } },
  });
  expect(await kubectl('get', 'node/node1', '--output=jsonpath={.spec.taints[*].key}')).toContain(taint.key);
  const ready = 'jsonpath={.status.conditions[?(@.type=="Ready")]}';
  expect(await kubectl('get', 'node/node2', `--output=${ready}`)).toContain('cni plugin not initialized');
});

test.each([300, 1_500, 3_000, 6_000])('nothing is left of a start that is killed after %d ms', async (after) => {
  await provider().down();
  const start = execa(process.execPath, [main, 'up'], { env: ownPlace(), extendEnv: false, reject: false });
  await sleep(after);
  start.kill('SIGKILL');
  await start;
  await expectNothingLeft();
  await expectNothingLeft();
});

test('a start clears away what is left of one that was killed', async () => {
  const start = execa(process.execPath, [main, 'up'], { env: ownPlace(), extendEnv: false, reject: false });
  await sleep(4_000);
  start.kill('SIGKILL');
  await start;
  expect(existsSync(home)).toBe(true);
  cluster = await provider().up();
  await kubectl('wait', '--for=condition=Ready', 'node', '--all', '--timeout=5s');
});

/** Where the programs and the cluster are is the same for a process of its own. */
function ownPlace(): Record<string, string> {
  const names = ['NODE_CA_TRUST_CLUSTER', 'XDG_CACHE_HOME', 'HOME'];
  const set = names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  return { ...cleanEnvironment, ...(Object.fromEntries(set) as Record<string, string>) };
}

test('only one process at a time starts or ends a cluster', async () => {
  const lock = `${home}.lock`;
  await writeFile(lock, recordFor(1));
  await expect(provider().up()).rejects.toThrow(`process 1 is starting or ending the cluster in ${home}: wait for it`);
  // One whose owner was killed, and whose number another process has now.
  await writeFile(lock, '1 0');
  await provider().up();
  expect(existsSync(lock)).toBe(false);
});

test('a cluster that somebody else tests on, or started by hand, is neither ended nor taken', async () => {
  const uid = ['get', 'namespace/kube-system', '--output=jsonpath={.metadata.uid}'];
  const before = await kubectl(...uid);
  giveBack();
  await writeFile(`${home}.tests`, recordFor(1));
  const touches = [() => provider().up(), () => provider().down(), async () => provider().keep()];
  for (const touch of touches)
    await expect(touch()).rejects.toThrow(`process 1 tests on the cluster in ${home}: wait for it`);
  await rm(`${home}.tests`);
  await expect(provider().keep()).rejects.toThrow(`a cluster that was started by hand is in ${home}: end it by`);
  // What is left of tests that were killed is nobody's.
  await writeFile(`${home}.tests`, '1 0');
  giveBack = await provider().keep();
  expect(await kubectl(...uid)).toBe(before);
});
