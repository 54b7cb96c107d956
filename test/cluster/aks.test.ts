// deploy/overlays/aks: what users of AKS's own feature had, unchanged.
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { project } from '../image/machine.ts';
import {
  type AgentNames,
  type Authority,
  type Scene,
  defaultAgent,
  enabledLabel,
  endServers,
  makeAuthority,
  openScene,
  serveOn,
  storeOf,
  trusts,
} from './scene.ts';

const aks: AgentNames = {
  ...defaultAgent,
  namespace: 'kube-system',
  secret: 'custom-ca-trust-secret',
  label: 'kubernetes.azure.com/custom-ca-trust-enabled',
};
const overlay = join(project, 'deploy/overlays/aks');

let scene: Scene;
let [one, two]: Authority[] = [];

async function clear(): Promise<void> {
  for (const node of scene.cluster.nodes) {
    await scene.unlabel(node, aks.label);
    await scene.unlabel(node);
  }
  await scene.gone(aks);
  await scene.kubectl('-n', aks.namespace, 'delete', 'secret', aks.secret, '--ignore-not-found');
}

beforeAll(async () => {
  scene = await openScene();
  [one, two] = [await makeAuthority(), await makeAuthority()];
  await scene.reset();
  // The overlay stands in the place of the base.
  await scene.kubectl('delete', '-k', join(project, 'deploy/base'));
  await scene.kubectl('apply', '-k', overlay);
});

beforeEach(clear);

afterEach(async () => {
  for (const node of scene.cluster.nodes) await endServers(node);
});

afterAll(async () => {
  await clear();
  await scene.kubectl('delete', '-k', overlay);
});

test('serves nodes by the label of AKS and by our own, and keeps a CA while a node bears either', async () => {
  if (one === undefined || two === undefined) throw new Error('no CA was made');
  const before = await storeOf(scene.node);
  const [here, second, there] = [
    await serveOn(scene.node, one),
    await serveOn(scene.node, two),
    await serveOn(scene.other, two),
  ];
  await scene.putSecret({ 'ca1.crt': one.ca.pem, 'ca2.crt': two.ca.pem }, aks);
  await scene.label(scene.node, aks.label);
  await scene.label(scene.other, enabledLabel);
  await scene.rollout(aks);
  expect(await Promise.all([trusts(scene.node, here), trusts(scene.node, second), trusts(scene.other, there)])).toEqual(
    [true, true, true],
  );
  await scene.label(scene.node, enabledLabel);
  await scene.unlabel(scene.node, aks.label);
  expect([(await scene.pod(scene.node, aks)) === undefined, await trusts(scene.node, here)]).toEqual([false, true]);
  await scene.unlabel(scene.node, enabledLabel);
  await scene.unlabel(scene.other, enabledLabel);
  await scene.gone(aks);
  expect([await trusts(scene.node, here), await trusts(scene.other, there)]).toEqual([false, false]);
  expect(await storeOf(scene.node)).toBe(before);
});

test('leaves kube-system as it is when it is deleted', async () => {
  await scene.kubectl('delete', '-k', overlay);
  expect(await scene.kubectl('get', 'namespace', 'kube-system', '-o', 'jsonpath={.status.phase}')).toBe('Active');
  await scene.kubectl('apply', '-k', overlay);
});
