/**
 * What a pass found and did, for everyone who is told of it.
 */
import type { Anchor, Finding } from '../bundle/types.ts';

/** What one pass found and did. Its JSON is the stable output of `apply` and `remove`. */
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
};
