/**
 * The requests that the report makes of the API server: what they take from outside, what permits each, and what a refusal
 * means.
 */
import type { Api } from '../api/api.ts';
import { Refusal } from '../api/refusal.ts';
import { explain } from '../host/problem.ts';

export interface NodeOutside {
  readonly api: Api;
  readonly now: () => number;
  readonly steady: () => number;
  /** Ends early, by an error, when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly random: () => number;
  /** One line for the admin: what cannot be told, and which permission would help. */
  readonly failed: (line: string) => void;
}

/** What it means that a step cannot be made, and the rule of RBAC that permits it: API group, resource and verb. */
const steps = {
  read: ['the own Node cannot be read', '""', 'nodes', 'get'],
  write: ['condition and annotation of the Node cannot be written', '""', 'nodes/status', 'patch'],
  untaint: ['the startup taint cannot be taken off', '""', 'nodes', 'patch'],
  tell: ['Events cannot be told', 'events.k8s.io', 'events', 'create'],
  count: ['Events that say the same again cannot be counted', 'events.k8s.io', 'events', 'patch'],
} as const;
export type Step = keyof typeof steps;

/** One line for the admin: what cannot be done, why, and which permission would help. */
export function lineOf(step: Step, error: unknown): string {
  const [failure, group, resource, verb] = steps[step];
  const isForbidden = error instanceof Refusal && error.code === 403;
  const rule = `apiGroups [${group}], resources [${resource}], verbs [${verb}]`;
  return `${failure}: ${explain(error)}${isForbidden ? `; grant the service account in a ClusterRole: ${rule}` : ''}`;
}
