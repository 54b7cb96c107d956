// Brings the programs that the tests of this folder run, and sees that the machine is as it was when they have ended.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { binary, ensureBinaries } from '../cluster/binaries.ts';
import { differences, readMachine } from '../cluster/leftovers.ts';
import { run } from '../cluster/process.ts';
import { needs } from '../image/machine.ts';
import type { ContainerdVersion } from './harness/containerd.ts';
import { ensurePackages } from './harness/debian.ts';

export interface Programs {
  /** From the oldest to the newest. */
  readonly containerd: readonly ContainerdVersion[];
  readonly registry: string;
  readonly dockerd: string;
  readonly podman: string;
  readonly conmon: string;
  /** Directories of what dockerd and podman are linked to. */
  readonly libraries: readonly string[];
}

declare module 'vitest' {
  interface ProvidedContext {
    programs: Programs;
  }
}

const libraries = [
  'libdevmapper1.02.1/bookworm',
  'libgpgme11/bookworm',
  'libassuan0/bookworm',
  'libsubid4/bookworm',
] as const;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  needs('apt-get', 'dpkg', 'flock', 'curl', 'ip', 'unshare', 'nsenter', 'setpriv', 'findmnt', 'pivot_root');
  const started = performance.now();
  await ensureBinaries((program) => ['pause', 'crictl', 'containerd'].includes(program));
  project.provide('programs', await findPrograms());
  console.log(`programs: ready after ${((performance.now() - started) / 1000).toFixed(1)} s`);
  const before = await readMachine();
  return async () => {
    // A cluster of somebody else may have come or gone meanwhile.
    const ofClusters = /^[+-] (process|control group):|node-ca-trust-cluster|nodecatrust\d|198\.18\./;
    const changed = differences(before, await readMachine()).filter((line) => !ofClusters.test(line));
    const left = [...changed, ...processesInMachines()];
    if (left.length > 0) throw new Error(`the tests left something behind:\n${left.join('\n')}`);
  };
}

async function findPrograms(): Promise<Programs> {
  const packages = await ensurePackages([
    'containerd/bookworm',
    'containerd/trixie',
    'containerd/sid',
    'docker-registry/bookworm',
    'docker.io/bookworm',
    'podman/bookworm',
    'conmon/bookworm',
    ...libraries,
  ]);
  return {
    containerd: [
      await identify('Debian bookworm', join(packages['containerd/bookworm'], 'usr/bin/containerd')),
      await identify('Debian trixie', join(packages['containerd/trixie'], 'usr/bin/containerd')),
      await identify('Debian sid', join(packages['containerd/sid'], 'usr/bin/containerd')),
      await identify('its sources', binary('containerd')),
    ],
    registry: join(packages['docker-registry/bookworm'], 'usr/bin/docker-registry'),
    dockerd: join(packages['docker.io/bookworm'], 'usr/sbin/dockerd'),
    podman: join(packages['podman/bookworm'], 'usr/bin/podman'),
    conmon: join(packages['conmon/bookworm'], 'usr/bin/conmon'),
    libraries: libraries.flatMap((name) => libraryDirectories(packages[name])),
  };
}

/** A release may have a new version tomorrow: it says itself what it is. */
async function identify(origin: string, program: string): Promise<ContainerdVersion> {
  const said = await run(program, ['--version']);
  const version = /\d+\.\d+\.\d+/.exec(said)?.[0];
  if (version === undefined) throw new Error(`${program} does not say what it is: ${said}`);
  return { version, origin, program };
}

/** Packages of a release that has merged /usr may still have it either way. */
function libraryDirectories(directory: string): string[] {
  return ['lib', 'usr/lib'].flatMap((parent) => {
    try {
      const names = readdirSync(join(directory, parent)).filter((name) => name.includes('-linux-gnu'));
      return names.map((name) => join(directory, parent, name));
    } catch {
      return [];
    }
  });
}

/** What a machine should have ended with itself: process 1 names its root, and so does whoever starts it. */
function processesInMachines(): string[] {
  const sandbox = process.env['NODE_CA_TRUST_SANDBOX'] ?? '';
  const numbers = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const processes = numbers.map((pid) => `process ${pid}: ${argumentsOf(pid)}`);
  return processes.filter((line) => line.includes(sandbox));
}

function argumentsOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
