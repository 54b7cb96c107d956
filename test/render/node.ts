// A node that boots for the first time with what was rendered: real systemd, containerd and cloud-init, on a Debian of its
// own in namespaces of this machine (test/runtimes/systemd-node.ts).
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { inject, onTestFinished } from 'vitest';
import { binary } from '../cluster/binaries.ts';
import { attempt, shell } from '../cluster/process.ts';
import { address } from '../runtimes/harness/machine.ts';
import { type Registry, startRegistry } from '../runtimes/harness/registry.ts';
import { type SystemdNode, bootNode } from '../runtimes/systemd-node.ts';
import { agent, eventually } from '../sandbox/harness/agent.ts';
import type { Cert } from '../sandbox/harness/certs.ts';
import { anchors, nameOf } from '../sandbox/harness/host.ts';
import type { Report } from '../../src/report/report.ts';

/** Files by their paths. */
export type Files = Readonly<Record<string, string>>;

const settings: Files = {
  // The plainest of all sources, no network to be set up, and no packages to be fetched.
  '/etc/cloud/cloud.cfg.d/99-test.cfg': `datasource_list: [NoCloud]
network: {config: disabled}
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
`,
  '/etc/containerd/config.toml': `version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
`,
  '/etc/hosts': `127.0.0.1 localhost\n${address} registry.test other.test\n`,
};

const sandbox = process.env['NODE_CA_TRUST_SANDBOX'] ?? '';

/** What `render` prints for these. */
export async function rendered(format: string, ...certs: readonly Cert[]): Promise<string> {
  const directory = await mkdtemp(join(sandbox, 'bundle-'));
  await writeFile(join(directory, 'bundle.pem'), certs.map(({ pem }) => pem).join(''));
  const paths = certs.length === 0 ? [] : [directory];
  const { code, stdout, stderr } = await agent({ root: '/' }).cli('render', format, ...paths);
  await rm(directory, { recursive: true });
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** A directory that lies on top of the node's root. It goes with the test. */
export async function makeLayer(): Promise<string> {
  const layer = await mkdtemp(join(sandbox, 'layer-'));
  onTestFinished(() => rm(layer, { recursive: true }));
  return layer;
}

/** Hands out a root, as an image that is being built: what is written to it goes into the layer, and nothing runs there. */
export async function inRoot(layer: string, work: (root: string) => Promise<unknown>): Promise<void> {
  const base = await mkdtemp(join(sandbox, 'root-'));
  const script = `mkdir "$1/image" "$1/disk"; mount -t tmpfs tmpfs "$1/disk"; mkdir "$1/disk/busy" "$1/disk/upper"
    mount -t overlay -o "lowerdir=$2,upperdir=$1/disk/upper,workdir=$1/disk/busy" overlay "$1/image"`;
  await shell(script, base, inject('debian'));
  try {
    await work(join(base, 'image'));
    await shell('cp -a "$1/disk/upper/." "$2"', base, layer);
  } finally {
    await shell('umount "$1/image" "$1/disk"', base);
    await rm(base, { recursive: true });
  }
}

/** Boots a node on which these files are, and whatever is in the layer already. It ends with the test. */
export async function boot(files: Files, given?: string): Promise<SystemdNode> {
  const layer = given ?? (await makeLayer());
  for (const [path, text] of Object.entries({ ...settings, ...files })) {
    await mkdir(dirname(join(layer, path)), { recursive: true });
    await writeFile(join(layer, path), text);
  }
  await mkdir(join(layer, 'etc/systemd/system'), { recursive: true });
  await symlink('/dev/null', join(layer, 'etc/systemd/system/docker-registry.service'));
  const node = await bootNode(`${layer}:${inject('debian')}`);
  onTestFinished(() => node[Symbol.asyncDispose]());
  await node.shell('ip link set lo up; ip address add "$1/32" dev lo', address);
  return node;
}

/** One pass of the agent, as a program of the node. */
export async function apply(node: SystemdNode, ...certs: readonly Cert[]): Promise<Report> {
  await writeFile(node.path('/run/bundle.pem'), certs.map(({ pem }) => pem).join(''));
  const program = '/opt/node /opt/project/src/main.ts apply --host-root / --bundle /run/bundle.pem --output json';
  return JSON.parse(await node.shell(`${program} || true`)) as Report;
}

/** The names in the node's anchor directory, in order. */
export async function names(node: SystemdNode): Promise<readonly string[]> {
  return (await node.shell(`cd ${anchors}; ls -A`)).split('\n').filter(Boolean);
}

export const namesOf = (...certs: readonly Cert[]): readonly string[] => certs.map((cert) => nameOf(cert)).sort();

/** When a unit came into a state, in microseconds since the node's boot: `ActiveEnter`, `InactiveExit` and so on. */
export async function when(node: SystemdNode, unit: string, what: string): Promise<number> {
  const text = await node.shell('systemctl show --value --property "$2TimestampMonotonic" "$1"', unit, what);
  return Number(text);
}

let started = 0;

/** A registry on the node, which shows this certificate. */
export function registryOn(node: SystemdNode, cert: Cert, port: number): Promise<Registry> {
  return startRegistry(
    {
      async write(path, text) {
        await mkdir(dirname(node.path(path)), { recursive: true });
        await writeFile(node.path(path), text, 'latin1');
      },
      async inside(command, ...words) {
        const result = await node.shell(
          'if "$@" > /run/said 2>&1; then code=0; else code=$?; fi; echo "$code"; cat /run/said',
          command,
          ...words,
        );
        const [code = '', ...lines] = result.split('\n');
        return { code: Number(code), stdout: lines.join('\n'), stderr: lines.join('\n') };
      },
      async start(command, check) {
        started += 1;
        const unit = `registry-${started}`;
        await node.shell('unit=$1; shift; systemd-run --quiet --collect --unit "$unit" "$@"', unit, ...command);
        await eventually(check);
        return {
          log: () => '',
          async stop() {
            await node.shell('systemctl kill --signal KILL "$1"', unit);
          },
        };
      },
    },
    { cert, port },
  );
}

/** What crictl says of a pull as the kubelet makes it; empty when it was one. */
export async function pull(node: SystemdNode, image: string): Promise<string> {
  const endpoint = `unix://${node.path('/run/containerd/containerd.sock')}`;
  const options = ['--config', '/dev/null', '--runtime-endpoint', endpoint, '--timeout', '60s'];
  const { code, stderr } = await attempt(binary('crictl'), [...options, 'pull', image]);
  await attempt(binary('crictl'), [...options, 'rmi', image]);
  return code === 0 ? '' : stderr;
}
