// What the agent tells its Node, against a real API server: once, rightly, and only what it may.
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RuntimeState } from '../../src/report/report.ts';
import type { PassResult } from '../../src/report/report.ts';
import { type NodeReport, openNode } from '../../src/report/node.ts';
import type { Resource } from '../deploy/manifests.ts';
import { anchorOf, findingOf, passOf, sha256 } from '../unit/support/anchors.ts';
import { apiOf } from '../unit/support/api-server.ts';
import { accountResources, mountAccount, namespace, put, putAccount } from './harness/account.ts';
import { podToken } from './harness/nodes.ts';
import { type ApiServer, apiHost, apiPort, startApi } from './harness/api-server.ts';

interface Taint {
  readonly key: string;
  readonly effect: string;
}

interface NodeJson {
  readonly metadata: {
    readonly uid: string;
    readonly resourceVersion: string;
    readonly annotations?: Record<string, string>;
  };
  readonly spec: { readonly taints?: readonly Taint[] };
  readonly status: { readonly conditions?: readonly Readonly<Record<string, string>>[] };
}

interface EventJson {
  readonly reason: string;
  readonly type: string;
  readonly note: string;
  readonly regarding: Readonly<Record<string, string>>;
  readonly series?: { readonly count: number };
}

const nodePath = '/api/v1/nodes/node-1';
const events = '/apis/events.k8s.io/v1/namespaces/default/events';
const startup: Taint = { key: 'node-ca-trust.io/not-ready', effect: 'NoSchedule' };
const other: Taint = { key: 'example.com/other', effect: 'NoSchedule' };
const ready = { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'ok' };

let api: ApiServer;

beforeAll(async () => {
  api = await startApi();
  // With the policies in the way that hold each agent to its own Node.
  for (const directory of ['deploy/base', 'deploy/overlays/pool-example']) await putAccount(api, directory);
});

afterAll(async () => {
  await api[Symbol.asyncDispose]();
});

/** Registers the Node as a kubelet does. */
async function register(...taints: readonly Taint[]): Promise<void> {
  const metadata = {
    name: 'node-1',
    labels: { 'kubernetes.io/os': 'linux' },
    annotations: { 'example.com/note': 'kept' },
  };
  await api.must('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata });
  // Not before: the API server itself taints a Node that is made.
  await api.must('PATCH', nodePath, { spec: { taints } }, 'application/merge-patch+json');
  const status = { status: { conditions: [ready] } };
  await api.must('PATCH', `${nodePath}/status`, status, 'application/strategic-merge-patch+json');
}

beforeEach(async () => {
  await api.ask('DELETE', nodePath);
  await api.must('DELETE', events);
  await register(other, startup);
});

const nodeNow = async (): Promise<NodeJson> => (await api.must('GET', nodePath)) as NodeJson;
const told = async (): Promise<readonly EventJson[]> =>
  ((await api.must('GET', events)) as { items: EventJson[] }).items;
const conditionNow = async (type = 'CATrustReady') =>
  (await nodeNow()).status.conditions?.find((condition) => condition['type'] === type);
const annotationNow = async (instance = 'default') =>
  JSON.parse((await nodeNow()).metadata.annotations?.[`node-ca-trust.io/${instance}`] ?? 'null') as unknown;

interface Telling {
  readonly node: NodeReport;
  readonly said: string[];
  readonly stop: () => Promise<void>;
}

/** The report of an agent, in this process; without jitter. @param skewMs so much its clock is ahead */
async function telling(instance = 'default', resyncMs = 600_000, skewMs = 0): Promise<Telling> {
  const root = mkdtempSync(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '/nowhere', 'pod-'));
  const name = instance === 'default' ? 'node-ca-trust' : `node-ca-trust-${instance}`;
  mountAccount(root, await podToken(api, { name, namespace }, 'node-1'), api.ca.pem);
  vi.stubEnv('KUBERNETES_SERVICE_HOST', apiHost);
  vi.stubEnv('KUBERNETES_SERVICE_PORT', String(apiPort));
  const said: string[] = [];
  const stop = new AbortController();
  const node = openNode(
    { nodeName: 'node-1', instance, version: '1.2.3', resyncMs },
    {
      api: apiOf(root),
      now: () => Date.now() + skewMs,
      steady: () => performance.now(),
      sleep: (ms, signal) => sleep(ms, undefined, { signal }),
      random: () => 0,
      failed: (line) => said.push(line),
    },
  );
  const following = node.follow(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await following;
  };
  onTestFinished(async () => {
    await end();
    vi.unstubAllEnvs();
  });
  return { node, said, stop: end };
}

const anchors = [anchorOf('one', { notAfter: '2030-05-01T00:00:00.000Z' }), anchorOf('two')];
const proven = (changed: Partial<PassResult> = {}): PassResult =>
  passOf({ digest: sha256('a bundle'), anchors, ...changed });
const refused = passOf({
  converged: false,
  findings: [findingOf('error', 'private-key')],
  reasons: ['private-key: ca.crt: it is private-key; mend it'],
});
const containerd = (state: RuntimeState['state']): RuntimeState => ({
  name: 'containerd',
  socket: '/run/containerd/containerd.sock',
  pid: 1,
  way: 'certs.d',
  directories: [],
  state,
  message: 'a message',
});

const patience = { timeout: 20_000, interval: 20 };
const becomes = (status: string, type?: string) =>
  vi.waitUntil(async () => (await conditionNow(type))?.['status'] === status, patience);
/** Until nothing is written any more. */
async function rests(): Promise<string> {
  for (let before = ''; ;) {
    const { resourceVersion } = (await nodeNow()).metadata;
    if (before === resourceVersion) return resourceVersion;
    before = resourceVersion;
    await sleep(500);
  }
}

describe('a Node', () => {
  test('that is new says that it does not know, then that it trusts, and may be used', async () => {
    const { node, said } = await telling();
    await becomes('Unknown');
    expect(await conditionNow()).toMatchObject({ reason: 'Starting' });
    expect((await nodeNow()).spec.taints).toEqual([other, startup]);
    node.tell(proven({ runtimes: [containerd('trusts')] }));
    await becomes('True');
    await rests();
    const { metadata, spec, status } = await nodeNow();
    expect(spec.taints).toEqual([other]);
    expect(status.conditions?.map(({ type }) => type).sort()).toEqual(['CATrustReady', 'Ready']);
    expect(await conditionNow()).toMatchObject({
      reason: 'Proven',
      message: `proven: the node trusts the bundle; anchors: 2, digest: ${sha256('a bundle').slice(0, 16)}`,
      lastTransitionTime: expect.stringMatching(/^\d{4}-/) as unknown,
    });
    expect(metadata.annotations?.['example.com/note']).toBe('kept');
    expect(await annotationNow()).toEqual({
      digest: sha256('a bundle'),
      anchors: 2,
      expires: '2030-05-01T00:00:00.000Z',
      runtime: 'trusts',
      version: '1.2.3',
      proven: expect.stringMatching(/^\d{4}-/) as unknown,
    });
    const [event, ...others] = await told();
    expect(others).toEqual([]);
    expect(event).toMatchObject({
      reason: 'TrustUpdated',
      type: 'Normal',
      regarding: { kind: 'Node', name: 'node-1', uid: metadata.uid },
    });
    expect(said).toEqual([]);
  });

  test('is not written while nothing changes, not by the next agent either', async () => {
    const first = await telling();
    first.node.tell(proven());
    await becomes('True');
    const version = await rests();
    for (let pass = 0; pass < 5; pass += 1) first.node.tell(proven());
    await first.stop();
    const second = await telling();
    second.node.tell(proven());
    await sleep(1_000);
    expect((await nodeNow()).metadata.resourceVersion).toBe(version);
    expect(await told()).toHaveLength(1);
  });

  test('says why it is not proven, that it is again, and each of that by an Event', async () => {
    const { node } = await telling();
    node.tell(proven());
    await becomes('True');
    node.tell(refused);
    await becomes('False');
    expect(await conditionNow()).toMatchObject({
      reason: 'BundlePrivateKey',
      message: 'private-key: ca.crt: it is private-key; mend it',
    });
    expect(await annotationNow()).toMatchObject({ digest: sha256('a bundle') });
    node.tell(proven());
    await becomes('True');
    node.tell(proven({ digest: sha256('another') }));
    await vi.waitUntil(async () => (await told()).length === 3, patience);
    const said = (await told()).map(({ reason, series }) => `${reason} ${series?.count ?? 1}`);
    expect(said.sort()).toEqual(['TrustRefused 1', 'TrustUpdated 1', 'TrustUpdated 2']);
  });

  test('keeps its taint while pulls do not see the store, and tells once that a restart is needed', async () => {
    const { node } = await telling();
    node.tell(proven({ runtimes: [containerd('restart-needed')] }));
    node.tell(proven({ runtimes: [containerd('restart-needed')] }));
    await becomes('True');
    await rests();
    expect((await nodeNow()).spec.taints).toEqual([other, startup]);
    expect(await annotationNow()).toMatchObject({ runtime: 'restart-needed' });
    expect((await told()).map(({ reason, type }) => `${type} ${reason}`).sort()).toEqual([
      'Normal TrustUpdated',
      'Warning RuntimeRestartNeeded',
    ]);
    node.tell(proven({ runtimes: [containerd('trusts')] }));
    await vi.waitUntil(async () => (await nodeNow()).spec.taints?.length === 1, patience);
  });

  test('that was registered anew gets all of it again within a resync', async () => {
    const { node } = await telling('default', 1_000);
    node.tell(proven());
    await becomes('True');
    await api.must('DELETE', nodePath);
    await register(startup);
    await sleep(1_000);
    node.tell(proven());
    await becomes('True');
    await vi.waitUntil(async () => (await nodeNow()).spec.taints === undefined, patience);
    expect(await annotationNow()).toMatchObject({ digest: sha256('a bundle') });
  });

  test('of another uid gets what changes meanwhile, and its taint goes, before the next resync', async () => {
    const { node, said } = await telling();
    node.tell(proven());
    await vi.waitUntil(async () => (await told()).length === 1, patience);
    await api.must('DELETE', nodePath);
    await register(other, startup);
    const { uid } = (await nodeNow()).metadata;
    node.tell(proven({ digest: sha256('another') }));
    await vi.waitUntil(async () => (await told()).length === 2, patience);
    expect((await nodeNow()).spec.taints).toEqual([other]);
    expect(await annotationNow()).toMatchObject({ digest: sha256('another') });
    expect((await told()).map(({ regarding }) => regarding['uid'])).toContain(uid);
    expect(said).toEqual([]);
  });

  test.each([
    ['a day behind', -86_400_000],
    ['a day ahead', 86_400_000],
  ])('whose clock is %s of the API server says all that it should', async (_, skewMs) => {
    const { node, said } = await telling('default', 600_000, skewMs);
    node.tell(proven());
    await vi.waitUntil(async () => (await told()).length === 1, patience);
    expect(await conditionNow()).toMatchObject({ status: 'True' });
    expect(await annotationNow()).toMatchObject({ digest: sha256('a bundle') });
    expect((await nodeNow()).spec.taints).toEqual([other]);
    const version = await rests();
    node.tell(proven());
    node.tell(proven({ repaired: [sha256('one')] }));
    node.tell(proven({ repaired: [sha256('one')] }));
    await vi.waitUntil(async () => (await told()).length === 2, patience);
    expect(await rests()).toBe(version);
    expect(said).toEqual([]);
  });

  test('says nothing any more of an instance that was removed', async () => {
    const { node, stop } = await telling();
    node.tell(proven());
    await vi.waitUntil(async () => (await told()).length === 1, patience);
    await stop();
    await node.removed(2);
    expect(await conditionNow()).toBeUndefined();
    expect(await annotationNow()).toBeNull();
    expect((await nodeNow()).metadata.annotations?.['example.com/note']).toBe('kept');
    expect((await nodeNow()).status.conditions).toHaveLength(1);
    expect((await told()).map(({ reason }) => reason).sort()).toEqual(['TrustRemoved', 'TrustUpdated']);
  });

  test('tells instances apart', async () => {
    const lab = { key: 'node-ca-trust.io/not-ready-lab', effect: 'NoSchedule' };
    await api.must('PATCH', nodePath, { spec: { taints: [startup, lab] } }, 'application/merge-patch+json');
    const [one, two] = [await telling(), await telling('lab')];
    one.node.tell(refused);
    two.node.tell(proven());
    await becomes('False');
    await becomes('True', 'CATrustReady-lab');
    await rests();
    expect((await nodeNow()).spec.taints).toEqual([startup]);
    expect(await annotationNow()).toBeNull();
    expect(await annotationNow('lab')).toMatchObject({ anchors: 2 });
  });

  test('loses its startup taint and no other, while others change the taints', async () => {
    for (let round = 0; round < 10; round += 1) {
      await api.ask('DELETE', nodePath);
      const many = Array.from({ length: 6 }, (_, index) => ({ key: `example.com/${index}`, effect: 'NoSchedule' }));
      await register(...many.slice(0, 3), startup, ...many.slice(3));
      const { node, said, stop } = await telling();
      await becomes('Unknown');
      node.tell(proven());
      for (let left = many.length; left > 0; left -= 1) {
        const { spec, metadata } = await nodeNow();
        const taints = (spec.taints ?? []).filter(({ key }) => key !== `example.com/${left - 1}`);
        const { resourceVersion } = metadata;
        const patch = { metadata: { resourceVersion }, spec: { taints } };
        const { status } = await api.ask('PATCH', nodePath, patch, 'application/merge-patch+json');
        if (status === 409) left += 1;
      }
      await vi.waitUntil(async () => (await nodeNow()).spec.taints === undefined, patience);
      expect(said).toEqual([]);
      await stop();
    }
  });

  test('counts up an Event that says the same again', async () => {
    const { node } = await telling();
    for (let repair = 0; repair < 3; repair += 1) {
      node.tell(proven({ repaired: [sha256('one')] }));
      await vi.waitUntil(async () => {
        const found = (await told()).find(({ reason }) => reason === 'TrustRepaired');
        return repair === 0 ? found !== undefined : found?.series?.count === repair + 1;
      }, patience);
    }
    expect(await told()).toHaveLength(2);
  });

  test('that is not there is named, and told once it is', async () => {
    await api.must('DELETE', nodePath);
    const { node, said } = await telling('default', 1_000);
    node.tell(proven());
    await vi.waitUntil(() => said.length > 0, patience);
    expect(said[0]).toMatch(/^the own Node cannot be read: the API server answered 404: nodes "node-1" not found/);
    await register();
    await sleep(1_000);
    node.tell(proven());
    await becomes('True');
  });
});

interface Role extends Resource {
  readonly rules: readonly { readonly resources: readonly string[]; readonly verbs: readonly string[] }[];
}

describe('without the permission', () => {
  const role = accountResources().find(({ kind }) => kind === 'ClusterRole') as Role;
  afterAll(() => put(api, role));

  /** All works but what needs this one rule. */
  const without = async (resource: string, verb: string, isSaid = true): Promise<Telling> => {
    const rules = role.rules
      .map((rule) =>
        rule.resources.includes(resource) ? { ...rule, verbs: rule.verbs.filter((one) => one !== verb) } : rule,
      )
      .filter(({ verbs }) => verbs.length > 0);
    await put(api, { ...role, rules } as Role);
    // The API server's own view of its roles follows a moment later.
    const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' };
    const [name, subresource] = resource.split('/');
    const group = resource === 'events' ? 'events.k8s.io' : '';
    const spec = {
      user: 'system:serviceaccount:node-ca-trust:node-ca-trust',
      resourceAttributes: {
        group,
        resource: name,
        subresource,
        verb,
        namespace: resource === 'events' ? 'default' : '',
      },
    };
    await vi.waitUntil(async () => {
      const body = await api.must('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { ...review, spec });
      return !(body as { status: { allowed: boolean } }).status.allowed;
    }, patience);
    const all = await telling('default', 1_000);
    all.node.tell(proven());
    // A refusal is believed after 4 s.
    if (isSaid) await vi.waitUntil(() => all.said.length > 0, patience);
    // It is not said again, and all that is not refused is done.
    for (let pass = 0; pass < 2; pass += 1) {
      await sleep(1_000);
      all.node.tell(proven());
    }
    await rests();
    return all;
  };

  test('to read its Node, it says so once; all else works', async () => {
    const { said } = await without('nodes', 'get');
    expect(said).toEqual([
      expect.stringMatching(/^the own Node cannot be read: .*resources \[nodes\], verbs \[get\]$/),
    ]);
    expect(await conditionNow()).toMatchObject({ status: 'True' });
    expect((await nodeNow()).spec.taints).toEqual([other]);
    expect(await told()).toHaveLength(1);
  });

  test('to change its Node, it says so once; the taint stays, all else works', async () => {
    const { said } = await without('nodes', 'patch');
    expect(said).toEqual([expect.stringMatching(/^the startup taint .*resources \[nodes\], verbs \[patch\]$/)]);
    expect(await conditionNow()).toMatchObject({ status: 'True' });
    expect((await nodeNow()).spec.taints).toEqual([other, startup]);
    expect(await told()).toHaveLength(1);
  });

  test("to change its Node's status, it says so once; the taint goes", async () => {
    const { said } = await without('nodes/status', 'patch');
    expect(said).toEqual([
      expect.stringMatching(/^condition and annotation .*resources \[nodes\/status\], verbs \[patch\]$/),
    ]);
    expect(await conditionNow()).toBeUndefined();
    expect((await nodeNow()).spec.taints).toEqual([other]);
  });

  test('to tell Events, it says so once; all else works', async () => {
    const { said } = await without('events', 'create');
    expect(said).toEqual([
      expect.stringMatching(/^Events cannot be told: .*\[events\.k8s\.io\], resources \[events\], verbs \[create\]$/),
    ]);
    expect(await conditionNow()).toMatchObject({ status: 'True' });
    expect((await nodeNow()).spec.taints).toEqual([other]);
    expect(await told()).toEqual([]);
  });

  test('to change Events, it says so once when there is one to count up; each is told that is new', async () => {
    const { node, said } = await without('events', 'patch', false);
    for (let repair = 0; repair < 3; repair += 1) {
      node.tell(proven({ repaired: [sha256('one')] }));
      await sleep(200);
    }
    node.tell(refused);
    await vi.waitUntil(async () => (await told()).length === 3, patience);
    expect(said).toEqual([expect.stringMatching(/^Events that say the same again .*verbs \[patch\]$/)]);
  });
});
