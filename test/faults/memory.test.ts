// The daemon as shipped, in a control group that kills what wants more than its limit, with the host's whole store and a
// hundred anchors. The refresh command and all it starts are in the group too, as they are in a pod.
import { existsSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, inject, test } from 'vitest';
import { startDaemon } from '../bench/daemon.ts';
import { digestOf, eventually } from '../sandbox/harness/agent.ts';
import { makeCert } from '../sandbox/harness/certs.ts';
import { inBundle } from '../sandbox/harness/host.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { createWorld } from '../sandbox/harness/world.ts';
import { isFull } from './harness/choice.ts';

const anchors = 100;

interface Group extends AsyncDisposable {
  readonly wrapper: readonly string[];
  /** The most that was charged at once, in MiB: what the kernel kept of files too, until it needed the room. */
  readonly peak: number;
  /** How many processes were killed for want of memory. */
  readonly killed: number;
}

/** The limit in the manifest, in MiB. */
function limitOfManifest(): number {
  const manifest = readFileSync(new URL('../../deploy/base/daemonset.yaml', import.meta.url), 'utf8');
  return Number(/limits:[^]*?memory: (\d+)Mi/.exec(manifest)?.[1]);
}

/**
 * A group of its own at the top of the hierarchy, by version 1 or 2 of the interface. Who reads a file first is charged for
 * what the kernel keeps of it.
 * @param program is copied in the group and started from there, so that the group is charged for it too
 */
function openGroup(limit: number, program?: string): Group {
  const bytes = String(limit * 2 ** 20);
  // What it may have of memory and swap together, or of swap alone: without it a group is never killed, but swapped out.
  const [top, names, noSwap] = existsSync('/sys/fs/cgroup/memory')
    ? (['/sys/fs/cgroup/memory', ['limit_in_bytes', 'max_usage_in_bytes', 'oom_control'], bytes] as const)
    : (['/sys/fs/cgroup', ['max', 'peak', 'events'], '0'] as const);
  if (top === '/sys/fs/cgroup') writeFileSync(join(top, 'cgroup.subtree_control'), '+memory');
  const group = mkdtempSync(join(top, 'node-ca-trust-faults-'));
  const [max = '', peak = '', events = ''] = names.map((name) => join(group, `memory.${name}`));
  writeFileSync(max, bytes);
  // Where the kernel counts no swap there is no such file.
  for (const name of ['memory.memsw.limit_in_bytes', 'memory.swap.max']) {
    if (existsSync(join(group, name))) writeFileSync(join(group, name), noSwap);
  }
  const start = program === undefined ? 'exec "$@"' : `cp "$1" ${program}; shift; exec ${program} "$@"`;
  return {
    wrapper: ['sh', '-c', `echo $$ > ${group}/cgroup.procs; ${start}`, 'sh'],
    get peak() {
      return Number(readFileSync(peak, 'utf8')) / 2 ** 20;
    },
    get killed() {
      return Number(/^oom_kill (\d+)$/m.exec(readFileSync(events, 'utf8'))?.[1]);
    },
    async [Symbol.asyncDispose]() {
      // The kernel lets go of a group a little after its last process has ended.
      await eventually(() => {
        rmdirSync(group);
      });
    },
  };
}

// Below 96 MiB, once it is charged for its own program, Node reads that from the disk again and again: nothing is killed,
// but a pass takes a minute.
const limits = [
  // 36 were seen. On many cores, and where the files of the refresh command are read for the first time, it takes more.
  { limit: 64, peakAtMost: 56, program: undefined, about: 'its program not counted' },
  // Copying the program takes what there is.
  {
    limit: limitOfManifest(),
    peakAtMost: limitOfManifest(),
    program: 'node',
    about: 'the limit of deploy/base, its program counted',
  },
];
const rounds = isFull ? 4 : 2;

test.each(isFull ? limits : limits.slice(0, 1))(
  `passes with ${anchors} anchors within $limit MiB, $about`,
  async ({ limit, peakAtMost, program }) => {
    const directory = await mkdtemp(join(tmpdir(), 'faults-'));
    const production = inject('production');
    const { key: reuseKey } = await makeCert({ key: 'rsa2048' });
    const certs = await Promise.all(Array.from({ length: anchors + 1 }, () => makeCert({ reuseKey })));
    await using world = await createWorld();
    await using group = openGroup(limit, program && join(directory, program));
    const some = (round: number) => certs.slice(round % 2, (round % 2) + anchors);
    const filesOf = (round: number) =>
      Object.fromEntries(some(round).map(({ pem }, index) => [`${index}.crt`, pem] as const));
    await using secret = await mountSecret(filesOf(0));
    await using daemon = startDaemon(production, world.root, secret.directory, { wrapper: group.wrapper });
    const peaks: string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await secret.swap(filesOf(round));
      await daemon.ready(digestOf(some(round)));
      const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8');
      peaks.push((Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) / 1024).toFixed(0));
    }
    console.log(
      `MiB of ${limit}: the group ${group.peak.toFixed(0)}, the agent ${peaks.join(', ')} at most, pass by pass`,
    );
    expect(group.killed).toBe(0);
    expect(group.peak).toBeLessThanOrEqual(peakAtMost);
    const held = await inBundle(world);
    for (const { fingerprint } of some(1)) expect(held).toContain(fingerprint);
    await rm(directory, { recursive: true });
  },
);
