// The chart: the same objects as Kustomize makes, values that cannot be misspelt, and a test without any privilege.
import { execa } from 'execa';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { project, run } from '../image/machine.ts';
import {
  agentOf,
  enablingLabels,
  only,
  optionValues,
  render,
  renderChart,
  renderChartTest,
  type DaemonSet,
  type Resource,
} from './manifests.ts';

/** Of an object, what it is and does: without Helm's own labels, and with lists in order whose order means nothing. */
function essence(resource: Resource): unknown {
  const labels = { ...resource.metadata.labels, 'helm.sh/chart': '', 'app.kubernetes.io/managed-by': '' };
  const bare = { ...resource, metadata: { ...resource.metadata, labels } };
  if (resource.kind !== 'DaemonSet') return bare;
  const { spec } = resource as DaemonSet;
  const pod = spec.template.spec;
  const [agent] = pod.containers;
  const sorted = {
    ...pod,
    containers: [{ ...agent, env: agent.env.toSorted((left, right) => left.name.localeCompare(right.name)) }],
    // A node selector of one label and an affinity for it mean the same.
    nodeSelector: { 'kubernetes.io/os': pod.nodeSelector['kubernetes.io/os'] },
    affinity: enablingLabels(pod),
    volumes: pod.volumes.toSorted((left, right) => left.name.localeCompare(right.name)),
  };
  return { ...bare, spec: { ...spec, template: { ...spec.template, spec: sorted } } };
}

const inOrder = (resources: readonly Resource[]) =>
  resources
    .filter(({ kind }) => kind !== 'Namespace')
    .toSorted((left, right) => `${left.kind} ${left.metadata.name}`.localeCompare(`${right.kind} ${right.metadata.name}`))
    .map(essence);

describe('deploy/chart', () => {
  test.each([
    { namespace: 'node-ca-trust', values: [], directory: 'deploy/base' },
    { namespace: 'kube-system', values: ['values-aks.yaml'], directory: 'deploy/overlays/aks' },
    { namespace: 'node-ca-trust', values: ['values-pool-example.yaml'], directory: 'deploy/overlays/pool-example' },
    {
      namespace: 'node-ca-trust',
      values: ['values-configmap-example.yaml'],
      directory: 'deploy/overlays/configmap-example',
    },
    {
      namespace: 'node-ca-trust',
      values: ['values-trust-bundle-example.yaml'],
      directory: 'deploy/overlays/trust-bundle-example',
    },
  ])('makes with $values what $directory makes', ({ namespace, values, directory }) => {
    const options = values.map((file) => `--values=deploy/chart/${file}`);
    expect(inOrder(renderChart(namespace, ...options))).toEqual(inOrder(render(directory)));
  });

  // Helm takes a key twice; Flux and Kustomize, who read what it has made, do not.
  test.each([
    ['node-ca-trust.io/enabled=true', { 'kubernetes.io/os': 'linux', 'node-ca-trust.io/enabled': 'true' }],
    ['kubernetes.io/os=linux', { 'kubernetes.io/os': 'linux' }],
  ])('selects the nodes that bear %s by a map without double keys', (label, selector) => {
    const yaml = run('helm', ['template', 'any', 'deploy/chart', '--namespace', 'anywhere', `--set=nodeLabels={${label}}`]);
    const directory = mkdtempSync(join(tmpdir(), 'node-ca-trust-chart-'));
    try {
      writeFileSync(join(directory, 'all.yaml'), yaml);
      writeFileSync(join(directory, 'kustomization.yaml'), 'resources: [all.yaml]');
      const made = only(render(directory), 'DaemonSet') as DaemonSet;
      expect(made.spec.template.spec.nodeSelector).toEqual(selector);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  const lab = { instance: 'lab', nodeLabels: ['node-ca-trust.io/lab=true'], port: 9642 };
  const withPools = (...pools: readonly unknown[]): string => `--set-json=pools=${JSON.stringify(pools)}`;

  test('makes with a pool what deploy/base and deploy/overlays/pool-example make together', () => {
    const made = renderChart('node-ca-trust', withPools(lab));
    expect(inOrder(made)).toEqual(
      inOrder([...render('deploy/base'), ...render('deploy/overlays/pool-example')]),
    );
  });

  test("gives a pool the release's values but for its own, and never its Secret", () => {
    const own = { ...lab, strict: false, probes: ['lab.example.com:443'] };
    const options = ['strict=true', 'probes={a.example.com:443}', 'resync=5m', 'secretName=all'];
    const made = renderChart('anywhere', withPools(own), ...options.map((value) => `--set=${value}`));
    const [first, pool] = made.filter(({ kind }) => kind === 'DaemonSet').map((resource) => agentOf([resource]).agent);
    const values = (agent = first) =>
      ['--secret', '--probe', '--resync'].map((option) => agent && optionValues(agent, option)[0]);
    expect(values()).toEqual(['anywhere/all', 'a.example.com:443', '5m']);
    expect(values(pool)).toEqual(['anywhere/node-ca-trust-lab', 'lab.example.com:443', '5m']);
    const strict = [first, pool].map((agent) => agent?.env.find(({ name }) => name === 'NODE_CA_TRUST_STRICT')?.value);
    expect(strict).toEqual(['true', 'false']);
  });

  const sourceOf = ({ kind, ...resource }: Resource): unknown => {
    if (kind !== 'DaemonSet') return [];
    const { pod, agent } = agentOf([{ kind, ...resource }]);
    const bundle = pod.volumes.find(({ name }) => name === 'bundle');
    return [{ ...bundle, followed: optionValues(agent, '--secret') }];
  };

  test("gives a pool CAs of its own where the release's come by a volume, and the other way round", () => {
    const made = renderChart(
      'anywhere',
      '--set=bundleVolume.configMap.name=all',
      withPools({ ...lab, secretName: 'lab-cas' }, { ...lab, instance: 'dmz', nodeLabels: ['dmz='], port: 9643, bundleVolume: { configMap: { name: 'dmz' } } }),
    );
    expect(made.flatMap(sourceOf)).toEqual([
      { name: 'bundle', configMap: { name: 'all' }, followed: [] },
      expect.objectContaining({
        secret: expect.objectContaining({ secretName: 'lab-cas' }) as unknown,
        followed: ['anywhere/lab-cas'],
      }),
      { name: 'bundle', configMap: { name: 'dmz' }, followed: [] },
    ]);
    const followed = made.flatMap(({ kind, metadata }) => (kind === 'Role' ? [metadata.name] : []));
    expect(followed).toEqual(['node-ca-trust-lab']);
  });

  test('mounts the configuration of k3s beside its directory of registries', () => {
    const directory = '/var/lib/rancher/k3s/agent/etc/containerd/certs.d';
    const made = renderChart('anywhere', '--set=privilege=restricted', `--set=registryDirectories={${directory},/etc/docker/certs.d}`);
    const { pod, agent } = agentOf(made);
    const isBelow = (path: string | undefined): boolean => path?.includes('k3s') === true;
    const paths = pod.volumes.flatMap(({ hostPath }) => (isBelow(hostPath?.path) ? [hostPath] : []));
    expect(paths).toEqual([
      { path: directory.replace('/certs.d', ''), type: 'DirectoryOrCreate' },
      { path: directory, type: 'DirectoryOrCreate' },
    ]);
    const mounts = agent.volumeMounts.filter(({ mountPath }) => isBelow(mountPath));
    expect(mounts.map(({ mountPath, readOnly = false }) => [mountPath, readOnly])).toEqual([
      [`/host${directory.replace('/certs.d', '')}`, true],
      [`/host${directory}`, false],
    ]);
  });

  const other = { ...lab, instance: 'other' };
  const writer = 'privilege=writer';
  test.each([
    [[withPools(lab, other)], 'pools[1] (other): nodeLabels: node-ca-trust.io/lab=true enables instance lab too; give each'],
    [[withPools(lab, { ...lab, port: 9643 })], 'pools: each needs an instance of its own; here are default, lab, lab'],
    [
      [withPools({ ...lab, port: 9641 })],
      'pools[0] (lab): port: 9641 is that of instance default too, and a node may bear node-ca-trust.io/lab=true and',
    ],
    [[withPools({ ...lab, resync: '0s' })], 'pools[0] (lab): resync: 0s: the agent takes 1s to 24d; choose'],
    [['--set=resync=1ms'], 'resync: 1ms: the agent takes 1s to 24d; choose'],
    [['--set=resync=25d'], 'resync: 25d: the agent takes 1s to 24d; choose'],
    [['--set=probes={a.example:65536}'], 'probes, registries: a.example:65536: no port is above 65535'],
    [['--set=secretName=a,bundleVolume.configMap.name=b'], 'secretName: a: bundleVolume stands in the place of the Secret'],
    [['--set=port=443,privilege=restricted'], 'port: 443: privilege restricted may not listen below 1024; choose'],
    [['--set=runtimeRefresh=restart,privilege=restricted'], 'restart: privilege restricted cannot restart a runtime; choose'],
    [[`--set=runtimeRefresh=restart,${writer}`], 'runtimeRefresh: restart: privilege writer cannot restart a runtime; choose'],
    [[`--set=runtimeRefresh=certs.d,${writer}`], 'runtimeRefresh: certs.d: privilege writer sees no runtime'],
    [[`--set=registries={a.example},${writer}`], 'registries: privilege writer leaves the runtimes alone; give it none'],
    [[`--set=registryDirectories={/etc/a},${writer}`], 'registryDirectories: no agent here writes in them'],
    [
      ['--set=registries={a.example}', withPools({ ...lab, privilege: 'writer' })],
      'pools[0] (lab): registries: privilege writer leaves the runtimes alone',
    ],
  ])('refuses %s in one line that says where, what and what to do', async (options, said) => {
    const args = ['template', 'any-release', 'deploy/chart', ...options];
    const { exitCode, stderr } = await execa('helm', args, { cwd: project, reject: false });
    expect(exitCode).toBe(1);
    expect(stderr.split('\n').filter((line) => line.startsWith('Error: '))).toEqual([expect.stringContaining(said)]);
  });

  test.each([
    ['a port below 1024 for an agent that may', ['--set=port=443']],
    ['the shortest and the longest resync', ['--set=resync=1s', withPools({ ...lab, resync: '24d' })]],
    [
      'one port for pools that have no node in common',
      [withPools({ ...lab, nodeLabels: ['pool=a'] }, { ...other, nodeLabels: ['pool=b', 'pool=c'] })],
    ],
    [
      'registries and servers by name and by address, with and without a port',
      ['--set=registries={a,REG.example.com:5000,10.0.0.1,[fd00::1]:5000},probes={a:443,[fd00::1]:443}'],
    ],
    ['directories for the one restricted pool', [`--set=registryDirectories={/etc/a},${writer}`, withPools({ ...lab, privilege: 'restricted' })]],
  ])('takes %s', (_, options) => {
    expect(() => renderChart('anywhere', ...options)).not.toThrow();
  });

  test.each(['restricted', 'writer'])('makes with privilege=%s what the overlay of this name makes', (privilege) => {
    const made = renderChart('node-ca-trust', `--set=privilege=${privilege}`);
    expect(inOrder(made)).toEqual(inOrder(render(`deploy/overlays/${privilege}`)));
  });

  test('makes with admissionPolicy.create=false what deploy/overlays/no-admission-policy makes', () => {
    const made = renderChart('node-ca-trust', '--set=admissionPolicy.create=false');
    expect(inOrder(made)).toEqual(inOrder(render('deploy/overlays/no-admission-policy')));
  });

  test('makes with listenOn=node what deploy/overlays/monitoring makes of the agent', () => {
    const made = renderChart('node-ca-trust', '--set=listenOn=node');
    const agents = render('deploy/overlays/monitoring').filter(
      ({ kind }) => !['PodMonitor', 'PrometheusRule', 'ConfigMap'].includes(kind),
    );
    expect(inOrder(made)).toEqual(inOrder(agents));
  });

  test('passes helm lint', () => {
    run('helm', ['lint', '--strict', 'deploy/chart']);
  });

  test.each([
    ['instnce=lab', "at '': additional properties 'instnce' not allowed"],
    ['image.tagg=1', "at '/image': additional properties 'tagg' not allowed"],
    ['instance=Lab', "at '/instance': 'Lab' does not match pattern"],
    ['bundleVolume.name=bundle', "at '/bundleVolume': additional properties 'name' not allowed"],
    ['bundleVolume.confgMap.name=a', "at '/bundleVolume': additional properties 'confgMap' not allowed"],
    ['bundleVolume.hostPath.path=/cas', "at '/bundleVolume': additional properties 'hostPath' not allowed"],
    ['port=65536', "at '/port': maximum: got 65,536, want 65,535"],
    ['port=none', "at '/port': got string, want integer"],
    ['nodeLabels={lab}', "at '/nodeLabels/0': 'lab' does not match pattern"],
    ['resync=often', "at '/resync': 'often' does not match pattern"],
    ['logLevel=debug', "at '/logLevel': value must be one of 'info', 'warn', 'error', 'silent'"],
    ['maxCertificates=0', "at '/maxCertificates': minimum: got 0, want 1"],
    ['listenOn=0.0.0.0', "at '/listenOn': value must be one of 'loopback', 'node'"],
    ['registries={a..b:5000}', "at '/registries/0': 'a..b:5000' does not match pattern"],
    ['registries={reg.example.com:}', "at '/registries/0': 'reg.example.com:' does not match pattern"],
    ['registries={:::}', "at '/registries/0': ':::' does not match pattern"],
    ['probes={-reg.example.com:443}', "at '/probes/0': '-reg.example.com:443' does not match pattern"],
    ['probes={reg.example.com:443:443}', "at '/probes/0': 'reg.example.com:443:443' does not match pattern"],
    ['pools[0].instance=lab', "at '/pools/0': missing properties 'nodeLabels', 'port'"],
    ['updateStrategy.maxUnavailable=0', "at '/updateStrategy/maxUnavailable': minimum: got 0, want 1"],
  ])('refuses --set %s in one line that says where and why', async (value, said) => {
    const args = ['template', 'any-release', 'deploy/chart', '--set', value];
    const { exitCode, stderr } = await execa('helm', args, { cwd: project, reject: false });
    expect(exitCode).toBe(1);
    expect(stderr.match(/^\s*- at .*/gm)).toHaveLength(1);
    expect(stderr).toContain(said);
  });

  test('takes an image by its digest, and the credentials for its registry', () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    const image = ['image.repository=registry.example.com/agent', `image.digest=${digest}`, 'image.pullSecrets={a}'];
    const { pod, agent } = agentOf(renderChart('anywhere', ...image.map((value) => `--set=${value}`)));
    expect(agent.image).toBe(`registry.example.com/agent@${digest}`);
    expect(pod['imagePullSecrets']).toEqual([{ name: 'a' }]);
  });

  test("adds labels and annotations to the pods, and lets none take the place of the agent's", () => {
    const own = 'app\\.kubernetes\\.io/instance';
    const options = [`podLabels.${own}=other`, 'podLabels.team=network', 'podAnnotations.note=a'];
    const { daemonSet } = agentOf(renderChart('anywhere', ...options.map((value) => `--set=${value}`)));
    const { labels, annotations } = daemonSet.spec.template.metadata as Resource['metadata'] & { annotations: unknown };
    expect(labels).toEqual({ ...daemonSet.spec.selector.matchLabels, team: 'network' });
    expect(annotations).toEqual({ 'kubectl.kubernetes.io/default-container': 'node-ca-trust', note: 'a' });
  });
});

describe('helm test', () => {
  const options = ['--set=instance=lab', '--set=allowLeaf=true', '--set=maxCertificates=7'];
  const check = renderChartTest('anywhere', ...options);
  const [container] = check.spec.containers;
  const { daemonSet, pod, agent } = agentOf(renderChart('anywhere', ...options));

  test('reads the Secret that the agents read, by the same rules and with the same image', () => {
    const volume = pod.volumes.find(({ name }) => name === 'bundle')?.secret?.secretName;
    expect(check.spec.volumes).toMatchObject([{ secret: { secretName: volume, optional: true } }]);
    expect(container.image).toBe(agent.image);
    expect(container.args).toEqual(['check', '--max-certificates=7', '/etc/node-ca-trust/bundle']);
    expect(agent.env).toEqual(expect.arrayContaining([...container.env]));
    expect(only(renderChart('anywhere'), 'DaemonSet').metadata.namespace).toBe(check.metadata.namespace);
  });

  test('reads what the agents mount in the place of the Secret', () => {
    const values = '--values=deploy/chart/values-configmap-example.yaml';
    const mounted = agentOf(renderChart('anywhere', values)).pod.volumes.filter(({ name }) => name === 'bundle');
    expect(renderChartTest('anywhere', values).spec.volumes).toEqual(mounted);
  });

  test('has a command line that the program knows', async () => {
    await execa('node', ['src/main.ts', ...container.args, '--help'], { cwd: project });
  });

  test('is no pod of the DaemonSet', () => {
    expect(check.metadata.labels).not.toMatchObject(daemonSet.spec.selector.matchLabels);
  });

  test('has no privilege: what the strictest Pod Security level asks for, and no account', () => {
    expect(check.spec).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
    });
    for (const field of ['hostNetwork', 'hostPID', 'hostIPC', 'serviceAccountName'])
      expect(check.spec).not.toHaveProperty(field);
    expect(check.spec.volumes.filter(({ hostPath }) => hostPath !== undefined)).toEqual([]);
  });
});
