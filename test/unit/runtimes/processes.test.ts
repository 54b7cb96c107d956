import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openHost } from '../../../src/host/host.ts';
import { readMoment } from '../../../src/host/moment.ts';
import { findProcesses, isRunning } from '../../../src/runtimes/processes.ts';
import { emptyHost, temporaryDirectory } from '../support/directories.ts';
import { type FakeProcess, putProcess } from '../support/proc-tree.ts';

const comms = new Set(['containerd', 'dockerd']);

function hostWith(...processes: readonly FakeProcess[]) {
  const host = emptyHost();
  mkdirSync(join(host.root, 'proc'));
  for (const process of processes) putProcess(host.root, process);
  return host;
}

function unitOf(groups: string): string | undefined {
  const [found] = findProcesses(hostWith({ pid: 7, comm: 'containerd', groups }), comms);
  return found?.unit;
}

describe('the processes of the node', () => {
  it('are found by name, with their arguments, start and unit', () => {
    const host = hostWith(
      { pid: 1, comm: 'systemd', groups: '0::/init.scope\n' },
      {
        pid: 812,
        comm: 'containerd',
        argv: ['/usr/bin/containerd', '--config', '/etc/containerd/my config.toml', ''],
        ticks: 123_456,
        groups: '0::/system.slice/containerd.service\n',
      },
      { pid: 900, comm: 'containerd-shim', groups: '0::/system.slice/containerd.service\n' },
      { pid: 1200, comm: 'dockerd', ticks: 2_000, groups: '0::/\n' },
    );
    expect(findProcesses(host, comms)).toEqual([
      { pid: 1200, comm: 'dockerd', argv: ['dockerd'], started: 20, unit: undefined },
      {
        pid: 812,
        comm: 'containerd',
        argv: ['/usr/bin/containerd', '--config', '/etc/containerd/my config.toml', ''],
        started: 1234.56,
        unit: 'containerd.service',
      },
    ]);
  });

  it('may have a name with blanks and brackets', () => {
    const host = hostWith({ pid: 5, comm: 'a) S 1 (b', ticks: 4_200 });
    expect(findProcesses(host, new Set(['a) S 1 (b']))).toMatchObject([{ pid: 5, started: 42 }]);
  });

  it('do not include those of a nested container, whatever their names', () => {
    const host = hostWith({ pid: 30, comm: 'containerd', numbers: [30, 1] }, { pid: 31, comm: 'containerd' });
    expect(findProcesses(host, comms).map(({ pid }) => pid)).toEqual([31]);
  });

  it.each([
    ['of version 2', '0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-abc.scope\n'],
    ['of version 2, without systemd', '0::/kubepods/burstable/pod1/abc\n'],
    ['of version 1', '9:name=systemd:/kubepods/pod1/abc\n8:pids:/kubepods/pod1/abc\n'],
    ['seen from a pod', '0::/../../kubepods-besteffort-pod1.slice/cri-containerd-abc.scope\n'],
    ["of kind's", '0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice/cri-containerd-abc.scope\n'],
  ])("do not include one of a pod that sees the host's processes, by a group %s", (_, groups) => {
    const host = hostWith(
      { pid: 1, comm: 'systemd', groups: '0::/init.scope\n' },
      { pid: 30, comm: 'containerd', groups },
      { pid: 31, comm: 'containerd', groups: '0::/system.slice/containerd.service\n' },
    );
    expect(findProcesses(host, comms).map(({ pid }) => pid)).toEqual([31]);
  });

  it.each([
    ['a container', '/docker/abc', '/docker/abc/system.slice/containerd.service'],
    ['a container, seen from a pod', '/../../../../init.scope', '/../../../../system.slice/containerd.service'],
    ['a pod', '/kubepods/pod1/abc/init.scope', '/kubepods/pod1/abc/system.slice/containerd.service'],
    ['a container in a pod', '/kubepods/pod1/docker/abc', '/kubepods/pod1/docker/abc/kubelet/x'],
  ])('include those of a node that is itself in %s', (_, init, path) => {
    const host = hostWith(
      { pid: 1, comm: 'systemd', groups: `0::${init}\n` },
      { pid: 30, comm: 'containerd', groups: `0::${path}\n` },
    );
    expect(findProcesses(host, comms).map(({ pid }) => pid)).toEqual([30]);
  });

  it.each<[string, Partial<FakeProcess>]>([
    ["is another user's", { user: 1000 }],
    ['has the groups of another user', { groupIds: [1000, 1000, 1000, 1000] }],
    ['has the groups of another user, but for the one it acts as', { groupIds: [1000, 0, 0, 0] }],
    ['runs a program that makes root of any user', { mode: 0o4755 }],
    ['runs a program that gives any user a group', { mode: 0o2755 }],
  ])("do not include one that %s: anybody can have root's programs run by another name", (_, changed) => {
    const host = hostWith({ pid: 30, comm: 'containerd', mode: 0o755, ...changed }, { pid: 31, comm: 'containerd' });
    expect(findProcesses(host, comms).map(({ pid }) => pid)).toEqual([31]);
  });

  it('are judged by the program that they run, though it is gone', async () => {
    const directory = temporaryDirectory();
    const start = async (name: string, mode: number): Promise<void> => {
      const program = join(directory, name);
      copyFileSync('/bin/sleep', program);
      chmodSync(program, mode);
      const started = spawn(program, ['60']);
      onTestFinished(() => {
        started.kill();
      });
      await once(started, 'spawn');
      rmSync(program);
    };
    await start('its-own', 0o755);
    await start('of-any-user', 0o4755);
    const found = findProcesses(openHost('/'), new Set(['its-own', 'of-any-user']));
    expect(found.map(({ comm }) => comm)).toEqual(['its-own']);
  });

  it.each(['comm', 'cmdline', 'stat', 'status', 'cgroup'])('leave out one that ends before its %s is read', (file) => {
    const host = hostWith({ pid: 30, comm: 'containerd' }, { pid: 31, comm: 'containerd' });
    rmSync(join(host.root, 'proc/30', file));
    expect(findProcesses(host, comms).map(({ pid }) => pid)).toEqual([31]);
  });

  it('leave out one that has ended and is not yet buried', () => {
    expect(findProcesses(hostWith({ pid: 30, comm: 'containerd', argv: [] }), comms)).toEqual([]);
  });

  it('are none where there is no /proc', () => {
    expect(findProcesses(emptyHost(), comms)).toEqual([]);
  });

  it('are read from the real /proc', () => {
    const name = readFileSync('/proc/self/comm', 'utf8').trimEnd();
    const found = findProcesses(openHost('/'), new Set([name]));
    const self = found.find(({ pid }) => pid === process.pid);
    // Node.js counts its own time from a little after the process's start.
    expect(self?.started).toBeGreaterThan(0);
    expect(self?.started).toBeLessThan((readMoment(openHost('/'))?.seconds ?? 0) - process.uptime() + 0.02);
  });
});

describe('the unit of a process', () => {
  it.each([
    ['version 2', '0::/system.slice/containerd.service\n', 'containerd.service'],
    ['version 2, divided below the unit', '0::/system.slice/k3s.service/runtime\n', 'k3s.service'],
    ['another control group namespace', '0::/../../../system.slice/crio.service\n', 'crio.service'],
    [
      'an instance in a slice of its own',
      '0::/system.slice/system-docker.slice/docker@b.service\n',
      'docker@b.service',
    ],
    [
      'version 1',
      '9:name=systemd:/system.slice/docker.service\n8:pids:/system.slice/docker.service\n',
      'docker.service',
    ],
    ['both versions', '1:name=systemd:/system.slice/crio.service\n0::/system.slice/crio.service\n', 'crio.service'],
    ['version 2 beside a foreign version 1', '1:name=systemd:/\n0::/system.slice/crio.service\n', 'crio.service'],
  ])('is its own: %s', (_, groups, unit) => {
    expect(unitOf(groups)).toBe(unit);
  });

  it.each([
    ['no service manager', '0::/\n'],
    ['a session', '0::/user.slice/user-0.slice/session-3.scope\n'],
    ['a pod', '0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-abc.scope/system.slice/containerd.service\n'],
    ['a pod below the runtime', '0::/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:abc\n'],
    ['a pod seen from another', '0::/../../kubepods-besteffort.slice/x/containerd.service\n'],
    ['a container', '0::/system.slice/docker-abc.scope/system.slice/containerd.service\n'],
    ["a user's own manager", '0::/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service\n'],
    ['a controller alone', '4:memory:/system.slice/containerd.service\n1:name=systemd:/\n'],
  ])('is none: %s', (_, groups) => {
    expect(unitOf(groups)).toBeUndefined();
  });
});

describe('whether a process still runs', () => {
  it('goes by its start, since another may have its number', () => {
    const host = hostWith({ pid: 9, comm: 'containerd', ticks: 1_234 });
    expect(isRunning(host, { pid: 9, started: 12.34 })).toBe(true);
    expect(isRunning(host, { pid: 9, started: 11 })).toBe(false);
    expect(isRunning(host, { pid: 10, started: 12.34 })).toBe(false);
  });
});
