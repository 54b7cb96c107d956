/**
 * Container runtimes: programs on the host that pull images. Each is a Go program that reads the system's roots once in
 * its life, so a store that is right does not make its pulls work; what does, without a restart, is here.
 */
import type { Host } from '../host/host.ts';

export type RuntimeName = 'containerd' | 'docker' | 'cri-o';

/** A runtime's process on the host. */
export interface RuntimeProcess {
  readonly pid: number;
  /** Its arguments, the program's name first. */
  readonly argv: readonly string[];
  /** When it was started, in seconds since the host's boot. */
  readonly started: number;
  /** The systemd unit that it belongs to; undefined where no unit holds it. */
  readonly unit: string | undefined;
}

/**
 * How pulls of a runtime come to see the store.
 * - `directories`: it reads directories anew at every pull, in one of these lists the first that has a registry's name.
 *   Where it cannot be known which list it takes, each of them is served
 * - `restart`: only its next start reads the store; `why` says what stands in the way, and what the admin can change. With
 *   `isGuess` it may read directories all the same, and a restart is for the admin to decide
 */
export type Way =
  | { readonly kind: 'directories'; readonly lists: readonly (readonly string[])[]; readonly byName: boolean }
  | { readonly kind: 'restart'; readonly why: string; readonly isGuess?: true };

/** A runtime as it is on the host. */
export interface Runtime {
  readonly name: RuntimeName;
  readonly process: RuntimeProcess;
  /** The socket it answers on, as the host knows it. */
  readonly socket: string;
  /** As it says itself; undefined when it does not answer. */
  readonly version: string | undefined;
  readonly way: Way;
  /** What is worth knowing of its configuration: a line each. */
  readonly notes: readonly string[];
}

/** One kind of runtime: added by adding a file, and a line where the list of them stands. */
export interface RuntimeKind {
  readonly name: RuntimeName;
  /** The process's name, as /proc/PID/comm has it. */
  readonly comm: string;
  /** @returns undefined when the process pulls no images for the node */
  look(host: Host, process: RuntimeProcess): Promise<Runtime | undefined>;
  /**
   * What a restart would break, as things are now, and what to do first: a line.
   * @returns undefined when nothing is known to stand in the way
   */
  harm?(host: Host, runtime: Runtime): Promise<string | undefined>;
}
