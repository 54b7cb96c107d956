/**
 * The node's own processes, from the host's /proc, starting no process.
 */
import type { Host } from '../host/host.ts';
import type { RuntimeProcess } from './runtime.ts';

export interface FoundProcess extends RuntimeProcess {
  /** The program's name, as /proc/PID/comm has it: cut to 15 bytes. */
  readonly comm: string;
}

/** In what /proc/PID/stat counts a second: USER_HZ, the same on every architecture that Node.js runs on (proc(5)). */
const ticksPerSecond = 100;

const numeric = /^\d+$/;
const ownHierarchies = new Set(['', 'name=systemd']);

/** Units of a user's own manager, and what runs in a pod or a container, are not units of the node's. */
const foreign = /\/(?:kubepods|user@\d+\.service\/)|\.scope(?:\/|$)/;

function text(host: Host, path: string): string | undefined {
  return host.read(path)?.toString('utf8');
}

/**
 * The unit that holds a process.
 * @param groups /proc/PID/cgroup: `1:name=systemd:/system.slice/containerd.service`, and `0::...` for version 2. Seen
 *   from a control group namespace the path may begin with `/..`
 * @returns undefined when no unit of the host's manager does
 */
function unitIn(groups: string): string | undefined {
  for (const line of groups.split('\n')) {
    const [, controllers, ...rest] = line.split(':');
    const path = rest.join(':');
    if (!ownHierarchies.has(controllers ?? '-') || foreign.test(path)) continue;
    const unit = path.split('/').findLast((part) => part.endsWith('.service'));
    if (unit !== undefined) return unit;
  }
  return undefined;
}

/** Seconds since the boot, from /proc/PID/stat. A program's name may hold blanks and brackets: the last one ends it. */
function startIn(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[19] ?? '') / ticksPerSecond;
}

/**
 * Whether a process is the node's own, and root's: its process namespace is that of this /proc (a number for each that it
 * is in, ours first), and whoever else may call a program containerd must not lead root's hand. A program that any user
 * can start as root (sudo, by a link of that name) keeps the groups of that user until it knows him.
 */
function isNodes(status: string): boolean {
  const isNested = /^NSpid:[ \t]+\d+[ \t]+\d/m.test(status);
  return !isNested && /^Uid:\s+0\s+0\s+0\s+0\nGid:\s+0\s+0\s+0\s+0$/m.test(status);
}

/** The bits set-user-ID and set-group-ID: with one of them a program is not its user's own. */
const setId = 0o6000;

/** The control group of a pod, by each of the kubelet's drivers, and by kind's, whose root is `kubelet`. */
const ofPod = /[/-]kubepods\b/;

/**
 * Whether a pod of this node holds a process: one with `hostPID` is in no process namespace of its own. Where the node is
 * itself in a pod, and its paths begin with that one's, nobody can tell.
 */
function isPods(host: Host, groups: string): boolean {
  return ofPod.test(groups) && !ofPod.test(text(host, '/proc/1/cgroup') ?? '');
}

/** @returns undefined for one that has ended, or belongs to a pod, or to a container with processes of its own */
function processAt(host: Host, pid: number, comm: string): FoundProcess | undefined {
  const [stat, status, groups, line] = ['stat', 'status', 'cgroup', 'cmdline'].map((name) =>
    text(host, `/proc/${pid}/${name}`),
  );
  // Without arguments it is about to end, or was never a program.
  if (stat === undefined || status === undefined || groups === undefined || !line || !isNodes(status)) return undefined;
  if (isPods(host, groups) || ((host.program(pid) ?? 0) & setId) !== 0) return undefined;
  const argv = line.replace(/\0$/, '').split('\0');
  return { pid, comm, argv, started: startIn(stat), unit: unitIn(groups) };
}

/**
 * The host's processes with one of these names, in no order; those in nested process namespaces (docker in docker) and in
 * pods are not the node's. A process that ends while it is read is left out.
 * @param comms names as /proc/PID/comm has them
 * @throws Problem when the host's /proc cannot be read
 */
export function findProcesses(host: Host, comms: ReadonlySet<string>): readonly FoundProcess[] {
  const pids = (host.list('/proc') ?? []).filter((name) => numeric.test(name));
  return pids.flatMap((pid) => {
    const comm = text(host, `/proc/${pid}/comm`)?.trimEnd();
    if (comm === undefined || !comms.has(comm)) return [];
    return processAt(host, Number(pid), comm) ?? [];
  });
}

/** Whether this very process is still there: its number alone may have become another's. */
export function isRunning(host: Host, { pid, started }: Pick<RuntimeProcess, 'pid' | 'started'>): boolean {
  const stat = text(host, `/proc/${pid}/stat`);
  return stat !== undefined && startIn(stat) === started;
}
