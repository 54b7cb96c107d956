/**
 * What a command was asked to do, validated: made once by cli.ts, trusted everywhere after.
 */
import type { BundleRules } from '../bundle/types.ts';
import type { FormatName } from '../render/names.ts';
import type { RuntimeRefresh } from '../runtimes/runtimes.ts';
import type { NodeLabel } from '../sources/node-label.ts';
import type { SecretName } from '../sources/secret.ts';
import type { Address } from '../stores/probe.ts';
import type { StoreRefresh } from '../stores/unit.ts';

export type OutputFormat = 'table' | 'json';

type BundleConfig = Omit<BundleRules, 'now'>;

export interface HostConfig {
  readonly hostRoot: string;
  readonly instance: string;
  /** Who runs the host's refresh command: this program, unless told otherwise. */
  readonly storeRefresh?: StoreRefresh;
}

export interface CheckConfig extends BundleConfig {
  /** Files and directories; `-` is standard input. */
  readonly paths: readonly string[];
  readonly output: OutputFormat;
}

export interface RenderConfig extends BundleConfig, Pick<HostConfig, 'instance'> {
  readonly format: FormatName;
  /** Files and directories; `-` is standard input. */
  readonly paths: readonly string[];
}

export interface RemoveConfig extends HostConfig {
  readonly dryRun: boolean;
  readonly output: OutputFormat;
}

/** What it takes to make a host trust. */
export interface TrustConfig extends HostConfig, BundleConfig {
  readonly bundle: readonly string[];
  readonly strict: boolean;
  readonly runtimeRefresh: RuntimeRefresh;
  /** Registries that get a directory of their own where a runtime has none for all. */
  readonly registry?: readonly string[];
  /** Servers that are asked, after a change, whether the host's store verifies them. */
  readonly probe?: readonly Address[];
}

export interface ApplyConfig extends TrustConfig, RemoveConfig {}

export interface RunConfig extends TrustConfig {
  /** The program's own, for the Node to say. */
  readonly version: string;
  /** The Secret that the bundle mounts, to be read through the API server too. */
  readonly secret?: SecretName;
  readonly resyncMs: number;
  readonly listen: Address;
  readonly logLevel: string;
  /** The Node to read at the end; without a name nothing is removed then. */
  readonly nodeName?: string;
  /** A node is enabled while it bears one of them. */
  readonly nodeLabel: readonly NodeLabel[];
}

export interface StatusConfig {
  /** The file; without one as kubectl finds it. */
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Of the agents' pods; without one, all. */
  readonly namespace?: string;
  readonly instance: string;
  readonly nodeLabel: readonly NodeLabel[];
  /** The digest to be proven: lower-case hex, all of it or how it begins. */
  readonly digest?: string;
  /** Until every enabled node has proven it, or the time is over. */
  readonly wait: boolean;
  readonly timeoutMs: number;
  /** Shown anew whenever it changes. */
  readonly watch: boolean;
  readonly output: OutputFormat | 'wide';
}

/** Where a command reads and writes, passed in so that a test can see it. */
export interface Streams {
  readonly stdin: NodeJS.ReadableStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
}

export interface OutputStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export const exitCodes = { ok: 0, refused: 1, usage: 2 } as const;
