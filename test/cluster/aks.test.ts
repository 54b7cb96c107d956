// deploy/overlays/aks, as docs/aks.md has it put in the place of AKS's own feature: what its users had, unchanged.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blocksOf, section } from '../unit/docs/pages.ts';
import { digestIn, openCheckout } from './checkout.ts';
import { base, overlays } from './installed.ts';
import { type AgentNames, defaultAgent, enabledLabel, eventually, useScene } from './scene.ts';
import { makeAuthority, serveOn, storeOf, trusts } from './witness.ts';

const aks: AgentNames = {
  ...defaultAgent,
  namespace: 'kube-system',
  secret: 'custom-ca-trust-secret',
  label: 'kubernetes.azure.com/custom-ca-trust-enabled',
};
const [looking = '', , installing = '', waiting = ''] = blocksOf(section('docs/aks.md', '## Move over'));
const [withKustomize = ''] = installing.split('\n');
const [rollingBack = ''] = blocksOf(section('docs/aks.md', '## Roll back'));

const scene = await useScene(clear);
const [one, two] = [await makeAuthority(), await makeAuthority()];

async function clear(): Promise<void> {
  await scene.kubectl('label', 'node', '--all', `${aks.label}-`, `${enabledLabel}-`);
  await scene.gone(aks);
  await scene.kubectl('-n', aks.namespace, 'delete', 'secret', aks.secret, '--ignore-not-found');
}

beforeAll(async () => {
  await scene.reset();
  // The overlay stands in the place of the base.
  await scene.kubectl('delete', '-k', base);
});

afterAll(async () => {
  await clear();
  await scene.kubectl('delete', '-k', join(overlays, 'aks'), '--ignore-not-found');
});

test('serves nodes by the label of AKS and by our own, and keeps a CA while a node bears either', async () => {
  const before = await storeOf(scene.node);
  const [here, second, there] = [
    await serveOn(scene.node, one),
    await serveOn(scene.node, two),
    await serveOn(scene.other, two),
  ];
  await scene.putSecret({ 'ca1.crt': one.ca.pem, 'ca2.crt': two.ca.pem }, aks);
  await scene.label(scene.node, aks.label);
  await scene.label(scene.other, enabledLabel);
  await using checkout = await openCheckout(scene);
  const looked = await checkout.run(looking);
  expect(looked).toMatch(new RegExp(`^${scene.node.name} .* true +`, 'm'));
  await checkout.run(withKustomize);
  await checkout.run(waiting.replace('DIGEST', digestIn(looked)));
  expect(await Promise.all([trusts(scene.node, here), trusts(scene.node, second), trusts(scene.other, there)])).toEqual(
    [true, true, true],
  );
  const podName = async (): Promise<string | undefined> => (await scene.pod(scene.node, aks))?.metadata.name;
  const name = await podName();
  expect(name).toBeDefined();
  await scene.label(scene.node, enabledLabel);
  await scene.unlabel(scene.node, aks.label);
  // Once it has ended the pod of the other node, it has seen the labels of this one too.
  await scene.unlabel(scene.other, enabledLabel);
  await eventually('the other pod ends', async () => (await scene.pod(scene.other, aks)) === undefined);
  expect([await podName(), await trusts(scene.node, here)]).toEqual([name, true]);
  await scene.unlabel(scene.node, enabledLabel);
  await scene.gone(aks);
  expect([await trusts(scene.node, here), await trusts(scene.other, there)]).toEqual([false, false]);
  expect(await storeOf(scene.node)).toBe(before);
});

test('leaves kube-system as it is when it is rolled back', async () => {
  await using checkout = await openCheckout(scene);
  await checkout.run(withKustomize);
  await checkout.run(rollingBack);
  expect(await scene.kubectl('get', 'namespace', 'kube-system', '-o', 'jsonpath={.status.phase}')).toBe('Active');
  const left = await scene.kubectl(
    '-n',
    aks.namespace,
    'get',
    'daemonsets',
    '-l',
    'app.kubernetes.io/name=node-ca-trust',
    '-o',
    'name',
  );
  expect(left).toBe('');
});
