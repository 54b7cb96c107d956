// The Helm chart on a real API server: what it renders is accepted, what it installs does what the manifests do.
import { execa } from 'execa';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { project } from '../image/machine.ts';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import {
  type AgentNames,
  type Authority,
  type Scene,
  defaultAgent,
  endServers,
  makeAuthority,
  openScene,
  serveOn,
  storeOf,
  trusts,
} from './scene.ts';

const chart = join(project, 'deploy/chart');
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
  await helm('uninstall', 'trust', '-n', agent.namespace, '--ignore-not-found');
  await scene.kubectl('delete', 'namespace', agent.namespace, '--ignore-not-found');
});

afterAll(() => scene.reset());

async function helm(...args: readonly string[]): Promise<string> {
  const PATH = [...scene.cluster.path, cleanEnvironment['PATH']].join(':');
  const env = { ...cleanEnvironment, PATH, KUBECONFIG: scene.cluster.kubeconfig };
  const { stdout, exitCode, stderr } = await execa('helm', args, { env, extendEnv: false, reject: false });
  if (exitCode !== 0) throw new Error(`helm ${args.join(' ')} (${exitCode ?? '?'}):\n${stdout}${stderr}`);
  return stdout;
}

/** As an admin of a cluster that enforces Pod Security has to make it. */
async function makeNamespace(): Promise<void> {
  const labels = { 'pod-security.kubernetes.io/enforce': 'privileged' };
  await scene.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: agent.namespace, labels } });
}

describe('the API server accepts', () => {
  const strict = ['apply', '--dry-run=server', '--validate=strict'];

  test('each Kustomize directory', async () => {
    await scene.kubectl('apply', '-k', join(project, 'deploy/base'));
    for (const name of readdirSync(join(project, 'deploy/overlays'))) {
      await scene.kubectl(...strict, '-k', join(project, 'deploy/overlays', name));
    }
  });

  test('the chart, with each of its files of values', async () => {
    await makeNamespace();
    const files = readdirSync(chart).filter((name) => /^values.*\.yaml$/.test(name));
    expect(files).toContain('values.yaml');
    for (const file of files) {
      const rendered = await helm('template', 'trust', chart, '-n', agent.namespace, '-f', join(chart, file));
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
    await makeNamespace();
    await helm('install', 'trust', chart, '-n', agent.namespace);
    await scene.putSecret({ 'company-ca.crt': authority.ca.pem }, agent);
    await scene.label(scene.node);
    await scene.rollout(agent);
    expect(await trusts(scene.node, port)).toBe(true);
    expect(await helm('test', 'trust', '-n', agent.namespace)).toMatch(/Phase: +Succeeded/);
    await helm('uninstall', 'trust', '-n', agent.namespace, '--wait');
    await scene.gone(agent);
    expect(await trusts(scene.node, port)).toBe(true);
    await helm('install', 'trust', chart, '-n', agent.namespace);
    await scene.rollout(agent);
    await scene.unlabel(scene.node);
    await scene.gone(agent);
    expect(await trusts(scene.node, port)).toBe(false);
    expect(await storeOf(scene.node)).toBe(before);
  });

  test('fails its test with a Secret that is no bundle', async () => {
    await makeNamespace();
    await helm('install', 'trust', chart, '-n', agent.namespace);
    await scene.putSecret({ 'company-ca.crt': authority.ca.key }, agent);
    await expect(helm('test', 'trust', '-n', agent.namespace, '--logs')).rejects.toThrow(/private-key/);
  });
});
