// The end of it: as documented every host is as it was; in any other way trust stays, and can be taken off later.
import { describe, expect, test } from 'vitest';
import { packageJson } from '../image/machine.ts';
import { blocksOf, section } from '../unit/docs/pages.ts';
import { openCheckout } from './checkout.ts';
import { base } from './installed.ts';
import { eventually, namespace, useScene } from './scene.ts';
import type { ClusterNode } from './cluster.ts';
import { makeAuthority, serveOn, storeOf, trusts } from './witness.ts';

const scene = await useScene();
const authority = await makeAuthority();
const files = { 'company-ca.crt': authority.ca.pem };
const stores = (): Promise<readonly string[]> => Promise.all(scene.cluster.nodes.map(storeOf));
const isGone = (): Promise<string> => scene.kubectl('get', 'namespace', namespace, '--ignore-not-found');

/** A store without the directory of the records, which the kubelet makes for a mount, and the agent leaves there empty. */
const withoutRecords = (store: string): string => store.replace(/^d 700 0:0 \/var\/lib\/node-ca-trust \n/m, '');

/** The page's commands for one node. */
async function removeFrom({ name }: ClusterNode): Promise<void> {
  const [commands = ''] = blocksOf(section('docs/operations.md', '## Remove on one node'));
  const [debug = '', look = ''] = commands.split(/^(?=.* logs )/m);
  await using checkout = await openCheckout(scene);
  const image = `node-ca-trust:${packageJson().version}`;
  await checkout.run(debug.replace('node/NODE', `node/${name}`).replace(`registry.example.com/${image}`, image));
  const pods = await scene.kubectl('-n', 'kube-system', 'get', 'pods', '-o', 'name');
  const pod = new RegExp(`node-debugger-${name}-\\w+`).exec(pods)?.[0] ?? '';
  await scene.kubectl('-n', 'kube-system', 'wait', `pod/${pod}`, '--for=jsonpath={.status.phase}=Succeeded');
  expect(await checkout.run(look.replaceAll('node-debugger-...', pod))).toContain(
    authority.ca.fingerprint.slice(0, 16),
  );
}

describe('uninstalling', () => {
  test('as documented leaves every host as it was', async () => {
    const before = await stores();
    await scene.install(files, scene.cluster.nodes);
    const [unlabel = '', wait = '', remove = ''] = blocksOf(section('docs/operations.md', '## Uninstall'));
    await using checkout = await openCheckout(scene);
    await checkout.run(unlabel);
    await checkout.run(wait);
    expect(await stores()).toEqual(before);
    await checkout.run(remove.replace('DIRECTORY', 'deploy/base'));
    expect(await stores()).toEqual(before);
    expect(await isGone()).toBe('');
  });

  test('without unlabelling keeps the trust; it goes by `remove`, or applied again and unlabelled', async () => {
    const [before, beforeThere] = [await storeOf(scene.node), await storeOf(scene.other)];
    const [port, there] = [await serveOn(scene.node, authority), await serveOn(scene.other, authority)];
    await scene.install(files, scene.cluster.nodes);
    await scene.kubectl('delete', '-k', base);
    await eventually('the namespace is gone', async () => (await isGone()) === '');
    expect([await trusts(scene.node, port), await trusts(scene.other, there)]).toEqual([true, true]);
    await removeFrom(scene.other);
    expect([await trusts(scene.node, port), await trusts(scene.other, there)]).toEqual([true, false]);
    await scene.unlabel(scene.other);
    await scene.kubectl('apply', '-k', base);
    // The agent needs no Secret to take off what it once installed.
    // Node ends at a SIGTERM that comes before the program has taken it over: not before it answers, ready or not.
    await eventually('it answers', async () => /(200|503)$/.test((await scene.readiness(scene.node)).text));
    expect(await trusts(scene.node, port)).toBe(true);
    await scene.unlabel(scene.node);
    await scene.gone();
    expect(await trusts(scene.node, port)).toBe(false);
    expect(await storeOf(scene.node)).toBe(before);
    // `remove` sees all of the host, and leaves no directory of its own.
    expect(await storeOf(scene.other)).toBe(withoutRecords(beforeThere));
  });
});
