// Where everything of the cluster is: files, addresses, names. All of them follow from its directory, so that whoever
// comes after a crash finds what there is without asking anybody, and two clusters do not meet.
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import type { NodeName } from '../cluster.ts';

const usualHome = '/var/tmp/node-ca-trust-cluster';

/** The one directory of a cluster: its keys, its logs, the disks of its nodes. */
export const home = resolve(process.env['NODE_CA_TRUST_CLUSTER'] ?? usualHome);

/** What tells the names and addresses of clusters on one machine apart: 0 to 255. */
export function slotOf(directory: string): number {
  return directory === usualHome ? 0 : 1 + (createHash('sha256').update(directory).digest().readUInt16BE() % 255);
}

const slot = slotOf(home);

export const kubeconfig = join(home, 'kubeconfig');
export const pkiDirectory = join(home, 'pki');
export const etcdDirectory = join(home, 'etcd');

/** The room that the nodes stand in, with the switch between them; the control plane runs in it. */
export const room = 'room';
export type Place = NodeName | typeof room;

/** Runs a command in a place. */
export const doorOf = (place: Place): string => join(home, place);
export const logOf = (place: Place, service: string): string => join(home, 'log', `${place}-${service}.log`);

/** The name of the control groups' directory, in each hierarchy. */
export const controlGroup = `node-ca-trust-cluster${slot}`;

/** 198.18.0.0/15 is for tests of networks (RFC 2544): it is in nobody's use, so the machine's one route to it is new. */
const subnet = `198.18.${slot}`;

export const network = {
  /** The machine's end of the one cable that leads out of the room. */
  cable: `nodecatrust${slot}`,
  machine: `${subnet}.254`,
  apiServer: `${subnet}.1`,
  bits: 24,
  nodes: { node1: `${subnet}.11`, node2: `${subnet}.12` },
  /** A node that comes back is known by the address it had. */
  hardware: { node1: '02:00:c6:12:00:0b', node2: '02:00:c6:12:00:0c' },
  /** Pods and Services are seen in the nodes and in the room alone. */
  pods: '10.244.0.0/16',
  podsOf: { node1: '10.244.1.0/24', node2: '10.244.2.0/24' },
  services: '10.96.0.0/16',
  firstService: '10.96.0.1',
} as const;

export const apiServerUrl = `https://${network.apiServer}:6443`;

export const pauseImage = 'localhost/pause:1';
export const pauseArchive = join(home, 'pause.tar');

/** Where a node has the programs that Debian does not bring. */
export const nodePrograms = ['kubelet', 'kube-proxy', 'crictl', 'pause'] as const;

/** What Kubernetes 1.34 wants switched on before a pod can mount a ClusterTrustBundle: in the API server and the kubelets. */
export const trustBundleGates = ['ClusterTrustBundle', 'ClusterTrustBundleProjection'] as const;
