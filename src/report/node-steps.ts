/**
 * The requests that the report makes of the API server: what permits each, and what a refusal means.
 */
import { Refusal } from '../api/refusal.ts';
import { explain } from '../host/problem.ts';

/** The steps, each with the rule of RBAC that permits it. */
const rules = {
  read: 'apiGroups [""], resources [nodes], verbs [get]',
  write: 'apiGroups [""], resources [nodes/status], verbs [patch]',
  untaint: 'apiGroups [""], resources [nodes], verbs [patch]',
  tell: 'apiGroups [events.k8s.io], resources [events], verbs [create]',
  count: 'apiGroups [events.k8s.io], resources [events], verbs [patch]',
} as const;
export type Step = keyof typeof rules;

/** What it means that a step cannot be made. */
const failures: Readonly<Record<Step, string>> = {
  read: 'the own Node cannot be read',
  write: 'condition and annotation of the Node cannot be written',
  untaint: 'the startup taint cannot be taken off',
  tell: 'Events cannot be told',
  count: 'Events that say the same again cannot be counted',
};

/** One line for the admin: what cannot be done, why, and which permission would help. */
export function lineOf(step: Step, error: unknown): string {
  const isForbidden = error instanceof Refusal && error.code === 403;
  const rule = isForbidden ? `; grant the service account in a ClusterRole: ${rules[step]}` : '';
  return `${failures[step]}: ${explain(error)}${rule}`;
}
