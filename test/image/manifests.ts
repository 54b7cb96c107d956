// The manifests as the API server gets them: rendered by kubectl, which needs no cluster for that.
import { run } from './machine.ts';

export interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
}

interface Probe {
  readonly httpGet: { readonly host: string; readonly port: string; readonly path: string };
}

export interface DaemonSet extends Resource {
  readonly spec: {
    readonly selector: { readonly matchLabels: Record<string, string> };
    readonly updateStrategy: unknown;
    readonly template: { readonly metadata: Resource['metadata']; readonly spec: PodSpec };
  };
}

export interface PodSpec {
  readonly containers: readonly [Container];
  readonly volumes: readonly { readonly name: string; readonly secret?: unknown; readonly hostPath?: unknown }[];
  readonly [field: string]: unknown;
}

export interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly valueFrom?: unknown }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly securityContext: unknown;
  readonly resources: unknown;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly subPath?: string }[];
}

/** Renders a Kustomize directory. Throws with what kubectl said. */
export function render(directory: string): Resource[] {
  const yaml = run('kubectl', ['kustomize', directory]);
  // An empty patch that stays on this machine changes nothing; kubectl then prints one JSON object after the other.
  const json = run('kubectl', ['patch', '--local', '-f', '-', '--type=merge', '--patch={}', '--output=json'], yaml);
  return json
    .split(/(?<=^\}\n)/m)
    .filter((text) => text.trim() !== '')
    .map((text) => JSON.parse(text) as Resource);
}

/** The same workload after kubectl has read it by Kubernetes' own types: a field that these do not know is gone. */
export function asKubernetesReadsIt(workload: DaemonSet): unknown {
  const [{ image }] = workload.spec.template.spec.containers;
  // kubectl reads by type in order to set an image, and prints nothing when that changes nothing.
  const args = ['set', 'image', '--local', '-f', '-', `*=${image}`, '--output=json'];
  return JSON.parse(run('kubectl', args, JSON.stringify(workload).replaceAll(`"${image}"`, '"none"')));
}
