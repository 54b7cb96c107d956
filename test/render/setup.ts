// Brings what the tests of this folder run: a Debian with systemd and cloud-init, the judges of the formats, and crictl.
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { ensureBinaries } from '../cluster/binaries.ts';
import { needs } from '../image/machine.ts';
import { ensurePackages } from '../runtimes/harness/debian.ts';
import { ensureSystemdRoot } from '../runtimes/systemd-root.ts';

/** The last one is there because debootstrap does not see what provides a package. */
const packages = [
  'ca-certificates',
  'openssl',
  'cloud-init',
  'docker-registry',
  'curl',
  'iproute2',
  'python3-cffi-backend',
];

declare module 'vitest' {
  interface ProvidedContext {
    /** The directory of a root with systemd, containerd, cloud-init and docker-registry. */
    debian: string;
    shellcheck: string;
    busybox: string;
  }
}

export default async function setup(project: TestProject): Promise<void> {
  needs('apt-get', 'dpkg', 'debootstrap', 'unshare', 'setpriv', 'nsenter', 'mount', 'pivot_root');
  await ensureBinaries((program) => ['crictl', 'ignition', 'talos', 'clusterapi'].includes(program));
  const found = await ensurePackages(['shellcheck/bookworm', 'busybox/bookworm']);
  project.provide('shellcheck', join(found['shellcheck/bookworm'], 'usr/bin/shellcheck'));
  project.provide('busybox', join(found['busybox/bookworm'], 'bin/busybox'));
  project.provide('debian', await ensureSystemdRoot('bookworm-cloud-init', packages));
}
