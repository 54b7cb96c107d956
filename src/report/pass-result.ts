/**
 * As much of a pass as is told to others: to the log, the probes and the metrics.
 */
import type { Anchor, Finding } from '../bundle/types.ts';

export interface PassResult {
  readonly converged: boolean;
  readonly digest: string;
  readonly anchors: readonly Anchor[];
  readonly findings: readonly Finding[];
  readonly added: readonly string[];
  readonly repaired: readonly string[];
  readonly removed: readonly string[];
  readonly heldBack: readonly string[];
  readonly stillTrusted: readonly { readonly fingerprint: string; readonly file: string }[];
  readonly refreshed: readonly string[];
  readonly notes: readonly string[];
  readonly reasons: readonly string[];
  readonly milliseconds: number;
}
