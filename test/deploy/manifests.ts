// The manifests as the API server gets them: rendered by kubectl and helm, which need no cluster for that.
import { run } from '../image/machine.ts';

export interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
}

export interface Role extends Resource {
  readonly rules: readonly { readonly resourceNames?: readonly string[] }[];
}

export interface Binding extends Resource {
  readonly roleRef: { readonly name: string };
  readonly subjects: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[];
}

export interface Policy extends Resource {
  readonly spec: {
    readonly matchConditions: unknown;
    readonly variables: readonly { readonly name: string; readonly expression: string }[];
  };
}

export interface Pod extends Resource {
  readonly spec: PodSpec;
}

interface Probe {
  readonly httpGet: { readonly host?: string; readonly port: string; readonly path: string };
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
  readonly volumes: readonly Volume[];
  readonly nodeSelector: Readonly<Record<string, string>>;
  readonly affinity?: Affinity;
  readonly serviceAccountName: string;
  readonly [field: string]: unknown;
}

export interface Volume {
  readonly name: string;
  readonly secret?: { readonly secretName: string };
  readonly hostPath?: { readonly path: string; readonly type?: string };
}

interface Affinity {
  readonly nodeAffinity: {
    readonly requiredDuringSchedulingIgnoredDuringExecution: { readonly nodeSelectorTerms: readonly Term[] };
  };
}

interface Term {
  readonly matchExpressions: readonly { readonly key: string; readonly operator: string; readonly values: string[] }[];
}

interface Port {
  readonly name: string;
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIP?: string;
}

export interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
  readonly ports: readonly [Port];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly securityContext: unknown;
  readonly resources: unknown;
  readonly volumeMounts: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly subPath?: string;
    readonly readOnly?: boolean;
  }[];
}

/** Renders a Kustomize directory. Throws with what kubectl said. */
export function render(directory: string): Resource[] {
  return parse(run('kubectl', ['kustomize', directory]));
}

/** Renders the chart as `helm install` would, without its tests. Throws with what helm said. */
export function renderChart(namespace: string, ...options: readonly string[]): Resource[] {
  return parse(helmTemplate(namespace, '--skip-tests', ...options));
}

/** The pod of `helm test`. */
export function renderChartTest(namespace: string, ...options: readonly string[]): Pod {
  const [pod] = parse(helmTemplate(namespace, '--show-only=templates/tests/check.yaml', ...options));
  return pod as Pod;
}

function helmTemplate(namespace: string, ...options: readonly string[]): string {
  return run('helm', ['template', 'any-release', 'deploy/chart', '--namespace', namespace, ...options]);
}

function parse(yaml: string): Resource[] {
  // An empty patch that stays on this machine changes nothing; kubectl then prints one JSON object after the other.
  const json = run('kubectl', ['patch', '--local', '-f', '-', '--type=merge', '--patch={}', '--output=json'], yaml);
  return json
    .split(/(?<=^\}\n)/m)
    .filter((text) => text.trim() !== '')
    .map((text) => asApplied(JSON.parse(text) as Resource));
}

/** Kustomize takes an admission policy for namespaced (5.7 does), and kubectl leaves that away again when it applies it. */
function asApplied(resource: Resource): Resource {
  if (!resource.kind.startsWith('ValidatingAdmissionPolicy')) return resource;
  const metadata = Object.entries(resource.metadata).filter(([field]) => field !== 'namespace');
  return { ...resource, metadata: Object.fromEntries(metadata) as unknown as Resource['metadata'] };
}

/** The one object of a kind. */
export function only(resources: readonly Resource[], kind: string): Resource {
  const [found, ...others] = resources.filter((resource) => resource.kind === kind);
  if (found === undefined || others.length > 0) throw new Error(`exactly one ${kind} was expected`);
  return found;
}

/** The agent, with its arguments as the kubelet gives them: $(NAME) filled in, as far as the manifest says with what. */
export function agentOf(resources: readonly Resource[]): { daemonSet: DaemonSet; pod: PodSpec; agent: Container } {
  const daemonSet = only(resources, 'DaemonSet') as DaemonSet;
  const pod = daemonSet.spec.template.spec;
  const [agent] = pod.containers;
  const values = new Map(agent.env.map(({ name, value }) => [name, value]));
  const filled = (arg: string): string => arg.replace(/\$\((\w+)\)/g, (text, name: string) => values.get(name) ?? text);
  return { daemonSet, pod, agent: { ...agent, args: agent.args.map(filled) } };
}

/** Directories that the kubelet makes on a node that lacks them. */
export function madeDirectories(resources: readonly Resource[]): string[] {
  const { pod } = agentOf(resources);
  return pod.volumes.flatMap(({ hostPath }) => (hostPath?.type === 'DirectoryOrCreate' ? [hostPath.path] : []));
}

/** The names of its variables that are options. */
export function optionVariables({ env }: Container): string[] {
  return env.map(({ name }) => name).filter((name) => name !== 'LISTEN_ADDRESS');
}

/** The values of an option, in their order. */
export function optionValues({ args }: Container, option: string): string[] {
  return args.filter((arg) => arg.startsWith(`${option}=`)).map((arg) => arg.slice(option.length + 1));
}

/** The labels of which a node needs one, as KEY=VALUE. */
export function enablingLabels({ nodeSelector, affinity }: PodSpec): string[] {
  const selected = Object.entries(nodeSelector).filter(([key]) => key !== 'kubernetes.io/os');
  const terms = affinity?.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms ?? [];
  const expressions = terms.map(({ matchExpressions: [only, ...others] }) => {
    if (only?.operator !== 'In' || only.values.length !== 1 || others.length > 0)
      throw new Error('a term of the affinity is more than one label');
    return `${only.key}=${only.values[0] ?? ''}`;
  });
  return [...selected.map(([key, value]) => `${key}=${value}`), ...expressions];
}

/** The same workload after kubectl has read it by Kubernetes' own types: a field that these do not know is gone. */
export function asKubernetesReadsIt(workload: DaemonSet): unknown {
  const [{ image }] = workload.spec.template.spec.containers;
  // kubectl reads by type in order to set an image, and prints nothing when that changes nothing.
  const args = ['set', 'image', '--local', '-f', '-', `*=${image}`, '--output=json'];
  return JSON.parse(run('kubectl', args, JSON.stringify(workload).replaceAll(`"${image}"`, '"none"')));
}
