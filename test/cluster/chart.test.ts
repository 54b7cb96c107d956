// The Helm chart on a real API server: what it renders is accepted, what it installs does what the manifests do.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { render } from '../deploy/manifests.ts';
import type { ClusterNode } from './cluster.ts';
import { base, overlays } from './installed.ts';
import { type AgentNames, chart, defaultAgent, useScene } from './scene.ts';
import { makeAuthority, serveOn, storeOf, trusts } from './witness.ts';

const agent: AgentNames = { ...defaultAgent, namespace: 'helm-test' };
/** What another instance gives its name to. */
const named = (instance: string) => {
  const name = `node-ca-trust-${instance}`;
  return { daemonSet: name, secret: name };
};

const authority = await makeAuthority();
const scene = await useScene(() => Promise.resolve());

beforeAll(() => scene.reset());

afterAll(() => scene.reset());

describe('the API server accepts', () => {
  const strict = ['apply', '--dry-run=server', '--validate=strict'];

  test('each Kustomize directory', async () => {
    for (const directory of [base, ...readdirSync(overlays).map((name) => join(overlays, name))]) {
      // The operator of Prometheus brings its kinds along; here is none.
      const items = render(directory).filter(({ kind }) => !['PodMonitor', 'PrometheusRule'].includes(kind));
      const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
      const { code, stderr } = await scene.cluster.kubectl([...strict, '-f', '-'], { input });
      expect([directory, code, stderr]).toEqual([directory, 0, '']);
    }
  });

  test('the chart, with each of its files of values', async () => {
    const files = readdirSync(chart).filter((name) => /^values.*\.yaml$/.test(name));
    expect(files).toContain('values.yaml');
    for (const file of files) {
      const input = await scene.helm('template', 'trust', chart, '-n', 'default', '-f', join(chart, file));
      const { code, stderr } = await scene.cluster.kubectl([...strict, '-n', 'default', '-f', '-'], { input });
      expect([file, code, stderr]).toEqual([file, 0, '']);
    }
  });
});

describe('the chart', () => {
  beforeAll(async () => {
    // It stands in the place of the base.
    await scene.kubectl('delete', '-k', base);
    await scene.makeNamespace(agent);
  });

  afterEach(async () => {
    await scene.unlabel(scene.node);
    await scene.gone(agent);
    await scene.helm('uninstall', 'trust', '-n', agent.namespace, '--ignore-not-found');
    await scene.kubectl('-n', agent.namespace, 'delete', 'secret', agent.secret, '--ignore-not-found');
  });

  afterAll(async () => {
    await scene.kubectl('delete', 'namespace', agent.namespace, '--wait=false');
  });

  test('installs, tests, keeps the trust when it is deleted, and takes it off when the node is unlabelled', async () => {
    const before = await storeOf(scene.node);
    const port = await serveOn(scene.node, authority);
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

  test('gives each pool of nodes CAs of its own, and the node of both pools those of both', async () => {
    const lab: AgentNames = { ...agent, instance: 'lab', label: 'node-ca-trust.io/lab', port: 9642, ...named('lab') };
    const [nearby, far] = [await makeAuthority(), await makeAuthority()];
    const ports = async (node: ClusterNode) => [await serveOn(node, nearby), await serveOn(node, far)] as const;
    const [ofNode, ofOther] = [await ports(scene.node), await ports(scene.other)];
    const seen = async (): Promise<boolean[][]> => [
      await Promise.all(ofNode.map((port) => trusts(scene.node, port))),
      await Promise.all(ofOther.map((port) => trusts(scene.other, port))),
    ];
    const pool = { instance: 'lab', nodeLabels: [`${lab.label}=true`], port: lab.port };
    await scene.helm('install', 'trust', chart, '-n', agent.namespace, `--set-json=pools=${JSON.stringify([pool])}`);
    await scene.putSecret({ 'nearby.crt': nearby.ca.pem }, agent);
    await scene.putSecret({ 'far.crt': far.ca.pem }, lab);
    try {
      await scene.label(scene.node);
      await scene.label(scene.other, lab.label);
      await Promise.all([scene.rollout(agent), scene.rollout(lab)]);
      expect(await seen()).toEqual([
        [true, false],
        [false, true],
      ]);
      await scene.label(scene.node, lab.label);
      await scene.rollout(lab, 2);
      expect(await seen()).toEqual([
        [true, true],
        [false, true],
      ]);
    } finally {
      await scene.kubectl('label', 'node', '--all', `${lab.label}-`);
      await scene.gone(lab);
      await scene.kubectl('-n', lab.namespace, 'delete', 'secret', lab.secret, '--ignore-not-found');
    }
  });

  test("listens on the node's address when told to, and is probed there", async () => {
    await scene.putSecret({ 'company-ca.crt': authority.ca.pem }, agent);
    await scene.label(scene.node);
    await scene.helm('install', 'trust', chart, '-n', agent.namespace, '--set=listenOn=node');
    await scene.rollout(agent);
    const path = '{.status.addresses[?(@.type=="InternalIP")].address}';
    const address = await scene.kubectl('get', 'node', scene.node.name, '-o', `jsonpath=${path}`);
    const ask = (where: string) => ['-sS', '--noproxy', '*', `http://${where}:${agent.port}/metrics`];
    // As a Prometheus on another node does.
    const { stdout } = await scene.other.exec('curl', ask(address));
    expect(stdout).toMatch(/^node_ca_trust_converged 1$/m);
    expect((await scene.node.exec('curl', ask('127.0.0.1'))).code).toBe(7);
  });

  test('fails its test with a Secret that is no bundle', async () => {
    await scene.helm('install', 'trust', chart, '-n', agent.namespace);
    await scene.putSecret({ 'company-ca.crt': authority.ca.key }, agent);
    await expect(scene.helm('test', 'trust', '-n', agent.namespace, '--logs')).rejects.toThrow(/private-key/);
  });
});
