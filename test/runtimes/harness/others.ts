// The two runtimes that have no directory for every registry: the real dockerd; and Podman's service, which pulls by the
// library that CRI-O pulls by, under CRI-O's name and on its socket.
import { dirname } from 'node:path';
import { attempt } from '../../cluster/process.ts';
import type { Programs } from '../setup.ts';
import type { Pull } from './containerd.ts';
import type { Machine, Service } from './machine.ts';

export interface Runtime {
  readonly service: Service;
  readonly pull: (reference: string) => Promise<Pull>;
}

export const dockerSocket = '/run/docker.sock';
export const crioSocket = '/run/crio/crio.sock';

/** Starts dockerd, which starts a containerd of its own. It makes no network: pulls need none. */
export async function startDockerd(machine: Machine, programs: Programs): Promise<Runtime> {
  await machine.place(programs.dockerd, '/usr/sbin/dockerd');
  await machine.place(programs.containerd[0]?.program ?? '', '/usr/bin/containerd');
  const env = await placeLibraries(machine, programs);
  const network = ['--bridge=none', '--iptables=false', '--ip-forward=false', '--ip-masq=false'];
  const command = ['/usr/sbin/dockerd', '--host', `unix://${dockerSocket}`, ...network];
  const service = await machine.start(command, () => ask(machine, dockerSocket, 'GET', '/version'), env);
  const pull = async (reference: string): Promise<Pull> => {
    const [name = '', tag = ''] = splitTag(reference);
    const query = new URLSearchParams({ fromImage: name, tag });
    const text = await ask(machine, dockerSocket, 'POST', `/images/create?${query.toString()}`);
    const ok = text.includes('"status":"Digest: ');
    if (ok) await ask(machine, dockerSocket, 'DELETE', `/images/${reference}`);
    return { ok, text };
  };
  return { service, pull };
}

/** Starts Podman's service as a process named crio. */
export async function startCrio(machine: Machine, programs: Programs): Promise<Runtime> {
  await machine.place(programs.podman, '/usr/bin/crio');
  await machine.place(programs.conmon, '/usr/bin/conmon');
  const env = await placeLibraries(machine, programs);
  await machine.write('/etc/containers/policy.json', '{"default": [{"type": "insecureAcceptAnything"}]}');
  await machine.write('/etc/containers/registries.conf', '');
  await machine.inside('mkdir', '-p', dirname(crioSocket));
  const command = ['/usr/bin/crio', '--cgroup-manager', 'cgroupfs', 'system', 'service', '--time', '0'];
  const service = await machine.start(
    [...command, `unix://${crioSocket}`],
    () => ask(machine, crioSocket, 'GET', '/version'),
    env,
  );
  const pull = async (reference: string): Promise<Pull> => {
    const name = encodeURIComponent(reference);
    const text = await ask(machine, crioSocket, 'POST', `/v4.0.0/libpod/images/pull?reference=${name}`);
    const ok = text.includes('"images":');
    if (ok) await ask(machine, crioSocket, 'DELETE', `/v4.0.0/libpod/images/${name}`);
    return { ok, text };
  };
  return { service, pull };
}

async function placeLibraries(machine: Machine, programs: Programs): Promise<Record<string, string>> {
  const places = programs.libraries.map((_, index) => `/opt/libraries/${index}`);
  for (const [index, directory] of programs.libraries.entries()) await machine.place(directory, places[index] ?? '');
  return { LD_LIBRARY_PATH: places.join(':') };
}

/** One request by HTTP. Throws when nobody answers; an answer that says no is an answer. */
async function ask(machine: Machine, socket: string, method: string, path: string): Promise<string> {
  const args = [
    '-sS',
    '--max-time',
    '60',
    '-X',
    method,
    '--unix-socket',
    machine.path(socket),
    `http://localhost${path}`,
  ];
  const { code, stdout, stderr } = await attempt('curl', args);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

function splitTag(reference: string): string[] {
  const colon = reference.lastIndexOf(':');
  return [reference.slice(0, colon), reference.slice(colon + 1)];
}
