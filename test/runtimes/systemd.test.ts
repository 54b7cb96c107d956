// The restart of containerd by the agent, on nodes where the real systemd is process 1 and the real containerd its unit.
//
// What stands in for what: the node is a set of namespaces with a Debian of its own (systemd 252, dbus-daemon, containerd
// 1.6 with Debian's unit, runc) on this machine's kernel. The agent's part is a program of the tests around the code that
// decides and restarts, in a container of that containerd, with capabilities and namespaces as a pod would have them; no
// AppArmor or SELinux confines it. A container started by ctr stands in for a pod.
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { needs } from '../image/machine.ts';
import { ensureSystemdRoot } from './systemd-root.ts';
import { type NodeProcess, type SystemdNode, bootNode, unit } from './systemd-node.ts';

let debian = '';

beforeAll(async () => {
  needs('debootstrap', 'unshare', 'setpriv', 'nsenter', 'mount', 'pivot_root');
  debian = await ensureSystemdRoot();
}, 600_000);

interface Scene {
  readonly node: SystemdNode;
  readonly pod: NodeProcess;
  /** containerd before anything happened. */
  readonly runtime: NodeProcess;
}

/** A node with a pod on it. It ends with the test. */
async function scene(): Promise<Scene> {
  const node = await bootNode(debian);
  onTestFinished(() => node[Symbol.asyncDispose]());
  return { node, pod: await node.startPod(), runtime: await node.runtime() };
}

const withoutBusctl = 'rm /usr/bin/busctl';
const withoutBus = 'systemctl --quiet stop dbus.socket dbus.service; rm -f /run/dbus/system_bus_socket';

/** The pod's process is the one that it was, and containerd knows that it runs. */
async function expectUntouched({ node, pod }: Scene): Promise<void> {
  expect(await node.process(pod.pid)).toEqual(pod);
  const tasks = await node.shell('ctr tasks ls');
  expect(tasks).toMatch(new RegExp(`^pod +${pod.pid} +RUNNING`, 'm'));
}

/** Changes the unit as an admin does. */
function override(node: SystemdNode, text: string): Promise<string> {
  const script = `directory=/etc/systemd/system/$1.d; mkdir -p "$directory"
    printf '%s\\n' "$2" > "$directory/override.conf"
    systemctl daemon-reload`;
  return node.shell(script, unit, text);
}

describe('a restart of containerd', () => {
  it('needs neither privilege nor the processes of the node where there is a bus', async () => {
    const before = await scene();
    const { node, runtime } = before;
    const { capabilities, pid, passes } = await node.agent('least');
    console.log(`restarted and proven over the bus within ${passes[0]?.seconds.toFixed(2) ?? '?'} s`);
    // CAP_SYS_CHROOT alone, and nobody else to be seen.
    expect(capabilities).toBe('0000000000040000');
    expect(pid).toBe(1);
    expect(passes[0]).toMatchObject({ decision: 'now', result: 'restarted' });
    expect(await node.runtime()).not.toEqual(runtime);
    expect(await node.property('ActiveState')).toBe('active');
    await expectUntouched(before);
  });

  it('takes for the runtime what the node runs as its unit, and not what a container runs under that name', async () => {
    const { node, pod, runtime } = await scene();
    expect((await node.shell('cat "/proc/$1/comm"', String(pod.pid))).trim()).toBe('containerd');
    const { passes } = await node.agent('least');
    const [found] = passes.map((pass) => pass.found.map((process) => ({ pid: process.pid, unit: process.unit })));
    expect(found).toEqual([{ pid: runtime.pid, unit }]);
  });

  it('is made once: what was started after the change needs none', async () => {
    const { node } = await scene();
    const { passes } = await node.agent('least');
    expect(passes.map(({ decision }) => decision)).toEqual(['now', 'not-needed']);
    expect(passes[1]?.found[0]?.pid).toBe((await node.runtime()).pid);
  });

  it.each([
    ['there is no busctl', withoutBusctl, 'privileged'],
    ['there is no bus', withoutBus, 'entering'],
  ] as const)("is made in the node's namespaces where %s", async (_, taking, privilege) => {
    const before = await scene();
    const { node, runtime } = before;
    await node.shell(taking);
    const { passes } = await node.agent(privilege);
    expect(passes[0]?.result).toBe('restarted');
    expect(await node.runtime()).not.toEqual(runtime);
    await expectUntouched(before);
  });

  it.each([
    [
      'without privilege',
      withoutBusctl,
      'least',
      /over the bus: .*No such file.*; in its namespaces: .*Permission denied/,
    ],
    [
      "without the node's processes",
      withoutBus,
      'privileged',
      /over the bus: .*; in its namespaces: Failed to connect to bus/,
    ],
  ] as const)('is refused %s where the bus cannot be had, and nothing happens', async (_, taking, privilege, why) => {
    const before = await scene();
    const { node, runtime } = before;
    await node.shell(taking);
    const { passes } = await node.agent(privilege);
    expect(passes[0]?.result).toEqual({ refused: expect.stringMatching(why) as string });
    const line = `run on the node: systemctl restart ${unit}`;
    expect(passes[0]?.result).toEqual({ refused: expect.stringContaining(line) as string });
    expect(await node.runtime()).toEqual(runtime);
    await expectUntouched(before);
  });
});

describe('a restart that does not bring containerd back', () => {
  it('names the command that mends it when systemd starts it no more, and that command does', async () => {
    const before = await scene();
    const { node, pod } = before;
    // On a slow machine five restarts take longer than the usual 10 s; the limit is the same.
    await override(node, '[Unit]\nStartLimitIntervalSec=1h');
    await node.shell('systemctl reset-failed "$1"; for attempt in 1 2 3 4 5; do systemctl restart "$1"; done', unit);
    const { passes } = await node.agent('least');
    const [first] = passes;
    const failed = typeof first?.result === 'object' && 'failed' in first.result ? first.result.failed : '';
    console.log(failed);
    expect(failed).toContain('start-limit-hit');
    expect(await node.property('Result')).toBe('start-limit-hit');
    expect(await node.process(pod.pid)).toEqual(pod);

    await node.shell(/run on the node: (.*)$/.exec(failed)?.[1] ?? 'false');
    expect(await node.property('ActiveState')).toBe('active');
    await expectUntouched(before);
  });

  it('is told in a line, and never made again', async () => {
    const before = await scene();
    const { node, pod } = before;
    await override(node, '[Service]\nExecStart=\nExecStart=/usr/bin/no-such-containerd');
    const { passes } = await node.agent('least', 4_000);
    expect(passes[0]?.decision).toBe('now');
    const line = `${unit} is down (activating, exit-code): it did not come back from a restart; look at`;
    expect(passes[0]?.result).toEqual({ failed: expect.stringContaining(line) as string });
    expect(passes[1]).toMatchObject({ decision: 'never', found: [] });
    // What ran before does not notice, and is found again by a containerd that works.
    expect(await node.process(pod.pid)).toEqual(pod);
    await override(node, '');
    await node.shell('systemctl restart "$1"', unit);
    await expectUntouched(before);
  });

  it('is not believed to be back while it does not answer', async () => {
    const { node, pod } = await scene();
    // It is there and says so to systemd, and its socket is another one than the agent asks.
    await node.shell('mkdir -p /etc/containerd');
    await node.shell(
      `printf 'version = 2\\n[grpc]\\n  address = "/run/elsewhere.sock"\\n' > /etc/containerd/config.toml`,
    );
    const { passes } = await node.agent('least', 4_000);
    const line = 'after 4 s its runtime does not answer as a new process';
    expect(passes[0]?.result).toEqual({ failed: expect.stringContaining(line) as string });
    expect(passes[1]?.decision).toBe('not-needed');
    expect(await node.process(pod.pid)).toEqual(pod);
  });
});
