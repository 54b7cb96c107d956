// Prometheus and its promtool, those of the machine or of Debian's package, unpacked: installed, the package would start a
// server where systemd runs.
import { delimiter, join } from 'node:path';
import { attempt } from '../cluster/process.ts';
import { run } from '../image/machine.ts';
import { ensurePackages } from '../runtimes/harness/debian.ts';
import { only, render, type Resource } from './manifests.ts';

export interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: { readonly summary: string; readonly description: string };
}

/** As Prometheus reads it: JSON is YAML. */
export interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

/** Puts both on PATH. */
export async function bringPrometheus(): Promise<void> {
  const env = { PATH: process.env['PATH'] ?? '' };
  const { code } = await attempt('sh', ['-c', 'command -v promtool && command -v prometheus'], { env });
  if (code === 0) return;
  const { 'prometheus/bookworm': directory } = await ensurePackages(['prometheus/bookworm']).catch((cause: unknown) => {
    throw new Error('prometheus and promtool are missing, and cannot be had from Debian: install them', { cause });
  });
  process.env['PATH'] = [env.PATH, join(directory, 'usr/bin')].join(delimiter);
}

/** The rules of deploy/monitoring, as the operator hands them to Prometheus. */
export function alertRules(): RuleFile {
  return (only(render('deploy/monitoring'), 'PrometheusRule') as Resource & { readonly spec: RuleFile }).spec;
}

/** Runs promtool. Throws with what it said when it is not content. */
export function promtool(...args: readonly string[]): string {
  return run('promtool', args);
}
