// What an admin reads when something is missing: one line, in `kubectl describe` or `kubectl logs`.
import { afterAll, expect, test } from 'vitest';
import { eventually, namespace, shows, useScene } from './scene.ts';
import { makeAuthority, onNode } from './witness.ts';

const scene = await useScene();

afterAll(() => scene.reset());

const workload = ['-n', namespace, 'daemonset/node-ca-trust'] as const;
test('an image that cannot be pulled', async () => {
  await scene.kubectl('set', 'image', ...workload, 'node-ca-trust=registry.example:5000/node-ca-trust:none');
  await scene.label(scene.node);
  await shows(/Failed to pull image "registry\.example:5000\/node-ca-trust:none"/, scene.describePods);
});

test('a namespace that forbids privileged pods', async () => {
  await scene.kubectl('label', 'namespace', namespace, '--overwrite', 'pod-security.kubernetes.io/enforce=baseline');
  await scene.label(scene.node);
  const text = /violates PodSecurity "baseline:latest": .*(privileged|hostPath volumes)/;
  await shows(text, () => scene.kubectl('-n', namespace, 'describe', 'daemonset', 'node-ca-trust'));
});

test('the quota that the namespace may need for the priority class is there', async () => {
  const quota = JSON.parse(
    await scene.kubectl('-n', namespace, 'get', 'resourcequota', 'node-ca-trust', '-o', 'json'),
  ) as {
    spec: unknown;
  };
  expect(quota.spec).toMatchObject({ scopeSelector: { matchExpressions: [{ values: ['system-node-critical'] }] } });
});

test('a second agent with the same port', async () => {
  await scene.putSecret({ 'company-ca.crt': (await makeAuthority()).ca.pem });
  const name = 'node-ca-trust-twin';
  const found = await scene.kubectl('get', 'daemonset', '-n', namespace, 'node-ca-trust', '-o', 'json');
  const twin = JSON.parse(
    found
      .replaceAll('"app.kubernetes.io/instance":"default"', '')
      .replaceAll('"app.kubernetes.io/instance": "default"', '"app.kubernetes.io/instance": "twin"'),
  ) as { metadata: unknown };
  await scene.label(scene.node);
  await scene.rollout();
  await scene.apply({ ...twin, metadata: { name, namespace, labels: { 'app.kubernetes.io/instance': 'twin' } } });
  try {
    await shows(/didn't have free ports for the requested pod ports/, scene.describePods);
  } finally {
    await scene.kubectl('-n', namespace, 'delete', 'daemonset', name);
  }
});

test('an argument that the image does not know', async () => {
  const patch = [{ op: 'add', path: '/spec/template/spec/containers/0/args/-', value: '--no-such' }];
  await scene.kubectl('patch', ...workload, '--type=json', '-p', JSON.stringify(patch));
  await scene.label(scene.node);
  await shows(/Message: +node-ca-trust: unknown option '--no-such'; see --help/, scene.describePods);
});

test('a node whose distribution is not known, or that lacks the refresh tool', async () => {
  await scene.putSecret({ 'company-ca.crt': (await makeAuthority()).ca.pem });
  const log = (): Promise<string> => scene.logs(scene.node);
  await onNode(scene.node, 'rm /etc/os-release; echo ID=plan9 > /etc/os-release');
  await onNode(scene.node, 'mv /usr/sbin/update-ca-certificates /var/tmp');
  try {
    await scene.label(scene.node);
    await shows(/the host runs plan9, whose trust store is not known here; supported: /, log);
    expect((await scene.readiness(scene.node)).text).toMatch(/plan9.*\n503$/);
  } finally {
    await onNode(scene.node, 'rm /etc/os-release; ln -s ../usr/lib/os-release /etc/os-release');
  }
  try {
    await shows(/has no \/usr\/sbin\/update-ca-certificates; install the package ca-certificates on it/, log);
  } finally {
    await onNode(scene.node, 'mv /var/tmp/update-ca-certificates /usr/sbin');
  }
  await eventually('it is ready', async () => (await scene.readiness(scene.node)).ready, { seconds: 120 });
});

test('a host root that is not mounted where it should be', async () => {
  await scene.putSecret({ 'company-ca.crt': (await makeAuthority()).ca.pem });
  // Whichever comes first: the mount of the node's root, or of its /usr.
  const patch = [
    { op: 'replace', path: '/spec/template/spec/volumes/0/hostPath', value: { path: '/no/such', type: 'Directory' } },
  ];
  await scene.kubectl('patch', ...workload, '--type=json', '-p', JSON.stringify(patch));
  await scene.label(scene.node);
  await shows(/hostPath type check failed: \/no\/such is not a directory/, scene.describePods);
});
