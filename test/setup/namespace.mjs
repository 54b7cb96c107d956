// Runs a command in a mount namespace of its own:
//
//   node test/setup/namespace.mjs [--processes|--network] COMMAND ARGS...
//
// Whatever the command mounts is seen by it alone and vanishes with it, however it ends. Root needs no more than
// that; everybody else gets it through a user namespace. The command finds in NODE_CA_TRUST_SANDBOX an empty
// directory to mount things in, and in NODE_CA_TRUST_OUTSIDE the namespace that it must not be in.
//
// Files are the machine's own: this is no copy of its root. What the command writes or removes anywhere but in what it
// has mounted is done to the machine. Copies are what test/sandbox/harness/world.ts makes.
//
// With --processes it sees no process but its own, so that the machine's container runtimes are not a world's, and whatever
// it starts ends with it. Not so for who is not root, nor where a container is not let mount a /proc of its own.
//
// With --network it gets a network of its own as well, which is loopback and one more address. That needs root.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { become, fail } from './run.mjs';

const flag = ['--processes', '--network'].find((known) => known === process.argv[2]);
const [command, ...args] = process.argv.slice(flag === undefined ? 2 : 3);
if (command === undefined) fail('usage: namespace.mjs [--processes|--network] COMMAND ARGS...');

const isRoot = process.getuid?.() === 0;
const isNetworkOwn = flag === '--network';
const directory = mkdtempSync(join(tmpdir(), 'node-ca-trust-'));
// 198.18.0.0/15 is for tests of networks (RFC 2544): a server that must name an address beyond loopback names this one.
const raise = isNetworkOwn ? 'ip link set lo up && ip address add 198.18.255.1/32 dev lo && ' : '';

/** The words after `unshare` that start some others in the namespaces. */
function wordsOf(areProcessesOwn, words) {
  const flags = [
    ...(isRoot ? [] : ['--user', '--map-root-user']),
    ...['--mount', '--propagation', 'private'],
    ...(isNetworkOwn ? ['--net'] : []),
    ...(areProcessesOwn ? ['--pid', '--fork', '--mount-proc', '--kill-child'] : []),
  ];
  // The first process of its namespace hears no signal that it does not handle, and is left those whose parent has ended:
  // the shell stays to be that.
  const start = areProcessesOwn ? '"$@"; exit $?' : 'exec "$@"';
  const script = `${raise}mount -t tmpfs -o mode=755 tmpfs "$NODE_CA_TRUST_SANDBOX" || exit; ${start}`;
  return [...flags, '--', 'sh', '-c', script, 'sh', ...words];
}
const env = {
  ...process.env,
  NODE_CA_TRUST_SANDBOX: directory,
  NODE_CA_TRUST_OUTSIDE: readlinkSync('/proc/self/ns/mnt'),
};

// A container may not be let mount a /proc of its own: the tests go on with the one that it has.
const ways = isNetworkOwn ? [true] : flag === '--processes' && isRoot ? [true, false] : [false];
let probe;
const areProcessesOwn = ways.find((way) => {
  probe = spawnSync('unshare', wordsOf(way, ['true']), { env, encoding: 'utf8' });
  return probe.status === 0;
});
if (areProcessesOwn === undefined) {
  rmdirSync(directory);
  fail(`no mount namespace to be had (${whyNot()})${remedy()}`);
}
become('unshare', wordsOf(areProcessesOwn, [command, ...args]), env, {
  after: () => rmdirSync(directory),
  ...(areProcessesOwn && { signal: signalProcesses }),
});

/** unshare that waits for another process blocks the signals that end it, and passes none on. */
function signalProcesses(unshare, name) {
  try {
    const processes = childrenOf(unshare.pid).flatMap(childrenOf);
    for (const pid of processes) process.kill(pid, name);
    if (processes.length > 0) return;
  } catch {
    // One of them has just ended.
  }
  unshare.kill('SIGKILL');
}

function childrenOf(pid) {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
}

function whyNot() {
  return probe.error?.message ?? probe.stderr.trim().split('\n')[0];
}

function remedy() {
  if (isRoot) return ': in a container, give it CAP_SYS_ADMIN (docker run --privileged)';
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
