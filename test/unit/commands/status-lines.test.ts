import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ClusterStatus, type Question, type StatusLine, statusOf } from '../../../src/commands/status-lines.ts';
import {
  type NodeParts,
  type PodParts,
  digests,
  nodeFacts,
  nodeObject,
  podFacts,
  podObject,
  provenAt,
  proves,
  trustOf,
} from '../support/cluster-objects.ts';

const two = { trust: trustOf({ digest: digests.two }) };

/** The cluster that these Nodes make, with a ready pod on each unless others are given. */
function seen(
  nodes: Readonly<Record<string, NodeParts>>,
  pods: readonly unknown[] | undefined = Object.keys(nodes).map((name) => podObject(name)),
  question: Partial<Question> = {},
): ClusterStatus {
  const objects = Object.entries(nodes).map(([name, parts]) => nodeObject(name, parts));
  return statusOf(nodeFacts(objects), podFacts(pods), { instance: 'default', ...question });
}

const namesOf = ({ nodes }: ClusterStatus): readonly string[] => nodes.map(({ node }) => node);

/** The one line of a cluster of one node. */
function lineOf(node: NodeParts, pods: readonly unknown[] = [podObject('n')]): StatusLine {
  const [line] = seen({ n: node }, pods).nodes;
  if (line === undefined) throw new Error('there is no line');
  return line;
}

describe('an enabled node', () => {
  it('that has proven its trust says what, since when and by whom', () => {
    expect(lineOf({})).toEqual({
      node: 'n',
      enabled: true,
      ready: true,
      proven: true,
      digest: digests.one,
      anchors: 2,
      expires: '2036-11-20T22:05:22.000Z',
      runtime: 'trusts',
      version: '0.1.0',
      provenAt,
      pod: { namespace: 'node-ca-trust', name: 'agent-n', ready: true, restarts: 0 },
      reason: undefined,
    });
  });

  it('is not looked at when it bears neither label nor annotation', () => {
    const nodes = {
      n: { labels: {}, trust: undefined },
      m: { labels: { 'node-ca-trust.io/enabled': 'false' }, trust: undefined },
    };
    expect(seen(nodes).nodes).toEqual([]);
  });

  const waiting = (reason: string, more: object = {}): PodParts => ({
    ready: false,
    status: { phase: 'Pending', containerStatuses: [{ restartCount: 7, state: { waiting: { reason, ...more } } }] },
  });
  const onNode = (node: string): object => ({
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }],
    },
  });
  const unscheduled: PodParts = {
    ready: false,
    spec: { affinity: { nodeAffinity: onNode('n') } },
    status: {
      phase: 'Pending',
      conditions: [
        { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '1 node has no free ports' },
      ],
    },
  };
  const crash = {
    restartCount: 3,
    state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 40s' } },
    lastState: { terminated: { reason: 'OOMKilled', exitCode: 137 } },
  };
  const silent: NodeParts = { trust: undefined, condition: undefined };
  const pod = (parts: PodParts): readonly unknown[] => [podObject('n', parts)];

  it.each<[string, NodeParts, readonly unknown[], RegExp]>([
    ['no pod', silent, [], /^no pod of the agent is on it: is the DaemonSet installed/],
    [
      'an image that cannot be pulled',
      silent,
      pod(waiting('ImagePullBackOff', { message: 'Back-off\npulling "x"' })),
      /^its agent's pod agent-n: ImagePullBackOff: Back-off pulling "x"$/,
    ],
    [
      'a pod that waits for its first container',
      silent,
      pod({
        ready: false,
        status: {
          phase: 'Pending',
          initContainerStatuses: [
            { restartCount: 0, state: { terminated: { reason: 'Completed', exitCode: 0 } } },
            { restartCount: 7, state: { waiting: { reason: 'ImagePullBackOff' } } },
          ],
          containerStatuses: [{ restartCount: 0, state: { waiting: { reason: 'PodInitializing' } } }],
        },
      }),
      /^its agent's pod agent-n: ImagePullBackOff$/,
    ],
    ['a pod that is being made', silent, pod(waiting('ContainerCreating')), /: ContainerCreating$/],
    [
      'a pod that crashes',
      {},
      pod({ ready: false, status: { containerStatuses: [crash] } }),
      /CrashLoopBackOff: back-off 40s; it ended with OOMKilled, exit code 137$/,
    ],
    [
      'a pod that has ended',
      {},
      pod({
        ready: false,
        status: { containerStatuses: [{ state: { terminated: { reason: 'Error', exitCode: 1 } } }] },
      }),
      /it ended with Error, exit code 1$/,
    ],
    [
      'a pod that was evicted',
      {},
      pod({
        ready: false,
        status: { phase: 'Failed', reason: 'Evicted', message: 'low on disk', containerStatuses: [] },
      }),
      /: Evicted: low on disk$/,
    ],
    [
      'a pod that finds no place',
      silent,
      pod(unscheduled),
      /: not scheduled: Unschedulable: 1 node has no free ports$/,
    ],
    [
      'a pod that is pending',
      silent,
      pod({ ready: false, status: { phase: 'Pending', containerStatuses: [] } }),
      /: Pending$/,
    ],
    ['a pod that is going', {}, pod({ ready: false, leaving: true }), /agent-n is being deleted$/],
    ['a pod that is not ready', {}, pod({ ready: false }), /^its agent's pod agent-n is not ready$/],
    ['an agent that has not reported', silent, pod({}), /^its agent has not reported yet/],
    [
      'a pass that failed',
      { condition: { status: 'False', reason: 'Refused', message: 'private-key: a.crt: ...' } },
      pod({ ready: false }),
      /^Refused: private-key: a\.crt: \.\.\.$/,
    ],
    [
      'an agent that starts',
      { condition: { status: 'Unknown', reason: 'Starting', message: '' } },
      pod({ ready: false }),
      /^Starting$/,
    ],
    ['a reason that is none', { condition: { status: 'False' } }, pod({}), /^its agent gives no reason$/],
    [
      'an annotation that no agent wrote',
      { trust: '{"digest":"x"}' },
      pod({}),
      /^its annotation is not what an agent writes$/,
    ],
    ['a condition without a proof', { trust: undefined }, pod({}), /^it bears no proof$/],
    [
      'a node that is down',
      { kubelet: { status: 'Unknown', reason: 'NodeStatusUnknown', message: 'Kubelet stopped posting node status.' } },
      pod({ ready: false }),
      /^the node is not ready: NodeStatusUnknown: Kubelet stopped posting node status\.$/,
    ],
  ])('is not ready with %s, and says so', (_, node, pods, reason) => {
    const line = lineOf(node, pods);
    expect([line.ready, line.reason]).toEqual([false, expect.stringMatching(reason)]);
    expect(seen({ n: node }, pods).converged).toBe(false);
  });

  it('is ready though its kubelet is not, while its agent is', () => {
    expect(lineOf({ kubelet: { status: 'False', reason: 'KubeletNotReady' } }).ready).toBe(true);
  });

  it('is judged by its new pod while the old one ends', () => {
    const pods = [podObject('n', { name: 'new' }), podObject('n', { name: 'old', leaving: true, ready: false })];
    for (const order of [pods, pods.toReversed()]) expect(lineOf({}, order).pod?.name).toBe('new');
  });

  it('counts what its pod was restarted', () => {
    expect(lineOf(silent, pod(waiting('ImagePullBackOff'))).pod?.restarts).toBe(7);
  });

  it('is judged by what it says alone where the pods cannot be read', () => {
    const nodes = nodeFacts([nodeObject('n'), nodeObject('m', { trust: undefined, condition: undefined })]);
    const { nodes: lines } = statusOf(nodes, undefined, { instance: 'default' });
    expect(lines.map(({ node, ready, pod: its }) => [node, ready, its])).toEqual([
      ['m', false, undefined],
      ['n', true, undefined],
    ]);
  });
});

describe('whether all is as it should be', () => {
  it.each<[string, Readonly<Record<string, NodeParts>>, string | undefined, boolean, number]>([
    ['all agree', { a: {}, b: {} }, undefined, true, 2],
    ['one differs', { a: {}, b: {}, c: two }, undefined, false, 2],
    ['all have the digest', { a: {}, b: {} }, digests.one, true, 2],
    ['all have what begins like it', { a: {}, b: {} }, digests.one.slice(0, 12), true, 2],
    ['one has another digest', { a: {}, b: two }, digests.one, false, 1],
    ['none has the digest', { a: {}, b: {} }, digests.two, false, 0],
    [
      'one has proven it, and has failed since',
      { a: {}, b: { condition: { status: 'False' } } },
      digests.one,
      false,
      1,
    ],
    [
      'one has proven it, and its agent starts',
      { a: {}, b: { condition: { status: 'Unknown' } } },
      digests.one,
      true,
      2,
    ],
    ['one has an annotation alone', { a: {}, b: { condition: undefined } }, digests.one, false, 1],
    ['no node is enabled', {}, undefined, false, 0],
    ['no node is enabled that could have proven the digest', {}, digests.one, false, 0],
    ['a leftover has another digest', { a: {}, b: { ...two, labels: {} } }, digests.one, true, 1],
  ])('%s', (_, nodes, digest, converged, proven) => {
    const question = digest === undefined ? {} : { digest };
    const status = seen(nodes, undefined, question);
    expect([status.converged, status.proven]).toEqual([converged, proven]);
  });

  it('a digest that is proven stays so when the agent ends, but without a digest to go by all have to be ready', () => {
    const pods = [podObject('n', { ready: false })];
    expect(seen({ n: {} }, pods, { digest: digests.one }).converged).toBe(true);
    expect(seen({ n: {} }, pods).converged).toBe(false);
  });

  it('without a digest that of most nodes counts, whatever their order', () => {
    const nodes = { a: two, b: {}, c: two };
    expect(seen(nodes).digest).toBe(digests.two);
    expect(seen({ a: two, b: {} }).digest).toBe(digests.one);
    expect(seen({ b: {}, a: two }).digest).toBe(digests.one);
    expect(seen({ a: { trust: undefined } })).not.toHaveProperty('digest', expect.anything());
  });

  it('a node that is ready and differs says that it does', () => {
    expect(seen({ a: {}, b: {}, c: two }).nodes[0]).toMatchObject({
      node: 'c',
      ready: true,
      proven: false,
      reason: 'it has proven another digest',
    });
  });
});

describe('a leftover', () => {
  const left: NodeParts = { labels: {} };

  it.each<[string, NodeParts, readonly unknown[], RegExp]>([
    ['whose agent is removing', left, [podObject('n', { leaving: true })], /its agent is removing the CAs$/],
    ['whose agent still runs', left, [podObject('n')], /its agent's pod agent-n has not ended yet$/],
    ['without an agent', left, [], /no agent said that it removed the CAs: label it again, and unlabel it$/],
    [
      'that is down',
      { ...left, kubelet: { status: 'Unknown' } },
      [],
      /label it again when it is ready, and unlabel it$/,
    ],
    [
      'that was down when its agent was to remove',
      { ...left, kubelet: { status: 'Unknown' } },
      [podObject('n', { leaving: true })],
      /no agent said that it removed the CAs: label it again when it is ready, and unlabel it$/,
    ],
    ['whose annotation is broken', { ...left, trust: '{' }, [], /no agent said that it removed the CAs/],
    [
      'that has proven nothing, and may have installed what was valid',
      { ...left, trust: undefined, condition: { status: 'False' } },
      [],
      /no agent said that it removed the CAs/,
    ],
  ])('%s is shown, and counted apart', (_, node, pods, reason) => {
    const status = seen({ n: node }, pods);
    expect(status).toMatchObject({ converged: false, enabled: 0, leftovers: 1 });
    expect(status.nodes[0]).toMatchObject({ enabled: false, ready: false, proven: false });
    expect(status.nodes[0]?.reason).toMatch(reason);
  });

  it('of another instance is none of this one', () => {
    expect(nodeFacts([nodeObject('n', left)], 'lab')).toEqual([]);
  });
});

describe('the order', () => {
  it('is: what is not as it should be, leftovers, the rest, each by name', () => {
    const broken: NodeParts = { condition: { status: 'False' } };
    const nodes = { d: {}, a: {}, f: { labels: {} }, e: broken, c: two, b: {} };
    expect(namesOf(seen(nodes))).toEqual(['c', 'e', 'f', 'a', 'b', 'd']);
  });
});

describe('another instance', () => {
  it('has its own annotation and condition', () => {
    const node = {
      metadata: {
        name: 'n',
        labels: { 'node-ca-trust.io/enabled': 'true' },
        annotations: { 'node-ca-trust.io/lab': trustOf(two) },
      },
      status: {
        conditions: [
          { type: 'Ready', status: 'True' },
          { type: 'CATrustReady', status: 'False' },
          { type: 'CATrustReady-lab', ...proves },
        ],
      },
    };
    const { nodes } = statusOf(nodeFacts([node], 'lab'), podFacts([podObject('n')]), { instance: 'lab' });
    expect(nodes[0]).toMatchObject({ ready: true, proven: true });
  });
});

describe('what somebody wrote into the objects', () => {
  // eslint-disable-next-line no-control-regex
  const controls = /[\u0000-\u001f\u007f-\u009f\u202e]/;

  it('reaches no line as a control character, and never ends the command', () => {
    const text = fc.string({ unit: 'binary' });
    const condition = fc.record({ status: fc.constantFrom('True', 'False', 'x'), reason: text, message: text });
    fc.assert(
      fc.property(text, text, condition, condition, (name, trust, own, kubelet) => {
        const nodes = nodeFacts([nodeObject(name, { trust, condition: own, kubelet })]);
        const status = { phase: name, reason: trust, message: own.message };
        const pods = podFacts([podObject(name, { name, ready: false, status })]);
        const { nodes: lines } = statusOf(nodes, pods, { instance: 'default' });
        for (const { node, reason = '', pod } of lines)
          expect(`${node}${reason}${pod?.name ?? ''}`).not.toMatch(controls);
      }),
      {
        examples: [
          ['\0', '', { status: 'True', reason: '', message: '' }, { status: 'True', reason: '', message: '' }],
        ],
      },
    );
  });
});
