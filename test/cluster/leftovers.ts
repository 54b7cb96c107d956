// What a cluster could leave behind on a machine: read before and after, and compared. What others do on the machine
// meanwhile, with clusters of their own, is not looked at.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, readlinkSync, type Dirent } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { controlGroup, home, network } from './bare/layout.ts';
import { attempt } from './process.ts';

/** What was found of each kind, as lines: a line that is not in both is a difference. */
export type Machine = ReadonlyMap<string, ReadonlySet<string>>;

/** Reads the machine's state. Changes nothing. */
export async function readMachine(): Promise<Machine> {
  const machine = new Map(Object.entries(readers).map(([kind, read]) => [kind, new Set(read())]));
  for (const [kind, command] of Object.entries(commands)) machine.set(kind, new Set(await printed(command)));
  return machine;
}

/** One line for each difference: `+ mount: ...` is new, `- mount: ...` is gone. */
export function differences(before: Machine, after: Machine): string[] {
  return [...after].flatMap(([kind, now]) => {
    const old = before.get(kind) ?? new Set();
    const gone = [...old].filter((line) => !now.has(line)).map((line) => `- ${kind}: ${line}`);
    const added = [...now].filter((line) => !old.has(line)).map((line) => `+ ${kind}: ${line}`);
    // A part of the kernel that is used for the first time brings its settings with it; nobody has set them.
    return kind === 'sysctl' ? gone : [...gone, ...added];
  });
}

/** The processes that keep a namespace of the cluster alive: its own, and whoever entered. */
export function inhabitants(): number[] {
  // This process may be in one of its own.
  const machine = [process.pid, 1].flatMap(namespacesOf);
  const own = new Set(
    clusterProcesses()
      .flatMap(namespacesOf)
      .filter((namespace) => !machine.includes(namespace)),
  );
  return processIds().filter((pid) => namespacesOf(pid).some((namespace) => own.has(namespace)));
}

const readers: Readonly<Record<string, () => string[]>> = {
  process: () => clusterProcesses().map((pid) => `${pid} ${argumentsOf(pid)}`),
  mount: mounts,
  sysctl: sysctls,
  'control group': () => directoriesBelow('/sys/fs/cgroup').filter((path) => path.split('/').includes(controlGroup)),
  file: files,
};

const commands: Readonly<Record<string, readonly string[]>> = {
  link: ['ip', '-oneline', 'link'],
  address: ['ip', '-oneline', 'address'],
  route: ['ip', 'route', 'show', 'table', 'all'],
  'route (IPv6)': ['ip', '-6', 'route', 'show', 'table', 'all'],
  rule: ['ip', 'rule'],
  iptables: ['iptables-save'],
  'iptables (legacy)': ['iptables-legacy-save'],
  'iptables (IPv6)': ['ip6tables-save'],
  nftables: ['nft', 'list', 'ruleset'],
};

/** What a command prints, if the machine has it, but for counters of packets and of time. */
async function printed([command = '', ...args]: readonly string[]): Promise<string[]> {
  const script = 'if command -v "$1" > /dev/null; then exec "$@"; fi';
  const { code, stdout } = await attempt('sh', ['-c', script, 'sh', command, ...args]);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed (${code})`);
  const lines = stdout.replaceAll(/\[\d+:\d+\]|(expires|valid_lft|preferred_lft) \d+sec/g, '').split('\n');
  return lines.map((line) => line.trim()).filter((line) => !line.startsWith('#') && !isOfAnother(line));
}

/** A line about the cable of another cluster. */
function isOfAnother(line: string): boolean {
  const cable = /\bnodecatrust\d+/.exec(line)?.[0];
  return cable !== undefined && cable !== network.cable;
}

/** A process of the control plane is told the cluster's directory, and one of a node is in its control groups. */
function clusterProcesses(): number[] {
  return processIds().filter((pid) => {
    const groups = text(`/proc/${pid}/cgroup`).split(/[/\n]/);
    return pid !== process.pid && (groups.includes(controlGroup) || isToldOf(home, argumentsOf(pid)));
  });
}

/** Whether a command line names the directory, and not one whose name only begins like it. */
function isToldOf(directory: string, line: string): boolean {
  return line
    .split(directory)
    .slice(1)
    .some((rest) => !/^[\w-]/.test(rest));
}

function processIds(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

function argumentsOf(pid: number): string {
  return text(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
}

function namespacesOf(pid: number): string[] {
  return entries(`/proc/${pid}/ns`).map(({ name }) => link(`/proc/${pid}/ns/${name}`));
}

/** The machine's, and this process's own where they are not the same; without the numbers that only tell them apart. */
function mounts(): string[] {
  const lines = ['/proc/1/mountinfo', '/proc/self/mountinfo'].flatMap((file) => text(file).trim().split('\n'));
  return lines.map((line) => line.split(' ').slice(3).join(' '));
}

/** Counters, and numbers that the kernel draws. */
const restless = [
  /^fs\/(aio-nr|dentry-state|file-nr|inode-nr|inode-state|quota\/)/,
  /^kernel\/(ns_last_pid|pty\/nr|random\/)/,
  /^net\/.*(conntrack_count|unres_qlen)/,
  /^vm\/stat_refresh$/,
];

function sysctls(): string[] {
  const names = filesBelow('/proc/sys').map((file) => file.slice('/proc/sys/'.length));
  const steady = names.filter((name) => !restless.some((pattern) => pattern.test(name)) && !isOfAnother(name));
  return steady.map((name) => `${name}=${text(`/proc/sys/${name}`).trim()}`);
}

/** What a node trusts, and how its software is set up: the machine's own must not change by a byte. */
const exact = [
  ...['ssl', 'ca-certificates', 'containerd', 'cni', 'kubernetes'].map((name) => join('/etc', name)),
  '/usr/local/share/ca-certificates',
];
/** Where the software of a node keeps its state by habit. */
const state = ['containerd', 'kubelet', 'kube-proxy', 'cni', 'etcd'].map((name) => join('/var/lib', name));
/** Where something new would be seen at a glance. */
const places = ['/', '/etc', '/opt', '/run', '/run/netns', '/var/lib', '/var/log', '/dev'];

function files(): string[] {
  const ownServer = join(homedir(), '.kube/cache/discovery', `${network.apiServer}_6443`);
  return [
    ...exact.flatMap(filesBelow).map((file) => `${file} ${link(file) || digest(file)}`),
    `/etc/ca-certificates.conf ${digest('/etc/ca-certificates.conf')}`,
    ...[...state, ownServer].flatMap((directory) => [...filesBelow(directory), ...directoriesBelow(directory)]),
    ...places.flatMap((directory) => entries(directory).map(({ name }) => join(directory, name))),
    // Other tests have their own places beside it.
    ...entries(join(home, '..')).flatMap(({ name }) =>
      name === basename(home) || name.startsWith(`${basename(home)}.`) ? [join(home, '..', name)] : [],
    ),
  ];
}

function digest(file: string): string {
  return createHash('sha256').update(text(file)).digest('hex');
}

function filesBelow(directory: string): string[] {
  return entries(directory).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

function directoriesBelow(directory: string): string[] {
  const below = entries(directory).filter((entry) => entry.isDirectory());
  return below.map(({ name }) => join(directory, name)).flatMap((path) => [path, ...directoriesBelow(path)]);
}

/** What is not there, or may not be read, is empty. */
function entries(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
}

function text(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function link(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
}
