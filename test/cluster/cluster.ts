// What the suite knows of a cluster, whoever makes it: this machine's own namespaces, or kind.
import type { Result } from './process.ts';

/** The first has the control plane beside it. */
export const nodeNames = ['node1', 'node2'] as const;
export type NodeName = (typeof nodeNames)[number];

export interface NodeOptions {
  /** Fields of the kubelet's configuration: `registerWithTaints`, `syncFrequency`. */
  readonly kubelet?: Readonly<Record<string, unknown>>;
  /** False leaves the node without a network plugin: it stays NotReady. */
  readonly cni?: boolean;
}

export interface Options {
  readonly nodes?: Readonly<Partial<Record<NodeName, NodeOptions>>>;
}

export interface CommandOptions {
  readonly input?: string;
  /** Milliseconds; default 60,000. A command that takes longer is ended. */
  readonly timeout?: number;
}

export interface ClusterNode {
  /** What the API server calls it. */
  readonly name: string;
  /** The words before a command that a person wants to run on the node. */
  readonly shell: string;
  /** Runs a command as root on the node with a clean environment; an exit code other than 0 is no exception. */
  exec(command: string, args?: readonly string[], options?: CommandOptions): Promise<Result>;
  /**
   * A power cut, then a start from the same disk: nothing that ran is told of it. Returns when the kubelet runs again;
   * the API server may not know yet that the node was down (`status.nodeInfo.bootID` changes).
   */
  reboot(): Promise<void>;
  stopKubelet(): Promise<void>;
  startKubelet(): Promise<void>;
  restartKubelet(): Promise<void>;
  /** Loads the images of an archive (`docker save`), under the names it holds. */
  importImage(archive: string): Promise<void>;
}

export interface Cluster extends AsyncDisposable {
  /** A file for KUBECONFIG, with every right. */
  readonly kubeconfig: string;
  /** Directories with kubectl and helm, for PATH. */
  readonly path: readonly string[];
  /** With these, kubectl and helm work on this cluster, and leave nothing in the user's home. */
  readonly environment: Readonly<Record<string, string>>;
  readonly nodes: readonly [ClusterNode, ClusterNode];
  /** The machine's own address, as the nodes reach it. */
  outside(): Promise<string>;
  node(name: NodeName): ClusterNode;
  /** An exit code other than 0 is no exception. */
  kubectl(args: readonly string[], options?: CommandOptions): Promise<Result>;
  /** Loads the images of an archive on both nodes. */
  importImage(archive: string): Promise<void>;
  /** The nodes and what runs on them go on; nobody can be asked. */
  stopApiServer(): Promise<void>;
  /** Returns when it answers. */
  startApiServer(): Promise<void>;
  /** Ends it and leaves nothing behind. */
  down(): Promise<void>;
}

/** A way to have a cluster. */
export interface Provider {
  /** Starts a cluster; one that is left over, or was started with other options, is ended first. */
  up(options?: Options): Promise<Cluster>;
  /** The cluster that runs, if one does. */
  running(): Promise<Cluster | undefined>;
  /** Ends whatever there is of a cluster, half started ones included. */
  down(): Promise<void>;
  /**
   * Keeps the place of the cluster to this process until it gives it back, or ends.
   * @throws Error, which says whose it is, when it is somebody else's
   */
  keep(): Promise<() => void>;
}
