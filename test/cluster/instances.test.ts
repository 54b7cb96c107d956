// Two agents on one node: pools with CAs of their own.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blocksOf, section } from '../unit/docs/pages.ts';
import { type Checkout, openCheckout } from './checkout.ts';
import { type AgentNames, defaultAgent, useScene } from './scene.ts';
import { makeAuthority, serveOn, storeOf, trusts } from './witness.ts';

const lab: AgentNames = {
  ...defaultAgent,
  daemonSet: 'node-ca-trust-lab',
  instance: 'lab',
  secret: 'node-ca-trust-lab',
  label: 'node-ca-trust.io/lab',
  port: 9642,
};
const [commands = ''] = blocksOf(section('docs/operations.md', '## Several instances'));
const [making = '', installing = ''] = commands.split(/^(?=.* create secret )/m);
let checkout: Checkout;

const scene = await useScene(async (all) => {
  await Promise.all([all.reset(), clear()]);
});
const [both, ofLab] = [await makeAuthority(), await makeAuthority()];

async function clear(): Promise<void> {
  await scene.unlabel(scene.node, lab.label);
  await scene.gone(lab);
  await scene.kubectl('-n', lab.namespace, 'delete', 'secret', lab.secret, '--ignore-not-found');
}

beforeAll(async () => {
  await scene.reset();
  checkout = await openCheckout(scene, { 'lab-ca.crt': `${both.ca.pem}${ofLab.ca.pem}` });
  await checkout.run(making);
});

afterAll(async () => {
  await clear();
  await checkout.run('kubectl delete -k deploy/overlays/lab');
  await checkout[Symbol.asyncDispose]();
});

async function installLab(): Promise<void> {
  await checkout.run(installing.replace('node NODE', `node ${scene.node.name}`));
  await scene.rollout(lab);
}

test('each adds and removes its own only; a CA that both hold goes when the last one lets it go', async () => {
  const before = await storeOf(scene.node);
  const [shared, own] = [await serveOn(scene.node, both), await serveOn(scene.node, ofLab)];
  await Promise.all([scene.install({ 'both.crt': both.ca.pem }), installLab()]);
  expect([await trusts(scene.node, shared), await trusts(scene.node, own)]).toEqual([true, true]);
  await scene.unlabel(scene.node);
  await scene.gone();
  expect([await trusts(scene.node, shared), await trusts(scene.node, own)]).toEqual([true, true]);
  expect((await scene.readiness(scene.node, lab)).ready).toBe(true);
  await scene.unlabel(scene.node, lab.label);
  await scene.gone(lab);
  expect([await trusts(scene.node, shared), await trusts(scene.node, own)]).toEqual([false, false]);
  expect(await storeOf(scene.node)).toBe(before);
});

test('the other way round, and by the bundle', async () => {
  const [shared, own] = [await serveOn(scene.node, both), await serveOn(scene.node, ofLab)];
  await installLab();
  await scene.install({ 'both.crt': both.ca.pem });
  await scene.putSecret({ 'lab.crt': ofLab.ca.pem }, lab);
  const done = async (): Promise<boolean> =>
    (await scene.readiness(scene.node, lab)).text.startsWith('ready, anchors: 1,');
  await scene.nudged('the pool has one CA', scene.node, done, lab);
  expect([await trusts(scene.node, shared), await trusts(scene.node, own)]).toEqual([true, true]);
  await scene.putSecret({ 'other.crt': ofLab.ca.pem });
  await scene.nudged('the shared CA is gone', scene.node, async () => !(await trusts(scene.node, shared)));
  expect(await trusts(scene.node, own)).toBe(true);
});
