/**
 * Who trusts what: from Nodes and their agents' pods to one line for each node, and whether all is as asked. Pure.
 */
import type { Trust } from '../api/trust-annotation.ts';
import type { StatusConfig } from './config.ts';
import type { NodeFacts, PodFacts } from './status-facts.ts';

/** One node. Its JSON is the stable output of `status`. */
export interface StatusLine extends Partial<Omit<Trust, 'proven'>> {
  readonly node: string;
  /** It bears the label; a leftover does not, and still bears what an agent wrote. */
  readonly enabled: boolean;
  /** Its agent runs, and its last pass proved the host. */
  readonly ready: boolean;
  /** It has proven the digest that is asked for; without one, the digest that most nodes have. */
  readonly proven: boolean;
  /** When the last proof was made. */
  readonly provenAt?: string | undefined;
  readonly pod?: Pick<PodFacts, 'namespace' | 'name' | 'ready' | 'restarts'> | undefined;
  /** Why it is not as it should be, one line. */
  readonly reason?: string | undefined;
}

export interface ClusterStatus {
  /** There is an enabled node, and each has proven the digest; without one, all agree and are ready. */
  readonly converged: boolean;
  readonly instance: string;
  /** As asked; without one, what most enabled nodes have proven. Absent when none has. */
  readonly digest?: string | undefined;
  /** How many nodes. */
  readonly enabled: number;
  readonly proven: number;
  readonly leftovers: number;
  readonly nodes: readonly StatusLine[];
}

export type Question = Pick<StatusConfig, 'instance' | 'digest'>;

/** The pod of each node; where an old one is still ending, the new one. */
function podsByNode(pods: readonly PodFacts[]): ReadonlyMap<string, PodFacts> {
  const leavingFirst = pods.toSorted((one, other) => Number(other.leaving) - Number(one.leaving));
  return new Map(leavingFirst.map((pod) => [pod.node, pod]));
}

/** The digest that most nodes have; of several the first by name, so that the answer stays the same. */
function mostCommon(nodes: readonly NodeFacts[]): string | undefined {
  const counts = new Map<string, number>();
  for (const { trust } of nodes) if (trust !== undefined) counts.set(trust.digest, (counts.get(trust.digest) ?? 0) + 1);
  const ordered = [...counts].sort(([one, ones], [other, others]) => others - ones || (one < other ? -1 : 1));
  return ordered[0]?.[0];
}

/** Why the agent's pod is not ready, if it is not. */
function podReason(pod: PodFacts | undefined): string | undefined {
  if (pod === undefined)
    return 'no pod of the agent is on it: is the DaemonSet installed, and does it select this node?';
  if (pod.ready) return undefined;
  if (pod.leaving) return `its agent's pod ${pod.name} is being deleted`;
  return pod.trouble === undefined || pod.trouble === '' ? undefined : `its agent's pod ${pod.name}: ${pod.trouble}`;
}

/** What its agent says on the Node, unless that is a proof. */
function wordReason({ condition, trust, annotated }: NodeFacts): string | undefined {
  if (condition === undefined) return 'its agent has not reported yet; its log says why if it stays so';
  if (condition.status !== 'True') return condition.said === '' ? 'its agent gives no reason' : condition.said;
  if (trust !== undefined) return undefined;
  return annotated ? 'its annotation is not what an agent writes' : 'it bears no proof';
}

/** What keeps an enabled node from being ready: what is nearest to the cause first. */
function troubleOf(node: NodeFacts, pod: PodFacts | undefined, arePodsKnown: boolean): string | undefined {
  if (node.down !== undefined && pod?.ready !== true) return `the node is not ready: ${node.down}`;
  const reason = (arePodsKnown ? podReason(pod) : undefined) ?? wordReason(node);
  if (reason !== undefined) return reason;
  return pod === undefined || pod.ready ? undefined : `its agent's pod ${pod.name} is not ready`;
}

/** Why an unlabelled node still bears what an agent wrote. */
function leftoverReason({ down }: NodeFacts, pod: PodFacts | undefined): string {
  if (pod?.leaving === true && down === undefined) return 'not labelled any more: its agent is removing the CAs';
  if (pod?.leaving === false) return `not labelled any more, and its agent's pod ${pod.name} has not ended yet`;
  const when = down === undefined ? '' : ' when it is ready';
  return `not labelled any more, and no agent said that it removed the CAs: label it again${when}, and unlabel it`;
}

function shared({ name, enabled, trust }: NodeFacts, pod: PodFacts | undefined): Omit<StatusLine, 'ready' | 'proven'> {
  const { proven: provenAt, ...rest } = trust ?? { proven: undefined };
  const its = pod && { namespace: pod.namespace, name: pod.name, ready: pod.ready, restarts: pod.restarts };
  return { node: name, enabled, ...rest, provenAt, pod: its };
}

function enabledLine(
  node: NodeFacts,
  pod: PodFacts | undefined,
  { digest, arePodsKnown }: { digest: string; arePodsKnown: boolean },
): StatusLine {
  const trouble = troubleOf(node, pod, arePodsKnown);
  const matches = digest !== '' && node.trust?.digest.startsWith(digest) === true;
  const other = matches || node.trust === undefined ? undefined : 'it has proven another digest';
  // What a node has proven stays on its disk while its agent ends or starts (Unknown).
  const proven = matches && node.condition !== undefined && node.condition.status !== 'False';
  return { ...shared(node, pod), ready: trouble === undefined, proven, reason: trouble ?? other };
}

/** Whose turn it is in the list: what needs attention first. */
function rankOf({ enabled, ready, proven }: StatusLine): number {
  if (!enabled) return 1;
  return ready && proven ? 2 : 0;
}

function inOrder(one: StatusLine, other: StatusLine): number {
  return rankOf(one) - rankOf(other) || (one.node < other.node ? -1 : 1);
}

/**
 * @param pods undefined when they cannot be read: then what the Nodes say has to do
 * @returns never throws, whatever somebody wrote into the objects
 */
export function statusOf(
  nodes: readonly NodeFacts[],
  pods: readonly PodFacts[] | undefined,
  { instance, digest: asked }: Question,
): ClusterStatus {
  const byNode = pods && podsByNode(pods);
  const digest = asked ?? mostCommon(nodes.filter(({ enabled }) => enabled));
  const known = { digest: digest ?? '', arePodsKnown: pods !== undefined };
  const lineOf = (node: NodeFacts): StatusLine => {
    const pod = byNode?.get(node.name);
    if (node.enabled) return enabledLine(node, pod, known);
    return { ...shared(node, pod), ready: false, proven: false, reason: leftoverReason(node, pod) };
  };
  const lines = nodes.map(lineOf).sort(inOrder);
  const enabled = lines.filter((line) => line.enabled);
  return {
    converged: enabled.length > 0 && enabled.every(({ ready, proven }) => proven && (ready || asked !== undefined)),
    instance,
    digest,
    enabled: enabled.length,
    proven: enabled.filter(({ proven }) => proven).length,
    leftovers: lines.length - enabled.length,
    nodes: lines,
  };
}
