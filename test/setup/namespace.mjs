// Runs a command in a mount namespace of its own:
//
//   node test/setup/namespace.mjs [--network] COMMAND ARGS...
//
// Whatever the command mounts is seen by it alone and vanishes with it, however it ends. Root needs no more than
// that; everybody else gets it through a user namespace. The command finds in NODE_CA_TRUST_SANDBOX an empty
// directory to mount things in, and in NODE_CA_TRUST_OUTSIDE the namespace that it must not be in.
//
// Files are the machine's own: this is no copy of its root. What the command writes or removes anywhere but in what it
// has mounted is done to the machine. Copies are what test/sandbox/harness/world.ts makes.
//
// With --network it also gets a network of its own, which is loopback and one more address, and whatever it starts ends
// with it. That needs root.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { become, fail } from './run.mjs';

const words = process.argv.slice(2);
const isNetworkOwn = words[0] === '--network';
const [command, ...args] = isNetworkOwn ? words.slice(1) : words;
if (command === undefined) fail('usage: namespace.mjs [--network] COMMAND ARGS...');

const network = ['--net', '--pid', '--fork', '--mount-proc', '--kill-child'];
const own = ['--mount', '--propagation', 'private', ...(isNetworkOwn ? network : [])];
const flags = process.getuid?.() === 0 ? own : ['--user', '--map-root-user', ...own];
const directory = mkdtempSync(join(tmpdir(), 'node-ca-trust-'));
// 198.18.0.0/15 is for tests of networks (RFC 2544): a server that must name an address beyond loopback names this one.
const raise = isNetworkOwn ? 'ip link set lo up && ip address add 198.18.255.1/32 dev lo && ' : '';
const script = `${raise}mount -t tmpfs -o mode=755 tmpfs "$NODE_CA_TRUST_SANDBOX" && exec "$@"`;
const inside = (words) => [...flags, '--', 'sh', '-c', script, 'sh', ...words];
const env = {
  ...process.env,
  NODE_CA_TRUST_SANDBOX: directory,
  NODE_CA_TRUST_OUTSIDE: readlinkSync('/proc/self/ns/mnt'),
};

const probe = spawnSync('unshare', inside(['true']), { env, encoding: 'utf8' });
if (probe.status !== 0) {
  rmdirSync(directory);
  fail(`no mount namespace to be had (${whyNot()})${remedy()}`);
}
become('unshare', inside([command, ...args]), env, () => rmdirSync(directory));

function whyNot() {
  return probe.error?.message ?? probe.stderr.trim().split('\n')[0];
}

function remedy() {
  if (process.getuid?.() === 0) return ': in a container, give it CAP_SYS_ADMIN (docker run --privileged)';
  const blocked = ['kernel/apparmor_restrict_unprivileged_userns=1', 'kernel/unprivileged_userns_clone=0'].find(
    (setting) => sysctl(setting.split('=')[0]) === setting.split('=')[1],
  );
  return `: run it as root${blocked === undefined ? '' : `, or lift ${blocked.replace('/', '.')}`}`;
}

function sysctl(name) {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}
