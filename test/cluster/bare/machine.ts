// What a machine must have for a cluster without Docker.
import { attempt } from '../process.ts';

/** By the Debian package that brings them. */
const tools: Readonly<Record<string, readonly string[]>> = {
  containerd: ['containerd', 'ctr'],
  runc: ['runc'],
  iptables: ['iptables'],
  iproute2: ['ip'],
  'util-linux': ['unshare', 'nsenter', 'setsid', 'findmnt', 'pivot_root'],
  curl: ['curl'],
  openssl: ['openssl'],
  'containernetworking-plugins': ['/usr/lib/cni/bridge'],
};

/** Throws, with what to do, unless this is root on a machine with every tool. */
export async function requireMachine(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('a cluster is made of namespaces and mounts: run this as root');
  const checks = Object.entries(tools).map(async ([name, programs]) => {
    const { code } = await attempt('sh', [
      '-c',
      'for program; do command -v "$program" || exit 1; done',
      'sh',
      ...programs,
    ]);
    return code === 0 ? [] : [name];
  });
  const missing = (await Promise.all(checks)).flat();
  if (missing.length > 0) throw new Error(`these packages are missing; install them: ${missing.join(' ')}`);
}
