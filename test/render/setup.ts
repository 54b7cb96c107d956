// Brings what the tests of this folder run: a Debian with systemd and cloud-init, the judges of the formats, and crictl.
import type { TestProject } from 'vitest/node';
import { ensureBinaries } from '../cluster/binaries.ts';
import { needs } from '../image/machine.ts';
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
  }
}

export default async function setup(project: TestProject): Promise<void> {
  needs('debootstrap', 'unshare', 'setpriv', 'nsenter', 'mount', 'pivot_root');
  await ensureBinaries((program) => ['crictl'].includes(program));
  project.provide('debian', await ensureSystemdRoot('bookworm-cloud-init', packages));
}
