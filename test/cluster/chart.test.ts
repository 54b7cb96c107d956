// The Helm chart on a real API server: what it renders is accepted, what it installs does what the manifests do.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { project } from '../image/machine.ts';
import {
  type AgentNames,
  type Authority,
  type Scene,
  chart,
  defaultAgent,
  endServers,
  makeAuthority,
  openScene,
  serveOn,
  storeOf,
  trusts,
} from './scene.ts';

const agent: AgentNames = { ...defaultAgent, namespace: 'helm-test' };

let scene: Scene;
let authority: Authority;

beforeAll(async () => {
  scene = await openScene();
  authority = await makeAuthority();
});

beforeEach(async () => {
  await scene.reset();
  await scene.kubectl('delete', '-k', join(project, 'deploy/base'));
});

afterEach(async () => {
  await endServers(scene.node);
  await scene.unlabel(scene.node);
  await scene.helm('uninstall', 'trust', '-n', agent.namespace, '--ignore-not-found');
  await scene.kubectl('delete', 'namespace', agent.namespace, '--ignore-not-found');
});

afterAll(() => scene.reset());

describe('the API server accepts', () => {
  const strict = ['apply', '--dry-run=server', '--validate=strict'];

  test('each Kustomize directory', async () => {
    await scene.kubectl('apply', '-k', join(project, 'deploy/base'));
    for (const name of readdirSync(join(project, 'deploy/overlays'))) {
      await scene.kubectl(...strict, '-k', join(project, 'deploy/overlays', name));
    }
  });

  test('the chart, with each of its files of values', async () => {
    await scene.makeNamespace(agent);
    const files = readdirSync(chart).filter((name) => /^values.*\.yaml$/.test(name));
    expect(files).toContain('values.yaml');
    for (const file of files) {
      const rendered = await scene.helm('template', 'trust', chart, '-n', agent.namespace, '-f', join(chart, file));
      const { code, stderr } = await scene.cluster.kubectl([...strict, '-n', agent.namespace, '-f', '-'], {
        input: rendered,
      });
      expect([file, code, stderr]).toEqual([file, 0, '']);
    }
  });
});

describe('the chart', () => {
  test('installs, tests, keeps the trust when it is deleted, and takes it off when the node is unlabelled', async () => {
    const before = await storeOf(scene.node);
    const port = await serveOn(scene.node, authority);
    await scene.makeNamespace(agent);
    await scene.helm('install', 'trust', chart, '-n', agent.namespace);
    await scene.putSecret({ 'company-ca.crt': authority.ca.pem }, agent);
    await scene.label(scene.node);
    await scene.rollout(agent);
    expect(await trusts(scene.node, port)).toBe(true);
    expect(await scene.helm('test', 'trust', '-n', agent.namespace)).toMatch(/Phase: +Succeeded/);
    await scene.helm('uninstall', 'trust', '-n', agent.namespace, '--wait');
    await scene.gone(agent);
    expect(await trusts(scene.node, port)).toBe(true);
    await scene.helm('install', 'trust', chart, '-n', agent.namespace);
    await scene.rollout(agent);
    await scene.unlabel(scene.node);
    await scene.gone(agent);
    expect(await trusts(scene.node, port)).toBe(false);
    expect(await storeOf(scene.node)).toBe(before);
  });

  test('fails its test with a Secret that is no bundle', async () => {
    await scene.makeNamespace(agent);
    await scene.helm('install', 'trust', chart, '-n', agent.namespace);
    await scene.putSecret({ 'company-ca.crt': authority.ca.key }, agent);
    await expect(scene.helm('test', 'trust', '-n', agent.namespace, '--logs')).rejects.toThrow(/private-key/);
  });
});
