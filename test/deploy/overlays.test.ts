// What a cluster admin relies on in each overlay, beside what test/deploy/every.test.ts holds for all.
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { project } from '../image/machine.ts';
import {
  agentOf,
  asKubernetesReadsIt,
  enablingLabels,
  optionValues,
  render,
  type Container,
  type PodSpec,
  type Resource,
} from './manifests.ts';

const namesOf = (resources: readonly Resource[]) =>
  resources.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`);
const secretOf = (resources: readonly Resource[]) =>
  agentOf(resources).pod.volumes.find(({ secret }) => secret !== undefined)?.secret?.secretName;

/** What an admin's own overlay makes, of one of ours and a component beside it. */
async function renderWith(component: string, overlay: string): Promise<Resource[]> {
  const directory = await mkdtemp(join(tmpdir(), 'node-ca-trust-deploy-'));
  try {
    await cp(join(project, 'deploy'), directory, { recursive: true });
    await mkdir(join(directory, 'overlays/own'));
    const own = { resources: [`../${overlay}`], components: [`../../${component}`] };
    await writeFile(join(directory, 'overlays/own/kustomization.yaml'), JSON.stringify(own));
    return render(join(directory, 'overlays/own'));
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe('deploy/overlays/aks', () => {
  const resources = render('deploy/overlays/aks');
  const { pod } = agentOf(resources);

  test('is in kube-system, and brings neither a namespace nor a quota', () => {
    expect(namesOf(resources)).toEqual([
      'ServiceAccount kube-system/node-ca-trust',
      'Role kube-system/node-ca-trust',
      'ClusterRole /node-ca-trust',
      'RoleBinding kube-system/node-ca-trust',
      'ClusterRoleBinding /node-ca-trust',
      'ValidatingAdmissionPolicy /events.node-ca-trust',
      'ValidatingAdmissionPolicy /node-ca-trust',
      'ValidatingAdmissionPolicyBinding /events.node-ca-trust',
      'ValidatingAdmissionPolicyBinding /node-ca-trust',
      'DaemonSet kube-system/node-ca-trust',
    ]);
  });

  test("takes the retired feature's Secret and nodes, and the agent's own label", () => {
    expect(secretOf(resources)).toBe('custom-ca-trust-secret');
    expect(enablingLabels(pod)).toEqual([
      'kubernetes.azure.com/custom-ca-trust-enabled=true',
      'node-ca-trust.io/enabled=true',
    ]);
    expect(pod.nodeSelector).toEqual({ 'kubernetes.io/os': 'linux' });
  });
});

describe('deploy/overlays/pool-example', () => {
  const base = render('deploy/base');
  const resources = render('deploy/overlays/pool-example');
  const { agent, pod } = agentOf(resources);

  test('is another instance, whose name everything carries', () => {
    expect(namesOf(resources)).toEqual([
      'ServiceAccount node-ca-trust/node-ca-trust-lab',
      'Role node-ca-trust/node-ca-trust-lab',
      'ClusterRole /node-ca-trust-lab',
      'RoleBinding node-ca-trust/node-ca-trust-lab',
      'ClusterRoleBinding /node-ca-trust-lab',
      'ValidatingAdmissionPolicy /events.node-ca-trust-lab',
      'ValidatingAdmissionPolicy /node-ca-trust-lab',
      'ValidatingAdmissionPolicyBinding /events.node-ca-trust-lab',
      'ValidatingAdmissionPolicyBinding /node-ca-trust-lab',
      'DaemonSet node-ca-trust/node-ca-trust-lab',
    ]);
    expect(optionValues(agent, '--instance')).toEqual(['lab']);
    expect(secretOf(resources)).toBe('node-ca-trust-lab');
    expect(enablingLabels(pod)).toEqual(['node-ca-trust.io/lab=true']);
  });

  test('can live beside deploy/base, on one node too: they share no object, port or pod', () => {
    const beside = agentOf(base);
    expect(namesOf(resources).filter((name) => namesOf(base).includes(name))).toEqual([]);
    expect(agent.ports[0].hostPort).not.toBe(beside.agent.ports[0].hostPort);
    expect(beside.daemonSet.spec.template.metadata.labels).not.toMatchObject(
      agentOf(resources).daemonSet.spec.selector.matchLabels,
    );
  });

  test('takes its instance, label and port from pool.yaml alone', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'node-ca-trust-deploy-'));
    try {
      await cp(join(project, 'deploy'), directory, { recursive: true });
      const file = join(directory, 'overlays/pool-example/pool.yaml');
      const pool = (await readFile(file, 'utf8'))
        .replace('instance: lab\n', 'instance: dmz-2\n')
        .replace('nodeLabel: node-ca-trust.io/lab=true\n', 'nodeLabel: example.com/pool=dmz_2\n')
        .replace("port: '9642'\n", "port: '9700'\n");
      await writeFile(file, pool);
      const other = JSON.stringify(render(join(directory, 'overlays/pool-example')));
      const expected = JSON.stringify(resources)
        .replaceAll('"node-ca-trust.io/lab"', '"example.com/pool"')
        .replaceAll('["true"]', '["dmz_2"]')
        .replaceAll('node-ca-trust.io/lab=true', 'example.com/pool=dmz_2')
        .replaceAll(/\blab(?=["'])/g, 'dmz-2')
        .replaceAll('9642', '9700');
      expect(JSON.parse(other)).toEqual(JSON.parse(expected));
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe.each([
  {
    overlay: 'configmap-example',
    source: {
      configMap: {
        name: 'company-cas',
        optional: true,
        items: [{ key: 'ca-bundle.pem', path: 'company-cas/ca-bundle.pem' }],
      },
    },
  },
  {
    overlay: 'trust-bundle-example',
    source: { clusterTrustBundle: { name: 'company-cas', optional: true, path: 'company-cas.pem' } },
  },
])('deploy/overlays/$overlay', ({ overlay, source }) => {
  test('is deploy/base with another volume, and without the fast source and its permission', () => {
    const base = render('deploy/base').filter(({ kind }) => kind !== 'Role' && kind !== 'RoleBinding');
    const { pod, agent } = agentOf(base);
    const args = agent.args.filter((arg) => !arg.startsWith('--secret='));
    expect(args).toHaveLength(agent.args.length - 1);
    const projected = { defaultMode: 0o444, sources: [source] };
    const resources = render(join('deploy/overlays', overlay));
    const made = agentOf(resources);
    expect(made.agent).toEqual({ ...agent, args });
    expect(new Set(made.pod.volumes)).toEqual(
      new Set([...pod.volumes.filter(({ secret }) => secret === undefined), { name: 'bundle', projected }]),
    );
    const others = (all: readonly Resource[]) => all.filter(({ kind }) => kind !== 'DaemonSet');
    expect(others(resources)).toEqual(others(base));
    const rest = ({ daemonSet: { spec } }: typeof made): unknown => ({
      ...spec,
      template: { ...spec.template, spec: { ...spec.template.spec, containers: [], volumes: [] } },
    });
    expect(rest(made)).toEqual(rest(agentOf(base)));
  });

  test('has no field that Kubernetes does not know', () => {
    const { daemonSet } = agentOf(render(join('deploy/overlays', overlay)));
    expect(asKubernetesReadsIt(daemonSet)).toMatchObject(daemonSet);
  });
});

/** Each path of the node with its place in a container, and whether it may be written there. */
function mountsOf({ volumeMounts }: Pick<Container, 'volumeMounts'>, { volumes }: PodSpec) {
  return volumeMounts.flatMap(({ name, mountPath, readOnly = false }) => {
    const path = volumes.find((volume) => volume.name === name)?.hostPath?.path;
    return path === undefined ? [] : [{ path, mountPath, readOnly }];
  });
}

describe('deploy/overlays/restricted', () => {
  const resources = render('deploy/overlays/restricted');
  const { agent, pod } = agentOf(resources);

  test('has one capability, and no other privilege', () => {
    expect(agent.securityContext).toEqual({
      privileged: false,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'], add: ['SYS_CHROOT'] },
      seccompProfile: { type: 'RuntimeDefault' },
      runAsUser: 0,
      runAsGroup: 0,
      readOnlyRootFilesystem: true,
    });
    for (const field of ['hostPID', 'hostIPC']) expect(pod).not.toHaveProperty(field);
  });

  test('mounts of the node each path at its own place, and lets few be written', () => {
    const mounts = mountsOf(agent, pod);
    expect(mounts.map(({ mountPath }) => mountPath)).toEqual(mounts.map(({ path }) => `/host${path}`));
    expect(mounts.filter(({ readOnly }) => !readOnly).map(({ path }) => path)).toEqual([
      '/dev/null',
      '/usr/local/share/ca-certificates',
      '/etc/ssl',
      '/var/lib/node-ca-trust',
      '/etc/containerd/certs.d',
      '/etc/docker/certs.d',
      '/etc/containers/certs.d',
    ]);
  });

  test.each(['aks', 'pool-example'])('has a component that serves deploy/overlays/%s as well', async (overlay) => {
    const other = agentOf(await renderWith('privilege/restricted', overlay));
    expect(other.agent.securityContext).toEqual(agent.securityContext);
    expect(other.agent.volumeMounts).toEqual(agent.volumeMounts);
    expect(other.agent.args).toEqual(agentOf(render(join('deploy/overlays', overlay))).agent.args);
  });
});

describe('deploy/overlays/writer', () => {
  const { agent, pod } = agentOf(render('deploy/overlays/writer'));

  test('runs as nobody, without any capability, and leaves the refresh to the node', () => {
    expect(agent.securityContext).toEqual({
      privileged: false,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      runAsUser: 9641,
      runAsGroup: 9641,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
    });
    expect(pod).toMatchObject({ securityContext: { fsGroup: 9641, seccompProfile: { type: 'RuntimeDefault' } } });
    expect(agent.env).toContainEqual({ name: 'NODE_CA_TRUST_STORE_REFRESH', value: 'unit' });
  });

  test('writes in two directories, which one container with one capability gives to it', () => {
    const writable = ['/usr/local/share/ca-certificates', '/var/lib/node-ca-trust'];
    const mounts = mountsOf(agent, pod);
    expect(mounts.map(({ mountPath }) => mountPath)).toEqual(mounts.map(({ path }) => `/host${path}`));
    expect(mounts.filter(({ readOnly }) => !readOnly).map(({ path }) => path)).toEqual(writable);
    const [own] = pod['initContainers'] as readonly [Container & { readonly command: readonly string[] }];
    expect(mountsOf(own, pod).map(({ path }) => path)).toEqual(writable);
    expect(own.command.slice(3)).toEqual(writable.map((path) => `/host${path}`));
    expect(own.securityContext).toMatchObject({ privileged: false, capabilities: { drop: ['ALL'], add: ['CHOWN'] } });
    expect(own.image).toBe(agent.image);
  });
});

describe('deploy/overlays/no-admission-policy', () => {
  test('is deploy/base without the kinds that an older API server does not know', () => {
    const known = render('deploy/base').filter(({ kind }) => !kind.startsWith('ValidatingAdmissionPolicy'));
    expect(render('deploy/overlays/no-admission-policy')).toEqual(known);
  });
});

describe('deploy/overlays/monitoring', () => {
  const resources = render('deploy/overlays/monitoring');

  test("listens on the node's address, and nowhere else", () => {
    const { agent } = agentOf(resources);
    const fieldRef = { fieldPath: 'status.hostIP' };
    expect(agent.env.find(({ name }) => name === 'LISTEN_ADDRESS')).toEqual({
      name: 'LISTEN_ADDRESS',
      valueFrom: { fieldRef },
    });
    expect(optionValues(agent, '--listen')).toEqual(['$(LISTEN_ADDRESS):9641']);
  });

  test('is deploy/base and deploy/monitoring together', () => {
    const apart = [...render('deploy/base'), ...render('deploy/monitoring')];
    expect(namesOf(resources).sort()).toEqual(namesOf(apart).sort());
  });

  test.each(['aks', 'pool-example'])('has a component that serves deploy/overlays/%s as well', async (overlay) => {
    const { agent } = agentOf(await renderWith('monitoring/scraped', overlay));
    const beside = agentOf(render(join('deploy/overlays', overlay))).agent;
    const [{ hostPort, hostIP }] = agent.ports;
    expect([hostPort, hostIP]).toEqual([beside.ports[0].hostPort, undefined]);
    expect(optionValues(agent, '--listen')).toEqual([`$(LISTEN_ADDRESS):${hostPort}`]);
    expect(agent.readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'status' });
  });
});
