// What happens to nodes and pods in a cluster's life: trust stays, without a gap.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, namespace, useScene } from './scene.ts';
import {
  type Asking,
  expectNoFailure,
  keepAsking,
  killAgent,
  makeAuthority,
  onNode,
  serveOn,
  trusts,
} from './witness.ts';

const authority = await makeAuthority();
// Every test finds the node trusting and leaves it so: that is what each is about.
const scene = await useScene((all) => all.install({ 'company-ca.crt': authority.ca.pem }));

beforeAll(() => scene.reset());

const isReady = async (): Promise<boolean> => (await scene.readiness(scene.node)).ready;
const podName = async (): Promise<string> => (await scene.pod(scene.node))?.metadata.name ?? '';

async function askingNow(): Promise<Asking> {
  return keepAsking(scene.node, await serveOn(scene.node, authority));
}

/** Another pod than that one runs, and is ready. */
function replaced(name: string): Promise<void> {
  return eventually('a new pod is ready', async () => {
    const pod = await scene.pod(scene.node);
    return pod !== undefined && pod.metadata.name !== name && pod.status.containerStatuses?.[0]?.ready === true;
  });
}

async function restarts(): Promise<number> {
  return (await scene.pod(scene.node))?.status.containerStatuses?.[0]?.restartCount ?? 0;
}

describe('trust stays, without a failed request, when', () => {
  test('the DaemonSet is upgraded', async () => {
    const [asking, name] = [await askingNow(), await podName()];
    await scene.kubectl('-n', namespace, 'set', 'env', 'daemonset/node-ca-trust', 'NODE_CA_TRUST_LOG_LEVEL=info');
    await scene.rollout();
    expect(await podName()).not.toBe(name);
    await expectNoFailure(asking);
  });

  test('the node is drained and put back', async () => {
    const [asking, name] = [await askingNow(), await podName()];
    await scene.kubectl('drain', scene.node.name, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=60s');
    expect([await podName(), await isReady()]).toEqual([name, true]);
    await scene.kubectl('uncordon', scene.node.name);
    await expectNoFailure(asking);
  });

  test('the pod is deleted by force', async () => {
    const [asking, name] = [await askingNow(), await podName()];
    await scene.kubectl('-n', namespace, 'delete', 'pod', name, '--force', '--grace-period=0');
    await replaced(name);
    await expectNoFailure(asking);
  });

  test('the pod is deleted', async () => {
    const [asking, name] = [await askingNow(), await podName()];
    await scene.kubectl('-n', namespace, 'delete', 'pod', name);
    await replaced(name);
    await expectNoFailure(asking);
  });

  test('the agent is killed', async () => {
    const [asking, before] = [await askingNow(), await restarts()];
    await killAgent(scene.node);
    await eventually('it runs again', async () => (await restarts()) > before && (await isReady()));
    await expectNoFailure(asking);
  });

  test('the kubelet is restarted', async () => {
    const [asking, name] = [await askingNow(), await podName()];
    await scene.node.restartKubelet();
    await eventually('the node is ready', async () => {
      const args = ['get', 'node', scene.node.name, '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'];
      return (await scene.kubectl(...args)) === 'True';
    });
    expect([await podName(), await isReady()]).toEqual([name, true]);
    await expectNoFailure(asking);
  });
});

describe('a node that loses power', () => {
  test('trusts before its agent runs again, and is proven by it soon', async () => {
    await scene.node.reboot();
    expect(await trusts(scene.node, await serveOn(scene.node, authority))).toBe(true);
    await eventually('the agent is ready', isReady, { seconds: 120 });
    await scene.rollout();
  });
});

describe('without the API server', () => {
  /** A minute with NODE_CA_TRUST_FULL=1. */
  const outageMs = process.env['NODE_CA_TRUST_FULL'] === '1' ? 60_000 : 25_000;

  // After so long an outage a kubelet looks for changes up to a minute later; one that starts looks at once.
  afterAll(() => Promise.all(scene.cluster.nodes.map((node) => node.restartKubelet())));

  test('a killed agent installs from the mounted volume, repairs, is ready, and removes nothing', async () => {
    const port = await serveOn(scene.node, authority);
    const extra = await makeAuthority();
    const before = await restarts();
    await scene.cluster.stopApiServer();
    const ended = new Promise((resolve) => setTimeout(resolve, outageMs));
    try {
      await killAgent(scene.node);
      await onNode(
        scene.node,
        'rm /usr/local/share/ca-certificates/node-ca-trust-default-*.crt && update-ca-certificates > /dev/null 2>&1',
      );
      await eventually('the agent has repaired the node', async () => {
        return (await isReady()) && (await trusts(scene.node, port));
      });
      expect(await trusts(scene.node, await serveOn(scene.node, extra))).toBe(false);
      await ended;
      expect([await isReady(), await trusts(scene.node, port)]).toEqual([true, true]);
    } finally {
      await scene.cluster.startApiServer();
    }
    await eventually('the kubelet reports the restart', async () => (await restarts()) > before, { seconds: 120 });
    await scene.rollout();
    expect(await trusts(scene.node, port)).toBe(true);
    const log = await scene.logs(scene.node);
    expect(log).toContain('"msg"');
    expect(log).not.toMatch(/"removed":\["/);
  });
});
