/**
 * Nodes and agents' pods as the API server gives them, with little more than what `status` looks at.
 */
import * as z from 'zod/mini';
import {
  type NodeFacts,
  type PodFacts,
  nodePicker,
  nodeShape,
  pickPod,
  podShape,
} from '../../../src/commands/status-facts.ts';

export const digests = { one: '1'.repeat(64), two: '2'.repeat(64) };
export const provenAt = '2026-11-23T22:05:22.000Z';

export function trustOf(more: Readonly<Record<string, unknown>> = {}): string {
  const expires = '2036-11-20T22:05:22.000Z';
  const usual = { digest: digests.one, anchors: 2, expires, runtime: 'trusts', version: '0.1.0', proven: provenAt };
  return JSON.stringify({ ...usual, ...more });
}

type Condition = Readonly<Record<string, string>>;

export interface NodeParts {
  readonly labels?: Readonly<Record<string, string>>;
  /** The value of the annotation. */
  readonly trust?: string | undefined;
  readonly condition?: Condition | undefined;
  readonly kubelet?: Condition;
}

const enabled = { 'node-ca-trust.io/enabled': 'true' };
export const proves: Condition = { status: 'True', reason: 'Proven', message: 'the host trusts the bundle' };

/** A Node that is enabled and has proven a bundle, unless it is told to be otherwise. */
export function nodeObject(name: string, parts: NodeParts = {}): unknown {
  const { labels = enabled, kubelet = { status: 'True' } } = parts;
  const trust = 'trust' in parts ? parts.trust : trustOf();
  const condition = 'condition' in parts ? parts.condition : proves;
  const own = condition === undefined ? [] : [{ type: 'CATrustReady', ...condition }];
  return {
    metadata: { name, labels, annotations: { other: 'x', ...(trust && { 'node-ca-trust.io/default': trust }) } },
    status: { conditions: [{ type: 'Ready', ...kubelet }, ...own] },
  };
}

export interface PodParts {
  readonly name?: string;
  readonly leaving?: boolean;
  readonly ready?: boolean;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

/** A pod that is ready on the node, unless it is told to be otherwise. */
export function podObject(node: string, parts: PodParts = {}): unknown {
  const { name = `agent-${node}`, leaving = false, ready = true, spec = { nodeName: node }, status = {} } = parts;
  const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
  const deletion = leaving ? { deletionTimestamp: provenAt } : {};
  return {
    metadata: { name, namespace: 'node-ca-trust', ...deletion },
    spec,
    status: {
      phase: 'Running',
      conditions,
      containerStatuses: [{ restartCount: 0, state: { running: {} } }],
      ...status,
    },
  };
}

/** What `status` keeps of these. */
export function nodeFacts(objects: readonly unknown[], instance = 'default'): readonly NodeFacts[] {
  const pick = nodePicker(instance, [{ key: 'node-ca-trust.io/enabled', value: 'true' }]);
  return objects.map((object) => pick(z.parse(nodeShape, object))).filter((facts) => facts !== undefined);
}

export function podFacts(objects: readonly unknown[]): readonly PodFacts[] {
  return objects.map((object) => pickPod(z.parse(podShape, object)));
}
