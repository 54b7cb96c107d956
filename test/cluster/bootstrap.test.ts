// A node that has just joined: not ready, without a network plugin, with every taint. The agent comes first.
import { expect, test } from 'vitest';
import { packageJson } from '../image/machine.ts';
import { eventually, useScene } from './scene.ts';
import { makeAuthority, onNode, serveOn, trusts } from './witness.ts';

const scene = await useScene();

/** A node that will have taints of its own, and no network: a plugin that runs as a pod cannot set one up either. */
const spoil = `
set -e
cp /var/lib/kubelet/config.yaml /var/tmp/kubelet-config.yaml
cat >> /var/lib/kubelet/config.yaml <<END
registerWithTaints:
- {key: example.com/first, value: "yes", effect: NoSchedule}
- {key: example.com/second, value: "yes", effect: NoExecute}
- {key: node-ca-trust.io/not-ready, effect: NoSchedule}
END
mkdir /etc/cni/away
mv /etc/cni/net.d/* /etc/cni/away
mount -t tmpfs -o ro tmpfs /etc/cni/net.d
`;

const mend = `
mv /var/tmp/kubelet-config.yaml /var/lib/kubelet/config.yaml
umount /etc/cni/net.d
# containerd looks at what is written there, not at what is moved there.
cp /etc/cni/away/* /etc/cni/net.d
rm -r /etc/cni/away
`;

/** The node joins anew as it does when it is made: nothing is known of it, and its network is not there yet. */
async function leaveCluster(): Promise<void> {
  await scene.node.stopKubelet();
  await scene.kubectl('delete', 'node', scene.node.name);
  await onNode(scene.node, spoil);
}

async function rejoin(): Promise<void> {
  await onNode(scene.node, mend);
  await scene.node.restartKubelet();
  await scene.kubectl('taint', 'node', scene.node.name, 'example.com/first-', 'example.com/second-');
  await scene.kubectl('wait', '--for=condition=Ready', `node/${scene.node.name}`, '--timeout=120s');
}

/** A workload that needs the CA: it bears every taint of the node but the startup taint. */
async function makeWorkload(): Promise<void> {
  const borne = ['example.com/first', 'example.com/second', 'node.kubernetes.io/not-ready'];
  await scene.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'workload', namespace: 'default' },
    spec: {
      nodeSelector: { 'kubernetes.io/hostname': scene.node.name },
      tolerations: borne.map((key) => ({ key, operator: 'Exists' })),
      hostNetwork: true,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'workload',
          image: `node-ca-trust:${packageJson().version}`,
          imagePullPolicy: 'Never',
          command: ['node', '-e', 'setInterval(() => undefined, 1e9)'],
        },
      ],
    },
  });
}

interface Workload {
  readonly spec: { readonly nodeName?: string };
  readonly status: { readonly phase: string; readonly startTime?: string };
}

const workload = async (): Promise<Workload> =>
  JSON.parse(await scene.kubectl('get', 'pod', 'workload', '-o', 'json')) as Workload;

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly lastTransitionTime: string;
}

test('trusts before it is ready, and before a workload comes', async () => {
  const authority = await makeAuthority();
  const port = await serveOn(scene.node, authority);
  await scene.putSecret({ 'company-ca.crt': authority.ca.pem });
  await leaveCluster();
  try {
    await scene.node.startKubelet();
    const taints = (): Promise<string> =>
      scene.kubectl('get', 'node', scene.node.name, '-o', 'jsonpath={.spec.taints[*].key}');
    await eventually('the node is registered', async () => (await taints().catch(() => '')).includes('example.com'));
    await makeWorkload();
    await scene.label(scene.node);
    await eventually('the node trusts', () => trusts(scene.node, port), { seconds: 120 });
    const ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
    expect(await scene.kubectl('get', 'node', scene.node.name, '-o', ready)).toBe('False');
    expect((await taints()).split(' ')).toEqual(
      expect.arrayContaining(['example.com/first', 'example.com/second', 'node.kubernetes.io/not-ready']),
    );
    await eventually('the workload runs', async () => (await workload()).status.phase === 'Running');
    expect(await taints()).not.toContain('node-ca-trust.io/not-ready');
    const conditions = await scene.kubectl('get', 'node', scene.node.name, '-o', 'jsonpath={.status.conditions}');
    const trust = (JSON.parse(conditions) as readonly Condition[]).find(({ type }) => type === 'CATrustReady');
    expect(trust?.status).toBe('True');
    const { spec, status } = await workload();
    expect(spec.nodeName).toBe(scene.node.name);
    expect(Date.parse(status.startTime ?? '')).toBeGreaterThanOrEqual(Date.parse(trust?.lastTransitionTime ?? ''));
  } finally {
    await scene.kubectl('delete', 'pod', 'workload', '--ignore-not-found');
    await rejoin();
  }
});
