// The end of it: as documented every host is as it was; in any other way trust stays, and can be taken off later.
import { describe, expect, test } from 'vitest';
import { base } from './installed.ts';
import { eventually, namespace, useScene } from './scene.ts';
import { makeAuthority, serveOn, storeOf, trusts } from './witness.ts';

const scene = await useScene();
const authority = await makeAuthority();
const files = { 'company-ca.crt': authority.ca.pem };
const stores = (): Promise<readonly string[]> => Promise.all(scene.cluster.nodes.map(storeOf));
const isGone = (): Promise<string> => scene.kubectl('get', 'namespace', namespace, '--ignore-not-found');

describe('uninstalling', () => {
  test('as documented leaves every host as it was', async () => {
    const before = await stores();
    await scene.install(files, scene.cluster.nodes);
    await scene.kubectl('label', 'node', '--all', 'node-ca-trust.io/enabled-');
    const selector = ['-l', 'app.kubernetes.io/name=node-ca-trust'];
    await scene.kubectl('-n', namespace, 'wait', '--for=delete', 'pod', ...selector, '--timeout=150s');
    await scene.kubectl('delete', '-k', base);
    expect(await stores()).toEqual(before);
    expect(await isGone()).toBe('');
  });

  test('without unlabelling keeps the trust; applied again and unlabelled, it goes', async () => {
    const before = await stores();
    const port = await serveOn(scene.node, authority);
    await scene.install(files);
    await scene.kubectl('delete', '-k', base);
    await eventually('the namespace is gone', async () => (await isGone()) === '');
    expect(await trusts(scene.node, port)).toBe(true);
    await scene.kubectl('apply', '-k', base);
    // The agent needs no Secret to take off what it once installed.
    // Node ends at a SIGTERM that comes before the program has taken it over: not before it answers, ready or not.
    await eventually('it answers', async () => /(200|503)$/.test((await scene.readiness(scene.node)).text));
    expect(await trusts(scene.node, port)).toBe(true);
    await scene.unlabel(scene.node);
    await scene.gone();
    expect(await trusts(scene.node, port)).toBe(false);
    expect(await stores()).toEqual(before);
  });
});
