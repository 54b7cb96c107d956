// A node on which the real systemd is process 1 and containerd its unit, and containers of the real containerd on it: a
// pod that must not notice anything, and the agent.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { attempt, run, shell } from '../cluster/process.ts';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import type { AgentOutcome } from './systemd-agent.ts';

export const unit = 'containerd.service';

/** A process, as the node counts. */
export interface NodeProcess {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: with the number it tells one process from every other. */
  readonly ticks: string;
}

/**
 * What the agent's container may do.
 * - `least`: of all capabilities only the one to change its root; processes of its own
 * - `privileged`: everything, but processes of its own
 * - `entering`: the three capabilities that entering a namespace needs, and the node's processes (hostPID)
 */
export type Privilege = 'least' | 'privileged' | 'entering';

export interface SystemdNode extends AsyncDisposable {
  /** Where an absolute path of the node lies for this process. */
  path(file: string): string;
  /** Runs a shell script on the node and gives what it printed. Throws when it fails. */
  shell(script: string, ...words: readonly string[]): Promise<string>;
  /** A property of containerd's unit. */
  property(name: string): Promise<string>;
  /** containerd's main process. */
  runtime(): Promise<NodeProcess>;
  /** Starts a container of a process that calls itself containerd, as one in a container would. */
  startPod(): Promise<NodeProcess>;
  /** Undefined when its process is gone or is another one now. */
  process(pid: number): Promise<NodeProcess | undefined>;
  /**
   * Runs the agent's program in a container of its own to its end.
   * @param limitMs how long a runtime may take to come back
   */
  agent(privilege: Privilege, limitMs?: number): Promise<AgentOutcome>;
}

/** A share of the processor needs a controller, which is not in every machine's hierarchy. */
const startContainer = 'ctr run --detach --rootfs --cpu-shares 0';

const project = fileURLToPath(new URL('../..', import.meta.url));
const script = join(import.meta.dirname, 'systemd-node.sh');
/** Milliseconds. */
const patience = 60_000;

/** Those that containers have by default, but for CAP_SYS_CHROOT. */
const usual =
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID';
const least = usual.split(' ').flatMap((name) => ['--cap-drop', `CAP_${name}`]);
const more = ['SYS_ADMIN', 'SYS_PTRACE'].flatMap((name) => ['--cap-add', `CAP_${name}`]);

const privileges: Readonly<Record<Privilege, readonly string[]>> = {
  least,
  privileged: ['--privileged'],
  entering: [...least, ...more, '--with-ns', 'pid:/proc/1/ns/pid'],
};

/**
 * Powers a node on and waits until all of its services run. It ends with this process, however that ends.
 * @param debian the root that it is made of; several, with colons between, of which the first lies on top
 */
export async function bootNode(debian: string): Promise<SystemdNode> {
  const base = mkdtempSync(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '', 'systemd-'));
  const group = await makeGroup(base);
  const own = ['--mount', '--propagation=private', '--pid', '--net', '--ipc', '--uts', '--cgroup', '--fork'];
  const words = [...own, '--kill-child', 'sh', script, join(base, 'node'), debian, process.execPath, project];
  const joining = 'echo $$ > "$1/cgroup.procs"; shift; exec setpriv --pdeathsig KILL unshare "$@"';
  mkdirSync(join(base, 'node'));
  const child = spawn('sh', ['-euc', joining, 'sh', group, ...words], {
    env: cleanEnvironment,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = once(child, 'exit');
  const end = async (): Promise<void> => {
    if (child.exitCode === null) process.kill(initOf(child.pid) ?? child.pid ?? 0, 'SIGKILL');
    await ended;
    await removeGroup(base, group);
  };
  try {
    const init = await until('systemd runs', () => {
      if (child.exitCode !== null) throw new Error(`the node cannot be built: ${said.trim()}`);
      const pid = initOf(child.pid);
      return pid !== undefined && read(`/proc/${pid}/comm`) === 'systemd\n' ? pid : undefined;
    });
    await until('systemd has started everything', async () => {
      const { stdout } = await attempt('nsenter', enter(init, 'systemctl', 'is-system-running', '--wait'));
      if (stdout.startsWith('degraded')) throw new Error(await failedUnits(init));
      return stdout.startsWith('running') ? true : undefined;
    });
    return furnish(init, end);
  } catch (error) {
    await end();
    throw error;
  }
}

/**
 * A group of its own, in a hierarchy of version 2: every machine has one, though its controllers may be elsewhere. Its
 * name has this process's number; groups of one that was killed go.
 */
async function makeGroup(base: string): Promise<string> {
  const hierarchy = join(base, 'cgroup');
  const prefix = 'node-ca-trust-systemd-';
  mkdirSync(hierarchy);
  await shell('mount -t cgroup2 cgroup2 "$1"', hierarchy);
  for (const name of readdirSync(hierarchy).filter((entry) => entry.startsWith(prefix))) {
    const [pid = ''] = name.slice(prefix.length).split('-');
    if (!existsSync(`/proc/${pid}`)) remove(join(hierarchy, name));
  }
  return mkdtempSync(join(hierarchy, `${prefix}${process.pid}-`));
}

async function removeGroup(base: string, group: string): Promise<void> {
  // The kernel lets go of a group a little after its last process has ended.
  await until(`${group} is empty`, () => (remove(group) ? true : undefined));
  await shell('umount "$1/cgroup"; rmdir "$1/cgroup" "$1/node" "$1"', base);
}

function remove(group: string): boolean {
  try {
    for (const child of readdirSync(group, { withFileTypes: true })) {
      if (child.isDirectory()) remove(join(group, child.name));
    }
    rmdirSync(group);
    return true;
  } catch {
    return false;
  }
}

/** The process 1 whose parent this is, as the machine counts. */
function initOf(parent: number | undefined): number | undefined {
  const children = read(`/proc/${parent ?? 0}/task/${parent ?? 0}/children`);
  return children === '' ? undefined : Number(children);
}

/** Empty for a process that has ended. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function enter(init: number, ...words: readonly string[]): string[] {
  return ['--target', String(init), '--all', '--root', '--wd', '--', ...words];
}

async function failedUnits(init: number): Promise<string> {
  const { stdout } = await attempt('nsenter', enter(init, 'systemctl', '--no-pager', '--failed', '--full', 'status'));
  return `units of the node have failed:\n${stdout}`;
}

async function until<T>(what: string, check: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const end = performance.now() + patience;
  while (performance.now() < end) {
    const value = await check();
    if (value !== undefined) return value;
    await sleep(20);
  }
  throw new Error(`within ${patience / 1000} s it did not come true that ${what}`);
}

function furnish(init: number, end: () => Promise<void>): SystemdNode {
  const inside = (text: string, ...words: readonly string[]): Promise<string> =>
    run('nsenter', enter(init, 'sh', '-euc', text, 'sh', ...words), { timeout: patience });
  const property = async (name: string): Promise<string> =>
    (await inside('systemctl show --value --property "$1" "$2"', name, unit)).trim();
  const find = async (pid: number): Promise<NodeProcess | undefined> => {
    const stat = await inside('cat "/proc/$1/stat" 2> /dev/null || true', String(pid));
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return ticks === undefined ? undefined : { pid, ticks };
  };
  const must = async (pid: string): Promise<NodeProcess> => {
    const found = await find(Number(pid));
    if (found === undefined) throw new Error(`there is no process ${pid}`);
    return found;
  };
  let containers = 0;
  return {
    path: (file) => `/proc/${init}/root${file}`,
    shell: inside,
    property,
    process: find,
    runtime: async () => must(await property('MainPID')),
    async startPod() {
      const text = `mkdir -p /opt/nested; cp /bin/sleep /opt/nested/containerd
        ${startContainer} /opt/image pod /opt/nested/containerd infinity
        ctr tasks ls | awk '$1 == "pod" { print $2 }'`;
      return must((await inside(text)).trim());
    },
    async agent(privilege, limitMs = 60_000) {
      containers += 1;
      const name = `agent-${containers}`;
      const mounts = ['opt/node', 'opt/project'].map((path) => `type=bind,src=/${path},dst=/${path},options=rbind:ro`);
      const options = [...mounts, 'type=bind,src=/,dst=/host,options=rbind'].flatMap((mount) => ['--mount', mount]);
      const program = [
        '/opt/node',
        '/opt/project/test/runtimes/systemd-agent.ts',
        String(limitMs),
        `/run/${name}.json`,
      ];
      const text = `name=$1; shift
        ${startContainer} --env PATH=/usr/sbin:/usr/bin --log-uri "file:///run/$name.log" "$@"`;
      await inside(text, name, ...privileges[privilege], ...options, '/opt/image', name, ...program);
      return until(`the agent is done: ${name}`, async () => {
        const printed = await inside('cat "/run/$1.json" 2> /dev/null || true', name);
        if (printed !== '') return JSON.parse(printed) as AgentOutcome;
        const log = await inside('cat "/run/$1.log" 2> /dev/null || true', name);
        if (log !== '') throw new Error(`the agent has failed:\n${log}`);
        return undefined;
      });
    },
    [Symbol.asyncDispose]: end,
  };
}
