// deploy/base/policy.yaml, judged by a real API server: an agent changes its own Node, what is its own there, and
// nothing else. Its account may do everything to Nodes and Events here, so that only the policies stand in the way.
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { only, render, type Resource } from '../deploy/manifests.ts';
import { put } from './harness/account.ts';
import { type Answer, type ApiServer, startApi } from './harness/api-server.ts';
import {
  type Asker,
  type Node,
  type PatchKind,
  type Taint,
  bearer,
  getNode,
  nodePath,
  patches,
  podToken,
  putNode,
} from './harness/nodes.ts';

const annotation = 'node-ca-trust.io/default';
const annotationPath = '/metadata/annotations/node-ca-trust.io~1default';
const ownTaint: Taint = { key: 'node-ca-trust.io/not-ready', effect: 'NoSchedule' };
const labsTaint: Taint = { key: 'node-ca-trust.io/not-ready-lab', effect: 'NoSchedule' };
const foreignTaint: Taint = { key: 'example.com/reserved', value: 'lab', effect: 'NoExecute' };

/** With something in each field that a Node can have. */
function nodeOf(name: string): Node {
  return {
    metadata: {
      name,
      labels: { 'node-ca-trust.io/enabled': 'true', 'example.com/zone': 'a' },
      annotations: { 'example.com/note': 'a', 'node-ca-trust.io/lab': '{}' },
    },
    spec: {
      unschedulable: true,
      taints: [foreignTaint, ownTaint, labsTaint, { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }],
    },
    status: {
      capacity: { cpu: '2', memory: '4Gi', pods: '110' },
      allocatable: { cpu: '2', memory: '4Gi', pods: '110' },
      conditions: [
        { type: 'MemoryPressure', status: 'False' },
        { type: 'CATrustReady-lab', status: 'False' },
        { type: 'Ready', status: 'True' },
      ],
      addresses: [
        { type: 'InternalIP', address: '198.18.0.1' },
        { type: 'Hostname', address: name },
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
      nodeInfo: { ...info, machineID: name },
      images: [{ names: ['registry.example.com/a:1'], sizeBytes: 10 }],
      volumesInUse: ['example.com/volume'],
      volumesAttached: [{ name: 'example.com/volume', devicePath: '/dev/a' }],
    },
  };
}

const info = {
  machineID: '',
  systemUUID: '1',
  bootID: '1',
  kernelVersion: '6.1',
  osImage: 'Debian',
  containerRuntimeVersion: 'containerd://2',
  kubeletVersion: 'v1.34.9',
  kubeProxyVersion: '',
  operatingSystem: 'linux',
  architecture: 'amd64',
};

let api: ApiServer;
let account: Resource['metadata'];
/** On node a. */
let agent: Asker;

const collections: Readonly<Record<string, string>> = {
  ValidatingAdmissionPolicy: 'validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: 'validatingadmissionpolicybindings',
};

/** All that an overlay says of who the agent is and what it may not do; what it may do is granted by `grantAll`. */
async function bring(resources: readonly Resource[]): Promise<Resource['metadata']> {
  const account = only(resources, 'ServiceAccount').metadata;
  await put(api, { kind: 'Namespace', metadata: { name: account.namespace ?? '' } });
  await put(api, only(resources, 'ServiceAccount'));
  for (const resource of resources.filter(({ kind }) => kind.startsWith('ValidatingAdmissionPolicy'))) {
    const path = `/apis/admissionregistration.k8s.io/v1/${collections[resource.kind] ?? ''}/${resource.metadata.name}`;
    await api.must('PATCH', `${path}?fieldManager=admin&force=true&fieldValidation=Strict`, resource, patches.apply);
  }
  await grantAll(account);
  return account;
}

async function grantAll({ name, namespace }: Resource['metadata']): Promise<void> {
  const rules = [
    { apiGroups: ['', 'events.k8s.io'], resources: ['nodes', 'nodes/status', 'nodes/proxy', 'events'], verbs: ['*'] },
  ];
  const subjects = [{ kind: 'ServiceAccount', name, namespace }];
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'all' };
  const about = (kind: string, more: object, called: string): Resource =>
    ({ apiVersion: 'rbac.authorization.k8s.io/v1', kind, metadata: { name: called }, ...more }) as Resource;
  await put(api, about('ClusterRole', { rules }, 'all'));
  await put(api, about('ClusterRoleBinding', { subjects, roleRef }, `all-${namespace ?? ''}-${name}`));
}

/** What was said of a request that is refused; '' when it is not. */
function refusal({ status, body }: Answer): string {
  return status < 300 ? '' : `${status} ${(body as { message?: string }).message ?? ''}`;
}

/** A policy takes effect a moment after it was made. */
async function untilJudged(asker: Asker, node: string): Promise<void> {
  const body = { metadata: { labels: { probe: 'x' } } };
  await vi.waitFor(
    async () => {
      const said = refusal(await asker.ask('PATCH', `${nodePath(node)}?dryRun=All`, body, 'merge'));
      if (!said.startsWith('422')) throw new Error(`the policy is not in force: ${said}`);
    },
    { timeout: 30_000, interval: 100 },
  );
}

/** The agent's pod on a node, judged by the policies. */
async function agentOn(its: Resource['metadata'], node: string): Promise<Asker> {
  const asker = bearer(api, await podToken(api, its, node));
  await untilJudged(asker, node);
  return asker;
}

/** Patches a Node; gives what was said of it when it is refused. */
async function patch(by: Asker, node: string, path: string, body: unknown, kind: PatchKind = 'merge'): Promise<string> {
  const manager = kind === 'apply' ? '?fieldManager=node-ca-trust&force=true' : '';
  return refusal(await by.ask('PATCH', `${nodePath(node)}${path}${manager}`, body, kind));
}

beforeAll(async () => {
  api = await startApi();
  for (const name of ['a', 'b']) await putNode(api, nodeOf(name));
  account = await bring(render('deploy/base'));
  agent = await agentOn(account, 'a');
});

afterAll(async () => {
  await api[Symbol.asyncDispose]();
});

beforeEach(async () => {
  for (const name of ['a', 'b']) await putNode(api, nodeOf(name));
});

const annotated = { metadata: { annotations: { [annotation]: 'proof' } } };
const proven = { type: 'CATrustReady', status: 'True' };
const withoutOwn = nodeOf('a').spec.taints?.filter(({ key }) => key !== ownTaint.key);
const typed = { apiVersion: 'v1', kind: 'Node' };

/** What an agent may change, as it is before. */
const before = { annotation: undefined, condition: undefined, taint: ownTaint };

async function ownOf(name: string): Promise<Record<keyof typeof before, unknown>> {
  const { metadata, spec, status } = await getNode(api, name);
  return {
    annotation: metadata.annotations?.[annotation],
    condition: status.conditions?.find(({ type }) => type === proven.type)?.status,
    taint: spec.taints?.find(({ key }) => key === ownTaint.key),
  };
}

const writesAnnotation = { annotation: 'proof' };
const writesCondition = { condition: 'True' };
const takesTaintOff = { taint: undefined };

describe('an agent may write of its own Node', () => {
  it.each<[what: Partial<typeof before> | object, kind: PatchKind, path: string, body: unknown]>([
    [writesAnnotation, 'merge', '', annotated],
    [writesAnnotation, 'strategic', '', annotated],
    [writesAnnotation, 'apply', '', { ...typed, ...annotated }],
    [writesAnnotation, 'json', '', [{ op: 'add', path: annotationPath, value: 'proof' }]],
    [writesAnnotation, 'merge', '/status', annotated],
    [writesAnnotation, 'strategic', '/status', annotated],
    [writesAnnotation, 'apply', '/status', { ...typed, ...annotated }],
    [writesAnnotation, 'json', '/status', [{ op: 'add', path: annotationPath, value: 'proof' }]],
    [
      writesCondition,
      'merge',
      '/status',
      { status: { conditions: [...(nodeOf('a').status.conditions ?? []), proven] } },
    ],
    [writesCondition, 'strategic', '/status', { status: { conditions: [proven] } }],
    [writesCondition, 'apply', '/status', { ...typed, status: { conditions: [proven] } }],
    [writesCondition, 'json', '/status', [{ op: 'add', path: '/status/conditions/-', value: proven }]],
    [takesTaintOff, 'merge', '', { spec: { taints: withoutOwn } }],
    [takesTaintOff, 'strategic', '', { spec: { taints: withoutOwn } }],
    [takesTaintOff, 'json', '', [{ op: 'remove', path: '/spec/taints/1' }]],
    [
      { ...writesAnnotation, ...writesCondition },
      'strategic',
      '/status',
      { ...annotated, status: { conditions: [proven] } },
    ],
    [{ ...writesAnnotation, ...takesTaintOff }, 'merge', '', { ...annotated, spec: { taints: withoutOwn } }],
  ])('%o by a patch of kind %s to nodes%s', async (what, kind, path, body) => {
    expect(await patch(agent, 'a', path, body, kind)).toBe('');
    expect(await ownOf('a')).toEqual({ ...before, ...what });
  });

  it('what it wrote, again and off again', async () => {
    for (const status of ['False', 'True']) {
      const body = { ...annotated, status: { conditions: [{ ...proven, status }] } };
      expect(await patch(agent, 'a', '/status', body, 'strategic')).toBe('');
    }
    const gone = {
      metadata: { annotations: { [annotation]: null } },
      status: { conditions: [{ $patch: 'delete', type: proven.type }] },
    };
    expect(await patch(agent, 'a', '/status', gone, 'strategic')).toBe('');
    expect(await ownOf('a')).toEqual(before);
  });

  it('when that has nothing but its name, and when it is as large as it gets', async () => {
    const many = (count: number, size: number): string[] =>
      Array.from({ length: count }, (_, index) => `example.com/${index}-${'x'.repeat(size)}`);
    const large = nodeOf('b');
    const annotations = Object.fromEntries(many(1_000, 40).map((key) => [key, 'x'.repeat(180)]));
    const images = many(50, 0).map((name) => ({ names: many(5, 100).map((tag) => `${name}/${tag}`), sizeBytes: 1 }));
    const bare: Node = { metadata: { name: 'c' }, spec: {}, status: {} };
    const full: Node = {
      ...large,
      metadata: { ...large.metadata, name: 'd', annotations },
      status: { ...large.status, images, volumesInUse: many(200, 200) },
    };
    for (const node of [bare, full]) {
      const { name } = node.metadata;
      await putNode(api, node);
      const its = await agentOn(account, name);
      const body = { ...annotated, status: { conditions: [proven] } };
      expect(await patch(its, name, '/status', body, 'strategic')).toBe('');
      expect(await patch(its, name, '', { metadata: { labels: { a: 'b' } } })).toMatch('metadata.labels');
      await api.must('DELETE', nodePath(name));
    }
  });
});

const label = { metadata: { labels: { 'example.com/zone': 'b' } } };
const condition = (type: string, state: string): object => ({ status: { conditions: [{ type, status: state }] } });
const annotate = (key: string, value: string | null): object => ({ metadata: { annotations: { [key]: value } } });
const taints = (...added: readonly Taint[]): object => ({ spec: { taints: [...(withoutOwn ?? []), ...added] } });
const owner = { apiVersion: 'v1', kind: 'Namespace', name: 'x', uid: 'x' };
const conditions = nodeOf('a').status.conditions ?? [];

describe('an agent may not change of its own Node', () => {
  it.each<[refused: string, kind: PatchKind, path: string, body: unknown]>([
    ['metadata.labels', 'merge', '', label],
    ['metadata.labels', 'strategic', '', label],
    ['metadata.labels', 'apply', '', { ...typed, ...label }],
    ['metadata.labels', 'json', '', [{ op: 'remove', path: '/metadata/labels/example.com~1zone' }]],
    ['metadata.labels', 'merge', '', { metadata: { labels: null } }],
    ['metadata.labels', 'merge', '/status', label],
    ['metadata.labels', 'strategic', '', { ...annotated, ...taints(), metadata: { labels: { a: 'b' } } }],
    ['metadata.finalizers', 'merge', '', { metadata: { finalizers: ['example.com/stay'] } }],
    ['metadata.finalizers', 'merge', '/status', { metadata: { finalizers: ['example.com/stay'] } }],
    ['metadata.ownerReferences', 'merge', '', { metadata: { ownerReferences: [owner] } }],
    ['the annotation example.com/note', 'merge', '', annotate('example.com/note', 'b')],
    ['the annotation example.com/note', 'merge', '/status', annotate('example.com/note', null)],
    ['the annotation example.com/other', 'merge', '', annotate('example.com/other', 'b')],
    ['the annotation node-ca-trust.io/lab', 'merge', '', annotate('node-ca-trust.io/lab', '{"digest":""}')],
    ['the annotation node-ca-trust.io/lab', 'merge', '/status', annotate('node-ca-trust.io/lab', null)],
    ['the annotation node-ca-trust.io/default-2', 'merge', '/status', annotate('node-ca-trust.io/default-2', 'x')],
    ['the annotation ', 'merge', '', { metadata: { annotations: null } }],
    ['spec.unschedulable', 'merge', '', { spec: { unschedulable: null } }],
    ['spec.providerID', 'json', '', [{ op: 'add', path: '/spec/providerID', value: 'example://1' }]],
    ['spec.podCIDR', 'merge', '', { spec: { podCIDR: '198.18.1.0/24', podCIDRs: ['198.18.1.0/24'] } }],
    ['spec.taints', 'merge', '', taints(ownTaint, { key: 'example.com/mine', effect: 'NoSchedule' })],
    ['spec.taints', 'merge', '', taints({ ...ownTaint, effect: 'NoExecute' })],
    ['spec.taints', 'merge', '', taints({ ...ownTaint, value: 'x' })],
    ['spec.taints', 'merge', '', taints(ownTaint, { ...ownTaint, effect: 'NoExecute' })],
    ['spec.taints', 'merge', '', { spec: { taints: [] } }],
    ['spec.taints', 'strategic', '', { spec: { taints: [ownTaint] } }],
    ['spec.taints', 'json', '', [{ op: 'remove', path: '/spec/taints/2' }]],
    ['spec.taints', 'json', '', [{ op: 'replace', path: '/spec/taints/0/value', value: 'b' }]],
    ['another condition', 'strategic', '/status', condition('Ready', 'False')],
    ['another condition', 'strategic', '/status', condition('NetworkUnavailable', 'True')],
    ['another condition', 'strategic', '/status', condition('CATrustReady-lab', 'True')],
    ['another condition', 'strategic', '/status', condition('CATrustReady2', 'True')],
    ['another condition', 'merge', '/status', { status: { conditions: [proven] } }],
    ['another condition', 'merge', '/status', { status: { conditions: conditions.toReversed() } }],
    ['another condition', 'json', '/status', [{ op: 'remove', path: '/status/conditions/2' }]],
    ['another condition', 'json', '/status', [{ op: 'add', path: '/status/conditions/-', value: conditions[2] }]],
    ['status.capacity', 'merge', '/status', { status: { capacity: { 'example.com/gpu': '8' } } }],
    ['status.capacity', 'merge', '/status', { status: { capacity: null } }],
    ['status.allocatable', 'merge', '/status', { status: { allocatable: { cpu: '1' } } }],
    ['status.addresses', 'merge', '/status', { status: { addresses: [] } }],
    ['status.daemonEndpoints', 'merge', '/status', { status: { daemonEndpoints: { kubeletEndpoint: { Port: 22 } } } }],
    ['status.nodeInfo', 'merge', '/status', { status: { nodeInfo: { kubeletVersion: 'v1.30.0' } } }],
    ['status.images', 'merge', '/status', { status: { images: [] } }],
    ['status.volumesInUse', 'merge', '/status', { status: { volumesInUse: [] } }],
    ['status.volumesAttached', 'merge', '/status', { status: { volumesAttached: [] } }],
    ['status.runtimeHandlers', 'merge', '/status', { status: { runtimeHandlers: [{ name: 'x' }] } }],
    ['status.features', 'merge', '/status', { status: { features: { supplementalGroupsPolicy: true } } }],
    ['status.phase', 'merge', '/status', { status: { phase: 'Terminated' } }],
  ])('%s, by a patch of kind %s to nodes%s: %o', async (refused, kind, path, body) => {
    const was = await getNode(api, 'a');
    expect(await patch(agent, 'a', path, body, kind)).toContain(`node-ca-trust may not change ${refused}`);
    expect(await getNode(api, 'a')).toEqual(was);
  });

  it('anything by putting all of it', async () => {
    const node = await getNode(api, 'a');
    const changed = { ...node, metadata: { ...node.metadata, labels: {} } };
    expect(refusal(await agent.ask('PUT', nodePath('a'), changed))).toContain('metadata.labels');
    expect(refusal(await agent.ask('PUT', nodePath('a'), node))).toBe('');
  });

  it('its taint once it is off', async () => {
    expect(await patch(agent, 'a', '', { spec: { taints: withoutOwn } })).toBe('');
    expect(await patch(agent, 'a', '', taints(ownTaint))).toContain('spec.taints');
  });

  it('its being there, or what the kubelet does', async () => {
    const neither = 'neither create nor delete one, nor connect to it';
    for (const [method, path] of [
      ['DELETE', nodePath('a')],
      ['DELETE', '/api/v1/nodes'],
      ['GET', `${nodePath('a')}/proxy/pods`],
      ['POST', `${nodePath('a')}/proxy/run/x`],
    ] as const) {
      expect(refusal(await agent.ask(method, path))).toContain(neither);
    }
    expect(refusal(await agent.ask('POST', '/api/v1/nodes', { ...typed, metadata: { name: 'e' } }))).toContain(neither);
    await getNode(api, 'a');
  });
});

describe('whose token it is decides', () => {
  it.each(['', '/status'])("that of another node's pod is refused for nodes%s", async (path) => {
    const said = await patch(agent, 'b', path, { ...annotated, status: { conditions: [proven] } }, 'strategic');
    expect(said).toContain('node-ca-trust on node a may change its own Node only, and not b');
    expect(await ownOf('b')).toEqual(before);
    const other = await agentOn(account, 'b');
    expect(await patch(other, 'b', path, annotated)).toBe('');
    expect(await patch(other, 'a', path, annotated)).toContain('on node b');
  });

  it('one of the account that is bound to no pod is refused', async () => {
    const unbound = bearer(api, await podToken(api, account));
    for (const path of ['', '/status']) {
      expect(await patch(unbound, 'a', path, annotated)).toContain('this token of node-ca-trust names no node');
    }
  });

  it('an admin and other accounts are not judged', async () => {
    const body = { ...label, spec: { unschedulable: null } };
    await api.must('PATCH', nodePath('b'), body, 'application/merge-patch+json');
    const other = { name: 'other', namespace: account.namespace ?? '' };
    await put(api, { kind: 'ServiceAccount', metadata: other });
    await grantAll(other);
    expect(await patch(bearer(api, await podToken(api, other, 'a')), 'b', '', body)).toBe('');
  });
});

describe('another instance', () => {
  it('has names of its own, and not those of the default one', async () => {
    const lab = await agentOn(await bring(render('deploy/overlays/pool-example')), 'a');
    const own = { ...annotate('node-ca-trust.io/lab', '{"a":1}'), ...condition('CATrustReady-lab', 'True') };
    expect(await patch(lab, 'a', '/status', own, 'strategic')).toBe('');
    const others = nodeOf('a').spec.taints?.filter(({ key }) => key !== labsTaint.key);
    expect(await patch(lab, 'a', '', { spec: { taints: others } })).toBe('');
    expect(await patch(lab, 'a', '', annotated)).toContain(`the annotation ${annotation}`);
    expect(await patch(lab, 'a', '/status', { status: { conditions: [proven] } }, 'strategic')).toContain('condition');
    expect(await patch(lab, 'a', '', { spec: { taints: withoutOwn } })).toContain('spec.taints');
    expect(await patch(lab, 'b', '', own)).toContain('on node a may change its own Node only');
  });

  it('or one in another namespace is held just so', async () => {
    // Its policies take the place of those of deploy/base, and so go last.
    const aks = await agentOn(await bring(render('deploy/overlays/aks')), 'a');
    expect(await patch(aks, 'a', '/status', annotated)).toBe('');
    expect(await patch(aks, 'b', '/status', annotated)).toContain('on node a may change its own Node only');
    await bring(render('deploy/base'));
    await untilJudged(agent, 'a');
  });
});

describe('Events of an agent', () => {
  const about = (kind: string, name: string): object => ({ apiVersion: 'v1', kind, name });
  const core = (on: object, name = 'e'): object => ({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name, namespace: 'default' },
    involvedObject: on,
    reason: 'TrustUpdated',
    message: 'x',
    type: 'Normal',
  });
  const events = (on: object): object => ({
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: 'f', namespace: 'default' },
    regarding: on,
    reason: 'TrustUpdated',
    note: 'x',
    type: 'Normal',
    action: 'Update',
    eventTime: '2026-01-01T00:00:00.000000Z',
    reportingController: 'node-ca-trust',
    reportingInstance: 'a',
  });
  const corePath = '/api/v1/namespaces/default/events';
  const groupPath = '/apis/events.k8s.io/v1/namespaces/default/events';
  const only = 'node-ca-trust may write Events about its own Node only, which is a';

  it('are about its own Node, in either group', async () => {
    for (const [path, event] of [
      [corePath, core],
      [groupPath, events],
    ] as const) {
      expect(refusal(await agent.ask('POST', path, event(about('Node', 'a'))))).toBe('');
      expect(refusal(await agent.ask('POST', path, event(about('Node', 'b'))))).toContain(only);
      expect(refusal(await agent.ask('POST', path, event({ ...about('Pod', 'a'), namespace: 'default' })))).toContain(
        only,
      );
    }
  });

  it('are counted on, and those of others left alone', async () => {
    await api.must('POST', corePath, core(about('Node', 'a'), 'own'));
    await api.must('POST', corePath, core(about('Node', 'b'), 'another'));
    const more = { count: 2 };
    expect(refusal(await agent.ask('PATCH', `${corePath}/own`, more, 'merge'))).toBe('');
    expect(refusal(await agent.ask('PATCH', `${corePath}/another`, more, 'merge'))).toContain(only);
    expect(refusal(await agent.ask('DELETE', `${corePath}/another`))).toContain(only);
  });

  it('need a token that names a node', async () => {
    const unbound = bearer(api, await podToken(api, account));
    const said = refusal(await unbound.ask('POST', corePath, core(about('Node', ''), 'g')));
    expect(said).toContain('this token names none');
  });
});
