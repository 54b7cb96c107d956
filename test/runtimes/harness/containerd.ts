// The real containerd as a node's own: its configuration at the usual place, pulls by the interface that the kubelet uses.
import { binary } from '../../cluster/binaries.ts';
import { attempt } from '../../cluster/process.ts';
import type { Machine, Service } from './machine.ts';

export interface ContainerdVersion {
  /** As it says itself: '1.6.20'. */
  readonly version: string;
  /** Where it comes from. */
  readonly origin: string;
  readonly program: string;
}

export interface Pull {
  readonly ok: boolean;
  /** What the runtime said. */
  readonly text: string;
}

export interface Containerd {
  readonly service: Service;
  /** As the kubelet pulls an image, and as if for the first time. */
  readonly pull: (reference: string) => Promise<Pull>;
  /** The same, but the image stays: the next time only its manifest is asked for. */
  readonly pullAndKeep: (reference: string) => Promise<Pull>;
}

export const socket = '/run/containerd/containerd.sock';
export const configFile = '/etc/containerd/config.toml';
export const certsDirectory = '/etc/containerd/certs.d';

/** What each version of the configuration file calls the plugin that pulls images. */
function plugin({ version }: ContainerdVersion): { readonly file: number; readonly images: string } {
  return version.startsWith('1.')
    ? { file: 2, images: 'io.containerd.grpc.v1.cri' }
    : { file: 3, images: 'io.containerd.cri.v1.images' };
}

export interface Settings {
  /** Not set without it. */
  readonly configPath?: string;
  /** The registries' endpoints in the form that `config_path` replaced, by their names. */
  readonly mirrors?: Readonly<Record<string, string>>;
  /** Other fields of the plugin that has the images. */
  readonly images?: Readonly<Record<string, unknown>>;
  /** Other files, by pattern, that are read after this one. */
  readonly imports?: readonly string[];
}

/** The text of a configuration file. */
export function containerdConfig(version: ContainerdVersion, settings: Settings): string {
  const { file, images } = plugin(version);
  const { configPath, mirrors = {}, images: fields = {}, imports = [] } = settings;
  return [
    `version = ${file}`,
    ...(imports.length === 0 ? [] : [`imports = ${JSON.stringify(imports)}`]),
    `[plugins."${images}"]`,
    ...Object.entries(fields).map(([name, value]) => `  ${name} = ${JSON.stringify(value)}`),
    `  [plugins."${images}".registry]`,
    ...(configPath === undefined ? [] : [`    config_path = "${configPath}"`]),
    ...Object.entries(mirrors).flatMap(([name, endpoint]) => [
      `    [plugins."${images}".registry.mirrors."${name}"]`,
      `      endpoint = ["${endpoint}"]`,
    ]),
    '',
  ].join('\n');
}

/**
 * Starts containerd with the configuration that is at the usual place; with other arguments where those say so. Returns
 * when it answers.
 */
export async function startContainerd(machine: Machine, ...args: readonly string[]): Promise<Containerd> {
  const options = ['--config', '/dev/null', '--runtime-endpoint', `unix://${machine.path(socket)}`, '--timeout', '60s'];
  const crictl = (...words: readonly string[]) => attempt(binary('crictl'), [...options, ...words]);
  const service = await machine.start(['/usr/bin/containerd', ...args], async () => {
    const { code, stderr } = await crictl('version');
    if (code !== 0) throw new Error(stderr);
  });
  const pullAndKeep = async (reference: string): Promise<Pull> => {
    const { code, stdout, stderr } = await crictl('pull', reference);
    return { ok: code === 0, text: stdout + stderr };
  };
  return {
    service,
    pullAndKeep,
    async pull(reference) {
      const result = await pullAndKeep(reference);
      if (result.ok) await crictl('rmi', reference);
      return result;
    },
  };
}
