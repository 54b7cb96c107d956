// The agent as it is shipped, on a Node of a real API server: from the startup taint to the removal at unlabelling.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { digestOf, openMint, secretOf } from '../bench/anchors.ts';
import { memoryOf } from '../bench/measure.ts';
import { eventually } from '../sandbox/harness/agent.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { createWorld } from '../sandbox/harness/world.ts';
import { putAccount, putSecret } from './harness/account.ts';
import { startApi } from './harness/api-server.ts';
import { giveAccount, startPod } from './harness/pod.ts';

const nodePath = '/api/v1/nodes/node-1';
const label = 'node-ca-trust.io/enabled';
const startup = { key: 'node-ca-trust.io/not-ready', effect: 'NoSchedule' };
/** What the design permits, and what it wants. */
const mostAnonymousMiB = 35;
const wantedMiB = 25;

interface NodeJson {
  readonly metadata: { readonly annotations?: Record<string, string> };
  readonly spec: { readonly taints?: readonly { readonly key: string }[] };
  readonly status: { readonly conditions?: readonly Readonly<Record<string, string>>[] };
}

test('a node that joins is told to be ready, follows the Secret, and says nothing any more once it is unlabelled', async () => {
  await using api = await startApi();
  await putAccount(api);
  await giveAccount(api);
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1', labels: { [label]: 'true' } } };
  await api.must('POST', '/api/v1/nodes', node);
  await api.must('PATCH', nodePath, { spec: { taints: [startup] } }, 'application/merge-patch+json');
  const nodeNow = async (): Promise<NodeJson> => (await api.must('GET', nodePath)) as NodeJson;
  await using world = await createWorld();
  const mint = await openMint();
  const [first, second] = [mint(10), mint(10)];
  await putSecret(api, secretOf(first));
  await using mount = await mountSecret(secretOf(first));
  await using pod = await startPod(world.root, mount.directory, ['--node-name', 'node-1']);
  await pod.proves(digestOf(first));
  await eventually(async () => {
    const { metadata, spec, status } = await nodeNow();
    expect(spec.taints).toBeUndefined();
    expect(status.conditions).toMatchObject([{ type: 'CATrustReady', status: 'True', reason: 'Proven' }]);
    expect(JSON.parse(metadata.annotations?.['node-ca-trust.io/default'] ?? '')).toMatchObject({
      digest: digestOf(first),
      anchors: 10,
    });
  });
  await sleep(8_000);
  const rest = memoryOf(pod.pid);
  console.log(
    `with the Secret followed and the Node told: anonymous ${rest.anonymousMiB.toFixed(1)} MiB (at most ${mostAnonymousMiB}, wanted ${wantedMiB}), RSS ${rest.rssMiB.toFixed(1)} MiB`,
  );
  expect(rest.anonymousMiB).toBeLessThan(mostAnonymousMiB);

  const changed = performance.now();
  await putSecret(api, secretOf(second));
  await pod.proves(digestOf(second));
  console.log(`the Secret changed to proven: ${Math.round(performance.now() - changed)} ms`);
  await api.must('PATCH', nodePath, { metadata: { labels: { [label]: null } } }, 'application/merge-patch+json');
  expect(await pod.stop()).toBe(0);
  const { metadata, status } = await nodeNow();
  expect(metadata.annotations ?? {}).not.toHaveProperty('node-ca-trust.io/default');
  expect(status.conditions ?? []).toEqual([]);
  const { items } = (await api.must('GET', '/apis/events.k8s.io/v1/namespaces/default/events')) as {
    items: readonly { readonly reason: string }[];
  };
  expect(items.map(({ reason }) => reason)).toContain('TrustRemoved');
  expect(pod.log().filter(({ level }) => level !== 'info')).toEqual([]);
});
