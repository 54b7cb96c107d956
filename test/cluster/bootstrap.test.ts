// A node that has just joined: not ready, without a network plugin, with every taint. The agent comes first.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  type Authority,
  type Scene,
  endServers,
  eventually,
  makeAuthority,
  onNode,
  openScene,
  serveOn,
  trusts,
} from './scene.ts';

let scene: Scene;
let authority: Authority;

beforeAll(async () => {
  scene = await openScene();
  authority = await makeAuthority();
});

beforeEach(() => scene.reset());

/** The node joins anew as it does when it is made: nothing is known of it, and its network is not there yet. */
async function leaveCluster(): Promise<void> {
  await scene.node.stopKubelet();
  await scene.kubectl('delete', 'node', scene.node.name);
  await onNode(
    scene.node,
    'cp /var/lib/kubelet/config.yaml /var/tmp/kubelet-config.yaml; mv /etc/cni/net.d /etc/cni/net.d.away; mkdir /etc/cni/net.d; cat >> /var/lib/kubelet/config.yaml <<END\nregisterWithTaints:\n- {key: example.com/first, value: "yes", effect: NoSchedule}\n- {key: example.com/second, value: "yes", effect: NoExecute}\nEND\n',
  );
}

async function rejoin(): Promise<void> {
  await onNode(
    scene.node,
    'mv /var/tmp/kubelet-config.yaml /var/lib/kubelet/config.yaml; rm -rf /etc/cni/net.d; mv /etc/cni/net.d.away /etc/cni/net.d',
  );
  await scene.node.restartKubelet();
  await scene.kubectl('taint', 'node', scene.node.name, 'example.com/first-', 'example.com/second-');
  await scene.kubectl('wait', '--for=condition=Ready', `node/${scene.node.name}`, '--timeout=120s');
}

afterAll(async () => {
  await endServers(scene.node);
});

test('trusts before it is ready', async () => {
  const port = await serveOn(scene.node, authority);
  await scene.putSecret({ 'company-ca.crt': authority.ca.pem });
  await leaveCluster();
  try {
    await scene.node.startKubelet();
    const taints = (): Promise<string> =>
      scene.kubectl('get', 'node', scene.node.name, '-o', 'jsonpath={.spec.taints[*].key}');
    await eventually('the node is registered', async () => (await taints().catch(() => '')).includes('example.com'));
    await scene.label(scene.node);
    await eventually('the node trusts', () => trusts(scene.node, port), { seconds: 120 });
    const ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
    expect(await scene.kubectl('get', 'node', scene.node.name, '-o', ready)).toBe('False');
    expect((await taints()).split(' ')).toEqual(
      expect.arrayContaining(['example.com/first', 'example.com/second', 'node.kubernetes.io/not-ready']),
    );
  } finally {
    await rejoin();
  }
});
