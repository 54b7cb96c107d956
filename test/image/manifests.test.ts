// What a cluster admin relies on in deploy/base, as kubectl renders it.
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, inject, test } from 'vitest';
import { makeCert } from '../sandbox/harness/certs.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { bundleFile, opensslTrusts } from '../sandbox/harness/tls-server.ts';
import { createWorld } from '../sandbox/harness/world.ts';
import { createContainer, nameAndValue, type Process } from './container.ts';
import { packageJson } from './machine.ts';
import { asKubernetesReadsIt, render, type DaemonSet, type Resource } from './manifests.ts';

const resources = render('deploy/base');
const daemonSet = find('DaemonSet') as DaemonSet;
const pod = daemonSet.spec.template.spec;
const [agent] = pod.containers;
const bundlePath = '/etc/node-ca-trust/bundle';

function find(kind: string): Resource {
  const [found, ...others] = resources.filter((resource) => resource.kind === kind);
  if (found === undefined || others.length > 0) throw new Error(`deploy/base: exactly one ${kind} was expected`);
  return found;
}

describe('deploy/base', () => {
  test('is what the agent needs, in a namespace of its own', () => {
    expect(resources.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`)).toEqual([
      'Namespace /node-ca-trust',
      'ResourceQuota node-ca-trust/node-ca-trust',
      'ServiceAccount node-ca-trust/node-ca-trust',
      'ClusterRole /node-ca-trust',
      'ClusterRoleBinding /node-ca-trust',
      'DaemonSet node-ca-trust/node-ca-trust',
    ]);
    expect(find('Namespace').metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'privileged' });
  });

  test('may read Nodes through the API, and nothing else', () => {
    expect(find('ClusterRole')).toMatchObject({ rules: [{ apiGroups: [''], resources: ['nodes'], verbs: ['get'] }] });
    expect(find('ClusterRoleBinding')).toMatchObject({
      roleRef: { kind: 'ClusterRole', name: 'node-ca-trust' },
      subjects: [{ kind: 'ServiceAccount', name: 'node-ca-trust', namespace: 'node-ca-trust' }],
    });
    expect(find('ServiceAccount')).toMatchObject({ automountServiceAccountToken: false });
    expect(pod).toMatchObject({ serviceAccountName: 'node-ca-trust', automountServiceAccountToken: true });
  });

  test('has no field that Kubernetes does not know', () => {
    expect(asKubernetesReadsIt(daemonSet)).toMatchObject(daemonSet);
  });

  test('runs the image of this version', () => {
    expect(agent.image).toBe(`node-ca-trust:${packageJson().version}`);
  });

  test('runs on labelled Linux nodes only, whatever taints they bear, before the network and before others', () => {
    expect(pod).toMatchObject({
      nodeSelector: { 'node-ca-trust.io/enabled': 'true', 'kubernetes.io/os': 'linux' },
      tolerations: [{ operator: 'Exists' }],
      priorityClassName: 'system-node-critical',
      hostNetwork: true,
      dnsPolicy: 'Default',
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 120,
    });
    expect(find('ResourceQuota')).toMatchObject({
      spec: { scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', values: ['system-node-critical'] }] } },
    });
    expect(daemonSet.spec.updateStrategy).toEqual({
      type: 'RollingUpdate',
      rollingUpdate: { maxUnavailable: '10%', maxSurge: 0 },
    });
  });

  test('selects the pods it makes', () => {
    expect(daemonSet.spec.template.metadata.labels).toMatchObject(daemonSet.spec.selector.matchLabels);
  });

  test('mounts the Secret whole and optional, and the whole node', () => {
    expect(agent.volumeMounts.filter(({ subPath }) => subPath !== undefined)).toEqual([]);
    expect(agent.volumeMounts).toEqual([
      { name: 'host', mountPath: '/host', mountPropagation: 'HostToContainer' },
      { name: 'bundle', mountPath: bundlePath, readOnly: true },
    ]);
    expect(pod.volumes).toMatchObject([
      { name: 'host', hostPath: { path: '/', type: 'Directory' } },
      { name: 'bundle', secret: { secretName: 'node-ca-trust', optional: true } },
    ]);
  });

  test('is privileged, with a root of its own that nobody writes to, and asks for no namespace but the network', () => {
    expect(agent.securityContext).toMatchObject({ privileged: true, readOnlyRootFilesystem: true });
    expect(pod).not.toHaveProperty('hostPID');
    expect(pod).not.toHaveProperty('hostIPC');
  });

  test('bounds its memory, not its CPU', () => {
    expect(agent.resources).toEqual({ requests: { cpu: '25m', memory: '64Mi' }, limits: { memory: '192Mi' } });
  });

  test('is probed where it listens: on loopback', () => {
    const port = agent.ports.find(({ name }) => name === 'status')?.containerPort;
    expect(agent.args).toContain(`--listen=127.0.0.1:${port ?? ''}`);
    const where = { host: '127.0.0.1', port: 'status' };
    expect(agent.startupProbe.httpGet).toEqual({ ...where, path: '/healthz' });
    expect(agent.livenessProbe.httpGet).toEqual({ ...where, path: '/healthz' });
    expect(agent.readinessProbe.httpGet).toEqual({ ...where, path: '/readyz' });
  });
});

describe('the command line of the DaemonSet', () => {
  const image = inject('image');

  test('has only options that the program knows, with the defaults it says they have', async () => {
    const { code, output } = await (await createContainer(image)).program('run', '--help');
    expect(code).toBe(0);
    const [command, ...options] = agent.args;
    expect(command).toBe('run');
    const help = output.replace(/\s+/g, ' ');
    for (const [name, value] of options.map(nameAndValue)) {
      expect(help).toContain(`${name} `);
      if (name !== '--bundle') expect(help).toContain(value);
    }
    for (const { name } of agent.env) {
      expect(help).toContain(`${name.replace('NODE_CA_TRUST_', '--').toLowerCase().replaceAll('_', '-')} `);
    }
  });

  test('makes a node trust the Secret, says so to the kubelet, follows a rotation and ends at SIGTERM', async () => {
    const [first, second] = await Promise.all([makeCert(), makeCert()]);
    await using world = await createWorld();
    await using secret = await mountSecret({ 'ca.crt': first.pem });
    const container = await createContainer(image, { host: world.root, bundle: secret.directory });
    const port = await freePort();
    const trusts = async (pem: string) => (await opensslTrusts(world, pem, bundleFile)).trusted;
    // The last of an option counts: this machine's port 9641 may be taken.
    const args = [...agent.args, `--listen=127.0.0.1:${port}`];
    await using daemon = container.start(args, { NODE_CA_TRUST_NODE_NAME: 'node-1' });
    await answers(daemon, port, agent.startupProbe.httpGet.path);
    await answers(daemon, port, agent.readinessProbe.httpGet.path);
    expect(await trusts(first.pem)).toBe(true);

    await secret.swap({ 'ca.crt': second.pem });
    await expect.poll(() => trusts(second.pem), { timeout: 30_000, interval: 200 }).toBe(true);
    await expect.poll(() => trusts(first.pem), { timeout: 30_000, interval: 200 }).toBe(false);
    await answers(daemon, port, agent.readinessProbe.httpGet.path);

    await daemon.terminate();
    expect(await daemon.ended).toMatchObject({ code: 0 });
    // Nothing answered whether the node is still labelled, so its trust stays.
    expect(await trusts(second.pem)).toBe(true);
  });
});

/** Waits until a path answers 200, as the kubelet asks for it. */
async function answers(daemon: Process, port: number, path: string): Promise<void> {
  const ended = daemon.ended.then(({ code, output }) => {
    throw new Error(`the daemon ended with exit code ${code ?? 'none'}:\n${output}`);
  });
  // It ends by and by in every test; that matters only while somebody waits here.
  ended.catch(() => undefined);
  let last = 'none';
  for (let attempt = 0; attempt < 300; attempt += 1) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
    if (answer?.status === 200) return;
    if (answer !== undefined) last = `${answer.status} ${await answer.text()}`;
    await Promise.race([sleep(200), ended]);
  }
  throw new Error(`${path} did not become 200; the last answer was: ${last}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<number>();
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    server.close(() => {
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  return promise;
}
