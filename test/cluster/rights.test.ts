// What the manifests permit is used, and what is taken away is said and survived.
import { afterAll, describe, expect, test } from 'vitest';
import { base } from './installed.ts';
import { defaultAgent, eventually, namespace, useScene } from './scene.ts';
import { makeAuthority, serveOn, trusts } from './witness.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const scene = await useScene();

afterAll(() => scene.reset());

const account = `system:serviceaccount:${namespace}:node-ca-trust`;

describe('the service account', () => {
  test('may follow its own Secret, tell its Node how it stands, and nothing else of the cluster', async () => {
    const role = JSON.parse(await scene.kubectl('get', 'clusterrole', 'node-ca-trust', '-o', 'json')) as {
      rules: readonly Rule[];
    };
    expect(role.rules).toEqual([
      { apiGroups: [''], resources: ['nodes'], verbs: ['get'] },
      { apiGroups: [''], resources: ['nodes'], verbs: ['patch'] },
      { apiGroups: [''], resources: ['nodes/status'], verbs: ['patch'] },
      { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
    ]);
    const may = async (...words: readonly string[]): Promise<string> =>
      (await scene.cluster.kubectl(['auth', 'can-i', ...words, '--as', account])).stdout.trim();
    expect(await may('get', 'nodes')).toBe('yes');
    expect(await may('watch', 'secrets/node-ca-trust', '-n', namespace)).toBe('yes');
    for (const words of [
      ['list', 'nodes'],
      ['update', 'nodes'],
      ['delete', 'nodes'],
      ['get', 'events', '-A'],
      ['get', 'secrets', '-A'],
      ['list', 'secrets', '-n', namespace],
      ['watch', 'secrets/another', '-n', namespace],
      ['get', 'pods', '-A'],
    ]) {
      expect([words, await may(...words)]).toEqual([words, 'no']);
    }
  });
});

test('what the agent answers is for its own node: another one finds its port closed', async () => {
  await scene.install({ 'company-ca.crt': (await makeAuthority()).ca.pem });
  const path = '{.status.addresses[?(@.type=="InternalIP")].address}';
  const address = await scene.kubectl('get', 'node', scene.node.name, '-o', `jsonpath=${path}`);
  const ask = (where: string) => ['-sS', '--noproxy', '*', `http://${where}:${defaultAgent.port}/metrics`];
  expect((await scene.other.exec('curl', ask(address))).code).toBe(7);
  expect((await scene.node.exec('curl', ask('127.0.0.1'))).stdout).toMatch(/^node_ca_trust_converged 1$/m);
});

describe('without any permission on Nodes', () => {
  test('all works but what needs one: the CAs stay at the end, and the log says why, once each', async () => {
    const authority = await makeAuthority();
    const port = await serveOn(scene.node, authority);
    await scene.kubectl('delete', 'clusterrolebinding', 'node-ca-trust');
    await scene.install({ 'company-ca.crt': authority.ca.pem });
    const name = (await scene.pod(scene.node))?.metadata.name ?? '';
    // A refusal is believed after 4 s, each.
    await eventually('both are told', async () => {
      const { stdout } = await scene.cluster.kubectl(['-n', namespace, 'logs', name]);
      return stdout.includes('condition and annotation of the Node cannot be written');
    });
    const log = scene.cluster.kubectl(['-n', namespace, 'logs', '--follow', name], { timeout: 120_000 });
    await scene.unlabel(scene.node);
    await scene.gone();
    const said = (await log).stdout.split('\n').filter((line) => line.includes('answered 403'));
    const messages = said.map((line) => (JSON.parse(line) as { msg: string }).msg);
    expect(messages).toEqual([
      expect.stringMatching(/^the own Node cannot be read: .*resources \[nodes\], verbs \[get\]$/),
      expect.stringMatching(/^condition and annotation .*resources \[nodes\/status\], verbs \[patch\]$/),
      expect.stringMatching(/^stopped; what is installed stays: whether the Node bears /),
    ]);
    expect(await trusts(scene.node, port)).toBe(true);
    await scene.kubectl('apply', '-k', base);
    await scene.label(scene.node);
    await eventually('it is ready again', async () => (await scene.readiness(scene.node)).ready);
    await scene.unlabel(scene.node);
    await scene.gone();
    expect(await trusts(scene.node, port)).toBe(false);
  });
});
