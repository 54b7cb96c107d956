// The programs of a cluster, a container runtime that no Debian has, and the judges of some formats, built from their Go modules at the versions that binaries/*/go.mod pin. Each is built once
// for everything that it is made of, and kept in the user's cache.
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { attempt, ownEnvironment, run } from './process.ts';

interface Module {
  /** The package of each program, by the program's name. */
  readonly packages: Readonly<Record<string, string>>;
  /** The module whose version the programs bear. */
  readonly pinned?: string;
  /** The Go variables in which the programs look for their version. */
  readonly stamp?: (version: string) => Readonly<Record<string, string>>;
}

const commands = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kubectl', 'kube-proxy'];

/** By their directories in binaries/. The quick ones first: what is wrong with the compiler shows at once. */
const modules: Readonly<Record<string, Module>> = {
  pause: { packages: { pause: '.' } },
  actionlint: {
    packages: { actionlint: 'github.com/rhysd/actionlint/cmd/actionlint' },
    pinned: 'github.com/rhysd/actionlint',
  },
  crictl: {
    packages: { crictl: 'sigs.k8s.io/cri-tools/cmd/crictl' },
    pinned: 'sigs.k8s.io/cri-tools',
    stamp: (version) => ({ 'sigs.k8s.io/cri-tools/pkg/version.Version': version }),
  },
  containerd: {
    packages: { containerd: 'github.com/containerd/containerd/v2/cmd/containerd' },
    pinned: 'github.com/containerd/containerd/v2',
    stamp: (version) => ({ 'github.com/containerd/containerd/v2/version.Version': version }),
  },
  ignition: {
    packages: { ignition: 'github.com/coreos/ignition/v2/validate' },
    pinned: 'github.com/coreos/ignition/v2',
  },
  talos: { packages: { talos: '.' }, pinned: 'github.com/siderolabs/talos/pkg/machinery' },
  clusterapi: { packages: { clusterapi: '.' }, pinned: 'sigs.k8s.io/cluster-api' },
  helm: {
    packages: { helm: 'helm.sh/helm/v3/cmd/helm' },
    pinned: 'helm.sh/helm/v3',
    stamp: (version) => ({
      'helm.sh/helm/v3/internal/version.version': version,
      // What a chart is told when no cluster is asked.
      ...kubernetesNumbers(
        'helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor',
        'helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor',
      ),
    }),
  },
  kubernetes: {
    packages: {
      // Kubernetes is tested with this very version, and shares most of what it is made of.
      etcd: 'go.etcd.io/etcd/server/v3',
      ...Object.fromEntries(commands.map((name) => [name, `k8s.io/kubernetes/cmd/${name}`])),
    },
    pinned: 'k8s.io/kubernetes',
    stamp: (version) =>
      Object.assign(
        {},
        ...['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].map((path) => ({
          [`${path}.gitVersion`]: version,
          ...kubernetesNumbers(`${path}.gitMajor`, `${path}.gitMinor`),
        })),
      ) as Record<string, string>,
  },
};

/** Without CGO a program needs nothing of the root that it runs in. */
const flags = ['-mod=readonly', '-trimpath', '-buildvcs=false'];
const sources = join(import.meta.dirname, 'binaries');
const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'node-ca-trust', 'cluster');

/**
 * No part of a cluster: its nodes run Debian's containerd, the one that is built here is for tests of runtimes; the others
 * judge what is rendered.
 */
const ofOthers = ['containerd', 'ignition', 'talos', 'clusterapi', 'actionlint'];
const ofTheCluster = (program: string): boolean => !ofOthers.includes(program);

/** Builds the programs that the cache lacks: all of a cluster's take a quarter of an hour on two cores. */
export async function ensureBinaries(isWanted: (program: string) => boolean = ofTheCluster): Promise<void> {
  for (const [name, module] of Object.entries(modules)) {
    const programs = Object.keys(module.packages).filter(isWanted);
    const missing = programs.filter((program) => !existsSync(join(directoryOf(name), program)));
    if (missing.length > 0) await requireGo();
    for (const program of missing) await build(name, program);
    if (missing.length > 0) forgetOthers(name);
  }
}

/** For this process and those that it starts: puts on PATH what is not there yet, kubectl or helm. */
export async function bringOnPath(...programs: readonly string[]): Promise<void> {
  const environment = { env: { PATH: process.env['PATH'] ?? '' } };
  const found = programs.map((name) => attempt('sh', ['-c', 'command -v "$1"', 'sh', name], environment));
  const codes = (await Promise.all(found)).map(({ code }) => code);
  const missing = programs.filter((_, index) => codes[index] !== 0);
  await ensureBinaries((program) => missing.includes(program));
  const directories = missing.map((program) => dirname(binary(program)));
  process.env['PATH'] = [process.env['PATH'], ...directories].join(':');
}

/** Where a program is, once it is built. */
export function binary(program: string): string {
  const module = Object.keys(modules).find((name) => program in (modules[name]?.packages ?? {}));
  if (module === undefined) throw new Error(`no Go module of binaries/ makes ${program}`);
  return join(directoryOf(module), program);
}

/** For PATH: kubectl, helm and the others. */
export function binaryDirectories(): string[] {
  return Object.keys(modules).filter(ofTheCluster).map(directoryOf);
}

/** As the API server names it: v1.34.9. */
export function kubernetesVersion(): string {
  return versionOf('kubernetes');
}

async function build(module: string, program: string): Promise<void> {
  const started = performance.now();
  const directory = directoryOf(module);
  mkdirSync(directory, { recursive: true });
  // Another suite, in another pid namespace, may have the same number as this process.
  const unfinished = join(directory, `.${program}-${randomUUID()}`);
  const what = modules[module]?.packages[program] ?? '.';
  try {
    // At the lowest priority: everything else on the machine goes first.
    await run('nice', ['-n', '19', 'go', 'build', ...flags, '-ldflags', linkerFlags(module), '-o', unfinished, what], {
      cwd: join(sources, module),
      env: { ...compilerEnvironment(), CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off', GOGC: '400' },
    });
    renameSync(unfinished, join(directory, program));
  } finally {
    rmSync(unfinished, { force: true });
  }
  console.log(
    `binaries: ${program} of ${[module, versionOf(module)].join(' ').trim()} built in ${((performance.now() - started) / 1000).toFixed(0)} s`,
  );
}

async function requireGo(): Promise<void> {
  const { code } = await attempt('sh', ['-c', 'command -v go'], { env: compilerEnvironment() });
  if (code !== 0) throw new Error('these programs are built from their sources: install Go 1.26 or later');
}

/** With the user's own proxy and caches. */
function compilerEnvironment(): Record<string, string> {
  const own = ownEnvironment();
  // Where Go's own instructions install it.
  return { ...own, PATH: `${own['PATH'] ?? ''}:/usr/local/go/bin` };
}

function linkerFlags(module: string): string {
  const stamps = Object.entries(modules[module]?.stamp?.(versionOf(module)) ?? {});
  return ['-s', '-w', ...stamps.map(([variable, value]) => `-X ${variable}=${value}`)].join(' ');
}

function kubernetesNumbers(major: string, minor: string): Record<string, string> {
  const numbers = /^v(\d+)\.(\d+)\./.exec(kubernetesVersion());
  return { [major]: numbers?.[1] ?? '', [minor]: numbers?.[2] ?? '' };
}

/** What go.mod pins; empty for a program of this project's own. */
function versionOf(module: string): string {
  const pinned = modules[module]?.pinned;
  if (pinned === undefined) return '';
  const text = readFileSync(join(sources, module, 'go.mod'), 'utf8');
  const words = text.split('\n').map((line) =>
    line
      .replace(/^require /, '')
      .trim()
      .split(' '),
  );
  const version = words.find(([name, value = '']) => name === pinned && value.startsWith('v'))?.[1];
  if (version === undefined) throw new Error(`binaries/${module}/go.mod pins no version of ${pinned}`);
  return version;
}

/** Whatever changes a program changes the name of its directory. */
function directoryOf(module: string): string {
  const hash = createHash('sha256').update([...flags, linkerFlags(module)].join(' '));
  for (const name of readdirSync(join(sources, module)).sort()) {
    hash.update(`${name}\n`).update(readFileSync(join(sources, module, name)));
  }
  return join(
    cache,
    [module, versionOf(module), hash.digest('hex').slice(0, 8)].filter((part) => part !== '').join('-'),
  );
}

/** An old version of Kubernetes is half a gigabyte. */
function forgetOthers(module: string): void {
  const others = readdirSync(cache).filter((name) => name.startsWith(`${module}-`));
  for (const name of others.filter((other) => join(cache, other) !== directoryOf(module))) {
    rmSync(join(cache, name), { recursive: true, force: true });
  }
}
