/**
 * What a pass found and did, for everyone who is told of it.
 */
import { printable } from '../bundle/text.ts';
import type { Anchor, Finding } from '../bundle/types.ts';

/** A container runtime on the host, and whether its pulls trust what the host trusts. */
export interface RuntimeState {
  readonly name: 'containerd' | 'docker' | 'cri-o';
  /** As it says itself; absent when it does not answer. */
  readonly version?: string | undefined;
  readonly socket: string;
  readonly pid: number;
  /** The systemd unit that holds it. */
  readonly unit?: string | undefined;
  /** How its pulls come to see the store: by directories that it reads at every pull, or by a restart. */
  readonly way: 'certs.d' | 'restart';
  readonly directories: readonly string[];
  /**
   * - `trusts`: pulls see the store as it is
   * - `incomplete`: pulls from some registries do not
   * - `restart-needed`: no pull sees what was added since its start
   * - `revoked-after-restart`: all is seen; what was removed may still be trusted by this process
   * - `restart-failed`: it did not come back from a restart made here
   */
  readonly state: 'trusts' | 'incomplete' | 'restart-needed' | 'revoked-after-restart' | 'restart-failed';
  readonly message: string;
  /** No pod needs to wait for what is missing: it is up to others, and concerns single registries. */
  readonly aside?: true | undefined;
  /** What an admin would run. */
  readonly command?: string | undefined;
}

/** What one pass found and did, each text fit for one line. Its JSON is the stable output of `apply` and `remove`. */
export interface Report {
  /** The host is proven to trust exactly the bundle, and the bundle has no error. */
  readonly converged: boolean;
  readonly instance: string;
  readonly digest: string;
  /** Fingerprints of the bundle's anchors. */
  readonly anchors: readonly string[];
  /** Fingerprints newly installed; put back after somebody changed the host; removed. In a dry run: that would be. */
  readonly added: readonly string[];
  readonly repaired: readonly string[];
  readonly removed: readonly string[];
  /** Fingerprints whose removal waits for a valid bundle. */
  readonly heldBack: readonly string[];
  /** Removed by us, but a file of another still carries it. */
  readonly stillTrusted: readonly { readonly fingerprint: string; readonly file: string }[];
  readonly findings: readonly Finding[];
  /** Absent when the host could not be examined. */
  readonly store?: { readonly family: string; readonly bundle: string };
  /** The container runtimes that run; none when `--runtime-refresh off`, or the host could not be examined. */
  readonly runtimes: readonly RuntimeState[];
  /** They could not be looked at; a note says why. */
  readonly runtimesUnseen?: true | undefined;
  /** Paths in the runtimes' directories that were changed. In a dry run: that would be. */
  readonly edits: readonly string[];
  /** Whether servers that were named are verified by the host's store, as of the last change. */
  readonly probes: readonly { readonly address: string; readonly verified: boolean; readonly message: string }[];
  /** Why the host's refresh command ran (in a dry run: would); empty when it did not. */
  readonly refreshed: readonly string[];
  /** Worth knowing, nothing to do with being converged. */
  readonly notes: readonly string[];
  /** Why it is not converged, one line each. */
  readonly reasons: readonly string[];
  readonly dryRun: boolean;
  readonly milliseconds: number;
}

/** As much of it as the daemon tells, with the anchors themselves. */
export type PassResult = Omit<Report, 'instance' | 'anchors' | 'store' | 'dryRun'> & {
  readonly anchors: readonly Anchor[];
  /** One line, set when the bundle's source cannot be read any more: what it held last is what counts. */
  readonly stale?: string | undefined;
};

/** Whether a pass changed anything on the host. */
export function hasChanged(report: Pick<Report, 'added' | 'repaired' | 'removed' | 'refreshed' | 'edits'>): boolean {
  const { added, repaired, removed, refreshed, edits } = report;
  return [added, repaired, removed, refreshed, edits].some((list) => list.length > 0);
}

/** Longer than anything that is meant to be read. */
const longestText = 2_000;

/**
 * What a pass has to tell, each text of it fit for one line: others' hooks, the names of their files and the answers of
 * servers are in it, and it goes to logs and terminals.
 */
export function printed<T extends object>(told: T): T {
  const clean = (_key: string, value: unknown): unknown =>
    typeof value === 'string' ? printable(value, longestText) : value;
  return JSON.parse(JSON.stringify(told, clean)) as T;
}
