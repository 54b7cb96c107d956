// Nodes and agents' pods as the kubelet and the agents write them: with all that `status` has to leave aside.
import { createHash } from 'node:crypto';
import { namesOf } from '../../src/api/trust-annotation.ts';
import type { ApiServer } from '../api/harness/api-server.ts';

export const namespace = 'node-ca-trust';
export const label = 'node-ca-trust.io/enabled';

export const digestOf = (bundle: string): string => createHash('sha256').update(bundle).digest('hex');

export interface NodeOptions {
  readonly labelled?: boolean;
  readonly instance?: string;
  /** What it has proven; null when it bears no annotation. */
  readonly trust?: Readonly<Record<string, unknown>> | null;
  readonly condition?: { readonly status: string; readonly reason: string; readonly message: string } | null;
}

export function trustOf(bundle: string, more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    digest: digestOf(bundle),
    anchors: 2,
    expires: '2036-11-20T22:05:22.000Z',
    runtime: 'trusts',
    version: '0.1.0',
    proven: new Date().toISOString(),
    ...more,
  };
}

/** Fifty images, as many as a kubelet names, under the two names that each has. */
const images = Array.from({ length: 50 }, (_, index) => ({
  names: [
    `registry.example.com/platform/service-${index}@sha256:${digestOf(`image ${index}`)}`,
    `registry.example.com/platform/service-${index}:2026.11.${index}`,
  ],
  sizeBytes: 100_000_000 + index,
}));

const kubelets = {
  MemoryPressure: ['False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
  DiskPressure: ['False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
  PIDPressure: ['False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
  Ready: ['True', 'KubeletReady', 'kubelet is posting ready status'],
} as const;

export function nodeOf(name: string, options: NodeOptions = {}): Record<string, unknown> {
  const { labelled = true, instance = 'default', trust = trustOf('one'), condition } = options;
  const now = new Date().toISOString();
  const own =
    condition === null
      ? []
      : [
          {
            type: namesOf(instance).condition,
            status: 'True',
            reason: 'Proven',
            message: 'the host trusts the bundle',
            ...condition,
            lastHeartbeatTime: now,
            lastTransitionTime: now,
          },
        ];
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: {
        'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': 'amd64',
        'node.kubernetes.io/instance-type': 'm7i.4xlarge',
        'topology.kubernetes.io/zone': 'eu-central-1a',
        ...(labelled ? { [label]: 'true' } : {}),
      },
      annotations: {
        'csi.volume.kubernetes.io/nodeid': `{"ebs.csi.aws.com":"i-${digestOf(name).slice(0, 17)}"}`,
        ...(trust === null ? {} : { [namesOf(instance).annotation]: JSON.stringify(trust) }),
      },
    },
    spec: { providerID: `aws:///eu-central-1a/i-${digestOf(name).slice(0, 17)}` },
    status: {
      capacity: { cpu: '16', memory: '65536000Ki', pods: '110', 'ephemeral-storage': '104845292Ki' },
      allocatable: { cpu: '15890m', memory: '62000000Ki', pods: '110', 'ephemeral-storage': '95551679124' },
      conditions: [
        ...Object.entries(kubelets).map(([type, [status, reason, message]]) => ({
          type,
          status,
          reason,
          message,
          lastHeartbeatTime: now,
          lastTransitionTime: now,
        })),
        ...own,
      ],
      addresses: [
        { type: 'InternalIP', address: '10.0.0.1' },
        { type: 'Hostname', address: name },
      ],
      images,
    },
  };
}

export interface PodOptions {
  readonly instance?: string;
  readonly name?: string;
  /** Not yet on the node: what keeps the scheduler from putting it there. */
  readonly unscheduled?: string;
  /** Why its container does not run. */
  readonly waiting?: { readonly reason: string; readonly message: string };
  readonly restarts?: number;
}

/** A pod of the DaemonSet with its status, which the API server takes in a second request. */
export function podOf(
  node: string,
  options: PodOptions = {},
): { readonly pod: Record<string, unknown>; readonly status: Record<string, unknown> } {
  const {
    instance = 'default',
    name = `node-ca-trust-${digestOf(node).slice(0, 10)}`,
    unscheduled,
    waiting,
    restarts = 0,
  } = options;
  const ready = unscheduled === undefined && waiting === undefined;
  const term = { matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] };
  const containers = [{ name: 'node-ca-trust', image: 'registry.example.com/node-ca-trust:0.1.0' }];
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      labels: { 'app.kubernetes.io/name': 'node-ca-trust', 'app.kubernetes.io/instance': instance },
    },
    spec: {
      containers,
      ...(unscheduled === undefined ? { nodeName: node } : {}),
      affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } } },
      tolerations: [{ operator: 'Exists' }],
    },
  };
  const scheduled =
    unscheduled === undefined ? { status: 'True' } : { status: 'False', reason: 'Unschedulable', message: unscheduled };
  const state = waiting === undefined ? { running: { startedAt: new Date().toISOString() } } : { waiting };
  const container = { name: 'node-ca-trust', image: 'x', imageID: 'x', ready, restartCount: restarts, state };
  const status = {
    phase: ready ? 'Running' : 'Pending',
    conditions: [
      { type: 'PodScheduled', ...scheduled },
      { type: 'Ready', status: ready ? 'True' : 'False' },
    ],
    containerStatuses: unscheduled === undefined ? [container] : [],
  };
  return { pod, status };
}

export async function putNode(api: ApiServer, name: string, options: NodeOptions = {}): Promise<void> {
  await api.must('POST', '/api/v1/nodes', nodeOf(name, options));
}

export async function putPod(api: ApiServer, node: string, options: PodOptions = {}): Promise<void> {
  const { pod, status } = podOf(node, options);
  const collection = `/api/v1/namespaces/${namespace}/pods`;
  const made = (await api.must('POST', collection, pod)) as { metadata: { name: string } };
  await api.must('PATCH', `${collection}/${made.metadata.name}/status`, { status }, 'application/merge-patch+json');
}

/** So many at a time: enough to keep the API server busy, not enough to be refused. */
export async function inParallel<T>(list: readonly T[], work: (one: T) => Promise<void>, width = 32): Promise<void> {
  const rest = list.values();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (const one of rest) await work(one);
    }),
  );
}
