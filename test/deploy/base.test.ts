// What a cluster admin relies on in deploy/base.
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { packageJson, project, run } from '../image/machine.ts';
import { blocksOf, section } from '../unit/docs/pages.ts';
import { agentOf, only, render } from './manifests.ts';

const resources = render('deploy/base');
const { daemonSet, pod, agent } = agentOf(resources);

describe('deploy/base', () => {
  test('is what the agent needs, in a namespace of its own', () => {
    expect(resources.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`)).toEqual([
      'Namespace /node-ca-trust',
      'ResourceQuota node-ca-trust/node-ca-trust',
      'ServiceAccount node-ca-trust/node-ca-trust',
      'Role node-ca-trust/node-ca-trust',
      'ClusterRole /node-ca-trust',
      'RoleBinding node-ca-trust/node-ca-trust',
      'ClusterRoleBinding /node-ca-trust',
      'ValidatingAdmissionPolicy /events.node-ca-trust',
      'ValidatingAdmissionPolicy /node-ca-trust',
      'ValidatingAdmissionPolicyBinding /events.node-ca-trust',
      'ValidatingAdmissionPolicyBinding /node-ca-trust',
      'DaemonSet node-ca-trust/node-ca-trust',
    ]);
    expect(only(resources, 'Namespace').metadata.labels).toMatchObject({
      'pod-security.kubernetes.io/enforce': 'privileged',
    });
  });

  test('may follow its one Secret, tell its Node how it stands, and nothing else', () => {
    expect(only(resources, 'ClusterRole')).toMatchObject({
      rules: [
        { apiGroups: [''], resources: ['nodes'], verbs: ['get'] },
        { apiGroups: [''], resources: ['nodes'], verbs: ['patch'] },
        { apiGroups: [''], resources: ['nodes/status'], verbs: ['patch'] },
        { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
      ],
    });
    expect(only(resources, 'Role')).toMatchObject({
      rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['node-ca-trust'], verbs: ['list', 'watch'] }],
    });
    expect(only(resources, 'ServiceAccount')).toMatchObject({ automountServiceAccountToken: false });
    expect(pod).toMatchObject({ automountServiceAccountToken: true });
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
    expect(only(resources, 'ResourceQuota')).toMatchObject({
      spec: { scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', values: ['system-node-critical'] }] } },
    });
    expect(daemonSet.spec.updateStrategy).toEqual({
      type: 'RollingUpdate',
      rollingUpdate: { maxUnavailable: '10%', maxSurge: 0 },
    });
  });

  test('mounts the Secret whole and optional, and the whole node', () => {
    expect(agent.volumeMounts).toEqual([
      { name: 'host', mountPath: '/host', mountPropagation: 'HostToContainer' },
      { name: 'bundle', mountPath: '/etc/node-ca-trust/bundle', readOnly: true },
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
    const where = { host: '127.0.0.1', port: 'status' };
    expect(agent.startupProbe.httpGet).toEqual({ ...where, path: '/healthz' });
    expect(agent.livenessProbe.httpGet).toEqual({ ...where, path: '/livez' });
    expect(agent.readinessProbe.httpGet).toEqual({ ...where, path: '/readyz' });
  });
});

describe.each([
  ['README.md', '## The image'],
  ['docs/operations.md', '## Install'],
])('%s', (page, heading) => {
  test('names in deploy/base the image that was pushed', () => {
    const checkout = mkdtempSync(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? tmpdir(), 'checkout-'));
    onTestFinished(() => {
      rmSync(checkout, { recursive: true });
    });
    cpSync(join(project, 'deploy'), join(checkout, 'deploy'), { recursive: true });
    const [block = ''] = blocksOf(section(page, heading));
    // What builds and who pushes is not tried here, nor is there a cluster.
    const script = `cd "$1"; docker() { echo "docker $*" >> said; }; kubectl() { echo "kubectl $*" >> said; }\n${block}`;
    run('sh', ['-euc', script, 'sh', checkout]);
    const image = `registry.example.com/node-ca-trust:${packageJson().version}`;
    expect(agentOf(render(join(checkout, 'deploy/base'))).agent.image).toBe(image);
    expect(readFileSync(join(checkout, 'said'), 'utf8')).toBe(
      page === 'README.md' ? `docker build -t ${image} .\ndocker push ${image}\n` : 'kubectl apply -k deploy/base\n',
    );
  });
});
