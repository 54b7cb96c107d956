// A node that has just joined: not ready, without a network plugin, with every taint. The agent comes first.
import { expect, test } from 'vitest';
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

test('trusts before it is ready', async () => {
  const authority = await makeAuthority();
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
