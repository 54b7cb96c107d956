// A control group for each node, in every hierarchy of the machine (version 1, 2, or both beside each other). A node
// takes its own for the root of them all, so two kubelets never see each other's pods.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeName } from '../cluster.ts';
import { controlGroup } from './layout.ts';

/** Makes a node's groups, empty ones. */
export async function makeControlGroups(node: NodeName): Promise<void> {
  await removeControlGroups(node);
  for (const base of bases()) {
    for (const directory of [base, join(base, node)]) {
      mkdirSync(directory, { recursive: true });
      // A new group of this controller has no processor and no memory, and nothing could run in it.
      for (const file of ['cpuset.cpus', 'cpuset.mems'].filter((name) => existsSync(join(directory, name)))) {
        writeFileSync(join(directory, file), readFileSync(join(directory, '..', file)));
      }
    }
  }
}

/** A process is in a node's groups once it has written its number into each of these. */
export function membersOf(node: NodeName, { divided = isUnified() } = {}): string[] {
  return found().map((base) => join(base, node, divided ? 'system' : '', 'cgroup.procs'));
}

/**
 * In version 2 a group either holds processes or is divided. A node's first processes were in its root when they made
 * that their namespace: they step aside, and the root is divided.
 */
export function divide(node: NodeName): void {
  if (!isUnified()) return;
  for (const directory of found().map((base) => join(base, node))) {
    mkdirSync(join(directory, 'system'), { recursive: true });
    for (const pid of words(join(directory, 'cgroup.procs'))) {
      writeFileSync(join(directory, 'system/cgroup.procs'), pid);
    }
    enableControllers(directory);
  }
}

/** Removes a node's groups, or those of the whole cluster. Throws when a process stays in one. */
export async function removeControlGroups(node?: NodeName): Promise<void> {
  const directories = found().map((base) => join(base, node ?? ''));
  // The kernel lets go of a group a little after its last process has ended.
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (directories.filter((directory) => !remove(directory)).length === 0) return;
    await sleep(50);
  }
  throw new Error(
    `control groups are still in use: ${directories.filter((directory) => existsSync(directory)).join(' ')}`,
  );
}

/** Whether it is gone, with what was below it. */
function remove(directory: string): boolean {
  try {
    for (const child of childrenOf(directory)) remove(child);
    rmdirSync(directory);
    return true;
  } catch {
    return !existsSync(directory);
  }
}

/** The cluster's groups that are there, wherever whoever started it was. */
function found(): string[] {
  return mounts().flatMap(({ mount }) => foundIn(mount));
}

function foundIn(directory: string): string[] {
  return childrenOf(directory).flatMap((child) => (child.endsWith(`/${controlGroup}`) ? [child] : foundIn(child)));
}

function childrenOf(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name));
  } catch {
    return [];
  }
}

/**
 * Where the groups of the cluster go. In version 1 they lie below the caller's own, whose limits and accounts they share. In version 2 they cannot,
 * since that one holds the caller: they lie at the top.
 */
function bases(): string[] {
  const groups = new Map(lines('/proc/self/cgroup').map((line) => parseOwn(line)));
  return mounts().map(({ mount, root, controllers }) => {
    const at = isUnified() ? '' : relative(root, groups.get(controllers) ?? '/');
    if (isUnified()) enableControllers(mount);
    const own = join(mount, at.startsWith('..') ? '' : at, controlGroup);
    // Whoever started the cluster may have been somewhere else.
    return foundIn(mount)[0] ?? own;
  });
}

/** `4:memory:/own/group`, and `0::/own/group` for version 2. */
function parseOwn(line: string): [string, string] {
  const [, controllers = '', ...path] = line.split(':');
  return [controllers, path.join(':')];
}

interface Mount {
  readonly mount: string;
  /** Which group of the hierarchy is seen at the mount. */
  readonly root: string;
  /** As /proc/self/cgroup names them; empty for version 2. */
  readonly controllers: string;
}

function mounts(): Mount[] {
  return lines('/proc/self/mountinfo').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '/', mount = ''] = before.split(' ');
    const [type = '', , options = ''] = after.split(' ');
    if (!mount.startsWith('/sys/fs/cgroup')) return [];
    if (type === 'cgroup2') return [{ mount, root, controllers: '' }];
    const known = options
      .split(',')
      .filter((option) => !/^(rw|ro|xattr|clone_children|noprefix|release_agent=.*)$/.test(option));
    return type === 'cgroup' ? [{ mount, root, controllers: known.join(',') }] : [];
  });
}

function isUnified(): boolean {
  return existsSync('/sys/fs/cgroup/cgroup.controllers');
}

function enableControllers(directory: string): void {
  const enabled = words(join(directory, 'cgroup.subtree_control'));
  const missing = words(join(directory, 'cgroup.controllers')).filter((controller) => !enabled.includes(controller));
  for (const controller of missing) writeFileSync(join(directory, 'cgroup.subtree_control'), `+${controller}`);
}

function lines(file: string): string[] {
  return readFileSync(file, 'utf8').trim().split('\n');
}

function words(file: string): string[] {
  return readFileSync(file, 'utf8')
    .split(/\s+/)
    .filter((word) => word !== '');
}
