import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Api, ApiRequest } from '../../../src/api/api.ts';
import { Refusal } from '../../../src/api/refusal.ts';
import { openNode } from '../../../src/report/node.ts';
import type { PassResult, RuntimeState } from '../../../src/report/report.ts';
import { anchorOf, findingOf, passOf, sha256 } from '../support/anchors.ts';
import { sleep } from '../support/sleep.ts';

type Json = Readonly<Record<string, unknown>>;
interface Asked extends ApiRequest {
  readonly at: number;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface Node {
  readonly metadata: Json;
  readonly spec?: { readonly taints?: readonly Json[] | undefined };
  readonly status?: { readonly conditions?: readonly Json[] | undefined };
}

const nodeOf = (
  changed: { annotations?: Json; taints?: readonly Json[]; conditions?: readonly Json[] } = {},
): Node => ({
  metadata: { name: 'node-1', uid: 'uid-1', ...(changed.annotations && { annotations: changed.annotations }) },
  spec: { taints: changed.taints },
  status: { conditions: changed.conditions },
});

/** The Node after a request, as far as an agent changes it. */
function changed(node: Node, { path, body }: ApiRequest): Node {
  const { metadata = {}, status: { conditions = [] } = {} } = body as Partial<Node>;
  if (!path.endsWith('/status')) return { ...node, spec: { taints: node.spec?.taints?.filter(isOthers) } };
  const kept = (node.status?.conditions ?? []).filter(({ type }) => type !== conditions[0]?.['type']);
  const left = conditions.filter((condition) => !('$patch' in condition));
  const noted = Object.entries({ ...(node.metadata['annotations'] as Json), ...(metadata['annotations'] as Json) });
  const annotations = Object.fromEntries(noted.filter(([, value]) => value !== null));
  return { ...node, metadata: { ...node.metadata, annotations }, status: { conditions: [...kept, ...left] } };
}

/** An API server that has this Node, does what it is asked, and fails as a test wants it. */
function opened(first: Node = nodeOf(), random = 1, fail: (asked: Asked) => Error | undefined = () => undefined) {
  const asked: Asked[] = [];
  const began = Date.now();
  let node = first;
  let skew = 0;
  let isDeaf = false;
  const api: Api = {
    ask: (request) => {
      const one = { ...request, at: Date.now() - began };
      asked.push(one);
      const failure = fail(one);
      if (failure !== undefined) return Promise.reject(failure);
      if (!isDeaf && request.method === 'PATCH' && !request.path.includes('events')) node = changed(node, request);
      return Promise.resolve(node);
    },
    follow: () => Promise.reject(new Error('nothing is followed')),
  };
  const said: string[] = [];
  const stop = new AbortController();
  const settings = { nodeName: 'node-1', instance: 'default', version: '1.2.3', resyncMs: 600_000 };
  const failed = (line: string): void => {
    said.push(line);
  };
  const report = openNode(settings, {
    api,
    now: () => Date.now() + skew,
    steady: () => performance.now(),
    sleep,
    random: () => random,
    failed,
  });
  const following = report.follow(stop.signal);
  return {
    asked,
    said,
    report,
    lines: () => asked.map(({ method = 'GET', path }) => `${method} ${path}`),
    /** Another Node takes the place of this one. */
    register: (other: Node): void => {
      node = other;
    },
    /** What is written is taken out again at once. */
    undo: (): void => {
      isDeaf = true;
    },
    setClock: (ms: number): void => {
      skew += ms;
    },
    stop: async () => {
      stop.abort();
      await following;
      expect(vi.getTimerCount()).toBe(0);
    },
  };
}

const advance = async (ms: number): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
};
const read = 'GET /api/v1/nodes/node-1';
const status = 'PATCH /api/v1/nodes/node-1/status';
const untaint = 'PATCH /api/v1/nodes/node-1';
const event = 'POST /apis/events.k8s.io/v1/namespaces/default/events';
const proven = (name = 'a bundle', changed: Partial<PassResult> = {}): PassResult =>
  passOf({ digest: sha256(name), anchors: [anchorOf('one')], ...changed });
const refused = passOf({ digest: sha256('a bundle'), converged: false, reasons: ['something'] });
const taint = { key: 'node-ca-trust.io/not-ready', effect: 'NoSchedule' };
const isOthers = ({ key }: Json): boolean => key !== taint.key;
const day = 86_400_000;
const known = {
  type: 'CATrustReady',
  status: 'True',
  reason: 'Old',
  message: 'old',
  lastTransitionTime: '2020-01-01T00:00:00Z',
};
const away = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

describe('the report', () => {
  it('reads the Node at its start, and says that it does not know where nothing was ever said', async () => {
    const { asked, lines, stop } = opened();
    await advance(60_000);
    expect(lines()).toEqual([read, status]);
    expect(asked[1]).toMatchObject({
      type: 'application/strategic-merge-patch+json',
      body: { status: { conditions: [{ type: 'CATrustReady', status: 'Unknown', reason: 'Starting' }] } },
    });
    await stop();
  });

  it('leaves alone what an earlier agent said until it knows better', async () => {
    const { lines, stop } = opened(nodeOf({ conditions: [{ type: 'Ready', lastTransitionTime: null }, known] }));
    await advance(60_000);
    expect(lines()).toEqual([read]);
    await stop();
  });

  it('tells the first proof at once, in one request, and one Event', async () => {
    const { asked, lines, report, stop } = opened(nodeOf({ conditions: [known] }));
    await advance(1_000);
    report.tell(proven());
    await advance(0);
    expect(lines()).toEqual([read, status, event]);
    const [, written, told] = asked;
    expect(written?.body).toEqual({
      metadata: {
        annotations: {
          'node-ca-trust.io/default': JSON.stringify({
            digest: sha256('a bundle'),
            anchors: 1,
            expires: '2120-01-01T00:00:00.000Z',
            runtime: 'none',
            version: '1.2.3',
            proven: new Date().toISOString(),
          }),
        },
      },
      status: {
        conditions: [
          {
            type: 'CATrustReady',
            status: 'True',
            reason: 'Proven',
            message: expect.any(String) as unknown,
            // It was true before, for another reason.
            lastTransitionTime: '2020-01-01T00:00:00Z',
            lastHeartbeatTime: new Date().toISOString(),
          },
        ],
      },
    });
    expect(told?.body).toMatchObject({
      apiVersion: 'events.k8s.io/v1',
      metadata: { namespace: 'default', name: expect.stringMatching(/^node-ca-trust-default\.[a-z0-9]+$/) as unknown },
      eventTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/) as unknown,
      reason: 'TrustUpdated',
      regarding: { kind: 'Node', name: 'node-1', uid: 'uid-1' },
      reportingInstance: 'node-1',
    });
    await stop();
  });

  it('asks for nothing while nothing changes', async () => {
    const { asked, report, stop } = opened();
    report.tell(proven());
    await advance(1_000);
    const before = asked.length;
    for (let pass = 0; pass < 5; pass += 1) {
      report.tell(proven());
      await advance(60_000);
    }
    expect(asked).toHaveLength(before);
    await stop();
  });

  it('tells what follows within half a minute, and only the last of it', async () => {
    const { asked, lines, report, stop } = opened();
    report.tell(proven());
    await advance(0);
    const before = asked.length;
    for (const name of ['second', 'third']) {
      report.tell(proven(name));
      await advance(10_000);
    }
    expect(asked).toHaveLength(before);
    await advance(10_000);
    expect(lines().slice(before)).toEqual([status, event]);
    expect(JSON.stringify(asked[before]?.body)).toContain(sha256('third'));
    await stop();
  });

  it.each([0, 0.25, 0.5, 1])('of another bundle are written at random within 30 s: %d of it', async (random) => {
    const { asked, report, stop } = opened(nodeOf(), random);
    report.tell(proven());
    await advance(60_000);
    const before = asked.length;
    report.tell(proven('another'));
    await advance(30_000);
    expect(asked[before]?.at).toBe(60_000 + random * 30_000);
    await stop();
  });

  it('has nobody wait for what goes wrong on this node alone, and for what goes wrong again and again', async () => {
    const { asked, report, stop } = opened();
    report.tell(proven());
    await advance(60_000);
    const before = asked.length;
    report.tell(refused);
    await advance(0);
    expect(asked).toHaveLength(before + 2);
    report.tell(proven());
    await advance(29_000);
    expect(asked).toHaveLength(before + 2);
    await advance(1_000);
    expect(asked).toHaveLength(before + 4);
    await stop();
  });

  it('takes an error of the bundle for one that every node has', async () => {
    const { asked, report, stop } = opened();
    report.tell(proven());
    await advance(60_000);
    const before = asked.length;
    const findings = [findingOf('error', 'private-key')];
    report.tell(passOf({ ...refused, digest: sha256('a bundle'), findings }));
    await advance(29_000);
    expect(asked).toHaveLength(before);
    // The next try finds the same.
    report.tell(passOf({ ...refused, digest: sha256('a bundle'), findings }));
    await advance(1_000);
    expect(asked).toHaveLength(before + 2);
    await stop();
  });

  it('reads the Node once per resync, with a pass, and writes again what it lost', async () => {
    const { lines, report, asked, register, stop } = opened();
    report.tell(proven());
    await advance(540_000);
    const before = asked.length;
    register(nodeOf());
    report.tell(proven());
    await advance(0);
    expect(lines().slice(before)).toEqual([read, status, expect.stringMatching(/^PATCH .*\/events\//)]);
    await stop();
  });

  it('says since when it is not so', async () => {
    const { asked, report, stop } = opened(nodeOf({ conditions: [known] }));
    report.tell(refused);
    await advance(0);
    expect(asked[1]?.body).toEqual({
      status: {
        conditions: [expect.objectContaining({ status: 'False', lastTransitionTime: new Date().toISOString() })],
      },
    });
    await stop();
  });

  it('tells of repairs and runtimes beside what the Node says', async () => {
    const runtimes: RuntimeState[] = [
      { name: 'docker', socket: '', pid: 1, way: 'restart', directories: [], state: 'restart-needed', message: 'm' },
    ];
    const { asked, report, stop } = opened();
    report.tell(proven('a', { repaired: ['x'], runtimes }));
    report.tell(proven('a', { repaired: ['x'], runtimes }));
    await advance(60_000);
    const told = asked.flatMap(({ body, method }) => (method === 'POST' ? [(body as { reason: string }).reason] : []));
    expect(told).toEqual(['RuntimeRestartNeeded', 'TrustRepaired', 'TrustUpdated']);
    await stop();
  });
});

describe('a Node', () => {
  it('that another took the place of is known by what the next write answers', async () => {
    const { asked, lines, report, register, stop } = opened();
    report.tell(proven());
    await advance(60_000);
    const before = asked.length;
    const { metadata } = nodeOf();
    register({ ...nodeOf({ taints: [taint] }), metadata: { ...metadata, uid: 'uid-2' } });
    report.tell(proven('another'));
    await advance(30_000);
    expect(lines().slice(before)).toEqual([status, read, untaint, event]);
    expect(asked.at(-1)?.body).toMatchObject({ regarding: { uid: 'uid-2' } });
    await stop();
  });

  it('that another keeps as it was is written to once per resync', async () => {
    const { lines, report, undo, stop } = opened(nodeOf({ conditions: [known] }));
    undo();
    for (let minute = 0; minute < 15; minute += 1) {
      report.tell(proven());
      await advance(60_000);
    }
    expect(lines().filter((line) => !line.includes('events'))).toEqual([read, status, read, status]);
    await stop();
  });

  it('that is gone is written to once, and not before the next resync again', async () => {
    let isGone = false;
    const { asked, said, report, stop } = opened(nodeOf(), 1, ({ path }) =>
      isGone && path.includes('nodes') ? new Refusal(404, 'nodes "node-1" not found') : undefined,
    );
    report.tell(proven());
    await advance(60_000);
    isGone = true;
    const before = asked.length;
    for (const bundle of ['b', 'c', 'd']) {
      report.tell(proven(bundle));
      await advance(60_000);
    }
    expect(asked).toHaveLength(before + 1);
    expect(said).toEqual([expect.stringMatching(/cannot be written: .* 404: nodes "node-1" not found$/)]);
    isGone = false;
    await advance(300_000);
    report.tell(proven('d'));
    await advance(60_000);
    expect(asked.slice(before + 1).map(({ method = 'GET' }) => method)).toEqual(['GET', 'PATCH', 'POST']);
    await stop();
  });
});

describe('a clock that is set', () => {
  it.each([
    ['back', -day],
    ['forward', day],
  ])('%s by a day puts off neither the next read nor what is to be said', async (_, ms) => {
    const { asked, lines, report, setClock, stop } = opened();
    report.tell(proven());
    await advance(60_000);
    setClock(ms);
    const before = asked.length;
    report.tell(refused);
    await advance(0);
    expect(lines().slice(before)).toEqual([status, event]);
    for (let pass = 0; pass < 10; pass += 1) {
      await advance(60_000);
      report.tell(refused);
    }
    expect(lines().slice(before)).toEqual([status, event, read]);
    await stop();
  });

  it('back permits no more Events than before', async () => {
    const { asked, report, setClock, stop } = opened(nodeOf(), 0);
    for (let round = 0; round < 60; round += 1) {
      if (round === 10) setClock(-day);
      report.tell(round % 2 === 0 ? refused : proven(String(round)));
      await advance(1_000);
    }
    expect(asked.filter(({ path }) => path.includes('events'))).toHaveLength(25);
    await stop();
  });
});

describe('the startup taint', () => {
  const tainted = nodeOf({ taints: [{ key: 'other' }, taint, { key: 'more' }, { ...taint, effect: 'NoExecute' }] });

  it('goes with the first proof, by a change that fails when the taints are others by then', async () => {
    const { asked, lines, report, stop } = opened(tainted);
    report.tell(proven());
    await advance(0);
    expect(lines()).toEqual([read, status, read, untaint, event]);
    expect(asked[3]).toMatchObject({
      type: 'application/json-patch+json',
      body: [
        { op: 'test', path: '/spec/taints/3', value: { ...taint, effect: 'NoExecute' } },
        { op: 'remove', path: '/spec/taints/3' },
        { op: 'test', path: '/spec/taints/1', value: taint },
        { op: 'remove', path: '/spec/taints/1' },
      ],
    });
    await stop();
  });

  it('that somebody puts on after the Node was read goes with the next thing that is told', async () => {
    const { lines, report, register, stop } = opened();
    await advance(1_000);
    register(tainted);
    report.tell(proven());
    await advance(0);
    expect(lines()).toContain(untaint);
    await stop();
  });

  it('goes at once though Events cannot be written', async () => {
    const { lines, said, report, stop } = opened(tainted, 1, ({ path }) =>
      path.includes('events') ? new Refusal(503, 'no etcd') : undefined,
    );
    report.tell(refused);
    await advance(300_000);
    expect(said).toEqual([expect.stringMatching(/^Events cannot be written: /)]);
    report.tell(proven());
    await advance(0);
    expect(lines()).toContain(untaint);
    await stop();
  });

  it('goes at once however late the proof comes', async () => {
    const { lines, report, stop } = opened(tainted);
    report.tell(refused);
    await advance(1_000);
    report.tell(proven());
    await advance(0);
    expect(lines()).toContain(untaint);
    await stop();
  });

  it('goes at once while something else waits', async () => {
    const { asked, lines, report, register, stop } = opened();
    report.tell(proven());
    await advance(60_000);
    register({ ...tainted, metadata: { ...tainted.metadata, uid: 'uid-2' } });
    report.tell(refused);
    await advance(0);
    const before = asked.length;
    // Of the cause that the first one is of, and of one that every node has.
    report.tell({ ...refused, reasons: ['something else'] });
    await advance(1_000);
    expect(asked).toHaveLength(before);
    report.tell(proven('another'));
    await advance(0);
    expect(lines().slice(before)).toContain(untaint);
    await stop();
  });

  it('stays while nothing is proven', async () => {
    const { lines, report, stop } = opened(tainted);
    report.tell(refused);
    await advance(60_000);
    expect(lines()).not.toContain(untaint);
    await stop();
  });

  it('is read again when others changed the taints meanwhile, three times', async () => {
    const { lines, said, report, stop } = opened(tainted, 1, ({ path, method }) =>
      method === 'PATCH' && path.endsWith('node-1') ? new Refusal(422, 'the test failed') : undefined,
    );
    report.tell(proven());
    await advance(0);
    expect(lines().filter((line) => line === untaint)).toHaveLength(4);
    expect(said).toEqual(['the startup taint cannot be taken off: the API server answered 422: the test failed']);
    await stop();
  });
});

describe('a refusal', () => {
  it.each([
    ['GET', '', 'the own Node cannot be read', '[""], resources [nodes], verbs [get]'],
    [
      'PATCH',
      '/status',
      'condition and annotation of the Node cannot be written',
      '[""], resources [nodes/status], verbs [patch]',
    ],
    ['POST', '', 'Events cannot be told', '[events.k8s.io], resources [events], verbs [create]'],
  ])(
    'of %s %s is said once with its rule, and not tried again before the next read',
    async (method, end, what, rule) => {
      const { asked, said, report, stop } = opened(nodeOf(), 1, (one) =>
        (one.method ?? 'GET') === method && one.path.endsWith(end) ? new Refusal(403, 'forbidden') : undefined,
      );
      report.tell(proven());
      await advance(60_000);
      report.tell(proven('another'));
      await advance(60_000);
      const tries = (): number =>
        asked.filter((one) => (one.method ?? 'GET') === method && one.path.endsWith(end)).length;
      expect(tries()).toBe(1);
      await advance(480_000);
      report.tell(proven('a third'));
      await advance(60_000);
      expect(tries()).toBe(2);
      expect(said).toEqual([
        `${what}: the API server answered 403: forbidden; grant the service account in a ClusterRole: apiGroups ${rule}`,
      ]);
      await stop();
    },
  );

  it('by a policy is said with what the policy says', async () => {
    const { said, report, stop } = opened(nodeOf(), 1, ({ path }) =>
      path.endsWith('/status') ? new Refusal(422, 'denied: another node') : undefined,
    );
    report.tell(proven());
    await advance(60_000);
    expect(said).toEqual([
      'condition and annotation of the Node cannot be written: the API server answered 422: denied: another node',
    ]);
    await stop();
  });
});

describe('an API server that is away', () => {
  it.each([
    ['away', away],
    ['overloaded', new Refusal(429, 'slow down')],
    ['with an old token', new Refusal(401, 'Unauthorized')],
    ['not well', new Refusal(503, '')],
  ])('is asked again, ever less often, and is told of it after a while: %s', async (_, failure) => {
    let isAway = true;
    const { asked, said, report, stop } = opened(nodeOf(), 1, () => (isAway ? failure : undefined));
    report.tell(proven());
    await advance(250_000);
    const waits = asked.slice(1).map(({ at }, index) => at - (asked[index]?.at ?? 0));
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    expect(said).toEqual([expect.stringMatching(/^the Node cannot be told how it stands: /)]);
    isAway = false;
    const before = asked.length;
    await advance(60_000);
    expect(asked.slice(before).map(({ method = 'GET' }) => method)).toEqual(['GET', 'PATCH', 'POST']);
    await stop();
  });

  it('that answers with something else writes nothing', async () => {
    const { lines, stop } = opened({ metadata: { name: 'another', uid: 'x' } });
    await advance(10_000);
    expect(new Set(lines())).toEqual(new Set([read]));
    await stop();
  });
});

describe('the end', () => {
  it('gives up what is under way', async () => {
    let isEnded = false;
    const api: Api = {
      ask: ({ signal }) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => {
            isEnded = true;
            reject(new Error('aborted'));
          });
        }),
      follow: () => Promise.reject(new Error('nothing is followed')),
    };
    const settings = { nodeName: 'node-1', instance: 'default', version: '1.2.3', resyncMs: 600_000 };
    const report = openNode(settings, {
      api,
      now: () => Date.now(),
      steady: () => Date.now(),
      sleep,
      random: () => 1,
      failed: () => undefined,
    });
    const stop = new AbortController();
    const following = report.follow(stop.signal);
    await advance(1_000);
    stop.abort();
    await following;
    expect(isEnded).toBe(true);
  });

  it('writes nothing of what was still to be told', async () => {
    const { asked, report, stop } = opened();
    report.tell(proven());
    await advance(0);
    const before = asked.length;
    report.tell(proven('another'));
    await advance(1_000);
    await stop();
    expect(asked).toHaveLength(before);
  });

  it('with a removal takes condition and annotation off, and tells it', async () => {
    const { asked, lines, report, stop } = opened();
    report.tell(proven());
    await advance(0);
    await stop();
    const before = asked.length;
    await report.removed(2);
    expect(lines().slice(before)).toEqual([status, event]);
    expect(asked[before]?.body).toEqual({
      metadata: { annotations: { 'node-ca-trust.io/default': null } },
      status: { conditions: [{ type: 'CATrustReady', $patch: 'delete' }] },
    });
    expect(asked[before + 1]?.body).toMatchObject({ reason: 'TrustRemoved' });
  });

  const removing = async (fail: (asked: Asked) => Error | undefined) => {
    const node = opened(nodeOf({ conditions: [known] }), 1, fail);
    await node.stop();
    node.asked.length = 0;
    node.said.length = 0;
    let isOver = false;
    const removed = node.report.removed(2).then(() => (isOver = true));
    return { ...node, removed, isOver: () => isOver };
  };
  const sorted = ({ lines }: { readonly lines: () => readonly string[] }): readonly string[] => lines().toSorted();

  it.each([
    ['503', new Refusal(503, 'not ready')],
    ['409', new Refusal(409, 'the object has been modified')],
    ['no answer', away],
  ])('with a removal tries again after %s, and tells the Event all the same, each once', async (_, error) => {
    let failures = 2;
    const node = await removing(({ path }) => (path.endsWith('/status') && failures-- > 0 ? error : undefined));
    await advance(0);
    expect(node.lines()).toEqual([status, event]);
    await advance(3_000);
    await node.removed;
    expect(sorted(node)).toEqual([status, status, status, event]);
    expect(node.said).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('with a removal tries an Event again that nobody took', async () => {
    let failures = 1;
    const node = await removing(({ path }) => (path.includes('events') && failures-- > 0 ? away : undefined));
    await advance(1_000);
    await node.removed;
    expect(node.lines()).toEqual([status, event, event]);
    expect(node.said).toEqual([]);
  });

  it('with a removal that cannot be told says why when the time for it is over', async () => {
    const node = await removing(() => away);
    await advance(19_999);
    expect(node.isOver()).toBe(false);
    await advance(1);
    await node.removed;
    expect(node.said.toSorted()).toEqual([
      'Events cannot be told: connect ECONNREFUSED',
      'condition and annotation of the Node cannot be written: connect ECONNREFUSED',
    ]);
    expect(node.asked.length).toBeLessThan(12);
  });

  it('with a removal lets no request outlast the time for it', async () => {
    const requests: AbortSignal[] = [];
    const api: Api = {
      ask: ({ signal }) =>
        new Promise((_, reject) => {
          signal?.addEventListener('abort', () => {
            reject(new Error('This operation was aborted'));
          });
          if (signal) requests.push(signal);
        }),
      follow: () => Promise.reject(new Error('nothing is followed')),
    };
    const said: string[] = [];
    const settings = { nodeName: 'node-1', instance: 'default', version: '1.2.3', resyncMs: 600_000 };
    const removed = openNode(settings, {
      api,
      now: () => Date.now(),
      steady: () => performance.now(),
      sleep,
      random: () => 1,
      failed: (line) => said.push(line),
    }).removed(2);
    await advance(20_000);
    await removed;
    expect(requests.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect(said[0]).toBe(
      'condition and annotation of the Node cannot be written: the API server does not answer in time',
    );
  });

  it('with a removal that it may not tell says which rule is missing, at once', async () => {
    const node = await removing(() => new Refusal(403, 'forbidden'));
    await advance(0);
    await node.removed;
    expect(node.lines()).toEqual([status, event]);
    expect(node.said[0]).toMatch(/403: forbidden; grant .*resources \[nodes\/status\], verbs \[patch\]$/);
    expect(node.said).toHaveLength(2);
  });
});

describe('Events', () => {
  it('that say the same again count up the first, for half an hour, and are told anew when that is gone', async () => {
    let isGone = false;
    const { lines, report, stop } = opened(nodeOf(), 0, ({ path, method }) =>
      isGone && method === 'PATCH' && path.includes('events') ? new Refusal(404, 'not found') : undefined,
    );
    const repair = async (): Promise<string | undefined> => {
      report.tell(proven('a', { repaired: ['x'] }));
      await advance(60_000);
      return lines()
        .at(-1)
        ?.replace(/\.[a-z0-9]+$/, '');
    };
    await repair();
    expect(await repair()).toBe('PATCH /apis/events.k8s.io/v1/namespaces/default/events/node-ca-trust-default');
    isGone = true;
    await repair();
    expect(await repair()).toBe(event);
    await advance(1_800_000);
    expect(await repair()).toBe(event);
    await stop();
  });

  it('of a flood are told in part', async () => {
    const { asked, report, stop } = opened(nodeOf(), 0);
    for (let round = 0; round < 60; round += 1) {
      report.tell(round % 2 === 0 ? refused : proven(String(round)));
      await advance(1_000);
    }
    const told = asked.filter(({ path }) => path.includes('events'));
    expect(told).toHaveLength(25);
    await stop();
  });
});
