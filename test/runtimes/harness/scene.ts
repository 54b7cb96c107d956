// What every test of this folder begins with: a machine whose programs are there, and registries that one CA signs for.
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { makeCert, makeServerCert, type Cert } from '../../sandbox/harness/certs.ts';
import { anchors, plainRun, state } from '../../sandbox/harness/host.ts';
import type { Programs } from '../setup.ts';
import { createMachine, type Machine } from './machine.ts';
import { image, startRegistry, type Registry } from './registry.ts';

/** All of them are the machine's own address; the last is where pulls of docker.io go. */
export const names = [
  ...['registry.test', 'mirror.test', 'empty.test', 'layout.test', 'server.test', 'skip.test', 'odd.test'],
  'registry-1.docker.io',
];

/** What is pulled to see whether every registry without a directory of its own is trusted. */
export const privateImage = `registry.test:5443/${image}`;
export const publicImage = `docker.io/${image}`;

export interface Scene extends AsyncDisposable {
  readonly machine: Machine;
  /** Of registry.test:5443, as of every other of the names; and of docker.io. */
  readonly registries: { readonly private: Registry; readonly public: Registry };
  /** Both registries show this one's certificate from now on. */
  use(authority: Authority): Promise<void>;
  /** A file for --bundle. */
  bundle(...authorities: readonly Authority[]): Promise<string>;
}

export interface Authority {
  readonly ca: Cert;
  readonly server: Cert;
}

/** A CA, and a certificate that it has signed for all names. */
export async function makeAuthority(): Promise<Authority> {
  const ca = await makeCert();
  return { ca, server: await makeServerCert(ca, names) };
}

/** Two registries, signed for by `authority`, on a machine on which no runtime runs yet. */
export async function openScene(programs: Programs, authority: Authority): Promise<Scene> {
  const machine = await createMachine(names);
  try {
    await machine.place(programs.registry, '/usr/bin/docker-registry');
    const cert = authority.server;
    // One after the other: both write into the same storage.
    const ofDockerHub = await startRegistry(machine, { port: 443, cert });
    const registries = { public: ofDockerHub, private: await startRegistry(machine, { port: 5443, cert }) };
    return {
      machine,
      registries,
      async use({ server }) {
        await Promise.all(Object.values(registries).map((registry) => registry.use(server)));
      },
      async bundle(...authorities) {
        const file = machine.path('/tmp/bundle.pem');
        await writeFile(file, authorities.map(({ ca }) => ca.pem).join(''));
        return file;
      },
      [Symbol.asyncDispose]: () => machine.destroy(),
    };
  } catch (error) {
    await machine.destroy();
    throw error;
  }
}

/** A machine that the agent has never been on, with empty directories of its own where others were. */
export async function forget(machine: Machine, ...directories: readonly string[]): Promise<void> {
  const ours = (await readdir(machine.path(anchors))).filter((name) => name.startsWith('node-ca-trust-'));
  for (const name of ours) await rm(machine.path(`${anchors}/${name}`));
  if (ours.length > 0) await plainRun(machine);
  await rm(machine.path(state), { recursive: true, force: true });
  for (const directory of directories) await clear(machine, directory);
}

/** An empty directory, whatever was there before. */
export async function clear(machine: Machine, directory: string): Promise<void> {
  await rm(machine.path(directory), { recursive: true, force: true });
  await mkdir(machine.path(directory), { recursive: true });
}
