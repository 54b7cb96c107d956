/**
 * What a Node says held against what it is to say: the difference is what is written, and told. Asks and writes nothing.
 */
import { type Proof, type Trust, readTrust, writeTrust } from '../api/trust-annotation.ts';
import type { NodeChange, NodeView } from './node-object.ts';
import { type Condition, type NodeEvent, eventOf, starting } from './standing.ts';

/** What a Node is to say after a pass. */
export interface Wanted {
  readonly condition: Condition;
  /** Undefined when the pass has proven nothing: what was proven before stands. */
  readonly proof: Proof | undefined;
  /** The startup taint may go. */
  readonly mayStart: boolean;
}

const lineOf = (said: Readonly<Record<'status' | 'reason' | 'message', string>>): string =>
  [said.status, said.reason, said.message].join();

function conditionFor(view: NodeView | undefined, wanted: Wanted | undefined): Condition | undefined {
  const said = view?.condition;
  // Before the first pass has ended there is only something to say where nothing was ever said.
  const condition = wanted?.condition ?? (said === undefined ? starting : undefined);
  return condition === undefined || (said !== undefined && lineOf(said) === lineOf(condition)) ? undefined : condition;
}

/** What was proven before; undefined as well when somebody else wrote the annotation. */
const trustIn = (view: NodeView | undefined): Trust | undefined => readTrust(view?.annotation ?? '');

/** When it was proven is no difference. */
function proofFor(view: NodeView | undefined, wanted: Wanted | undefined): Proof | undefined {
  const said = trustIn(view);
  const isSame = said && wanted?.proof && writeTrust(wanted.proof, said.proven) === JSON.stringify(said);
  return isSame === true ? undefined : wanted?.proof;
}

/** Whether the Node lacks anything. */
export function isLacking(view: NodeView | undefined, wanted: Wanted | undefined): boolean {
  return conditionFor(view, wanted) !== undefined || proofFor(view, wanted) !== undefined;
}

/** Since when the status is what it is. */
function sinceOf({ condition: said }: Pick<NodeView, 'condition'>, { status }: Condition, now: string): string {
  return said?.status === status && said.lastTransitionTime !== '' ? said.lastTransitionTime : now;
}

/** What the Node lacks. @param now milliseconds since the epoch */
export function lacking(view: NodeView, wanted: Wanted | undefined, now: number): NodeChange {
  const time = new Date(now).toISOString();
  const condition = conditionFor(view, wanted);
  const proof = proofFor(view, wanted);
  const stamped = condition && {
    ...condition,
    lastTransitionTime: sinceOf(view, condition, time),
    lastHeartbeatTime: time,
  };
  return { ...(stamped && { condition: stamped }), ...(proof && { annotation: writeTrust(proof, time) }) };
}

/** The Event that goes with it, if one does: another bundle, a refusal, or the end of one. */
export function eventFor(view: NodeView | undefined, wanted: Wanted | undefined): readonly NodeEvent[] {
  if (wanted === undefined || conditionFor(view, wanted) === undefined) return [];
  const isSame = wanted.proof !== undefined && trustIn(view)?.digest === wanted.proof.digest;
  return isSame && view?.condition?.status !== 'False' ? [] : [eventOf(wanted.condition)];
}
