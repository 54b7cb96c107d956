// Faults of the programs that a pass starts in the host's root: the refresh command, each program that it runs, flock. In
// the first directory of the PATH stands, before each of them, a script that counts its runs; the one run that is meant is
// made under strace.
import { execa } from 'execa';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { cleanEnvironment } from '../../sandbox/harness/environment.ts';
import type { World } from '../../sandbox/harness/world.ts';
import { type Call, type Errno, linesIn, names } from './trace.ts';

/** The refresh command of a host, a shell script, and the programs that a pass starts beside it or by it. */
export interface Programs {
  readonly tool: string;
  readonly others: readonly string[];
}

export const programsOf: Readonly<Record<'debian' | 'rhel' | 'fedora' | 'suse', Programs>> = {
  debian: {
    tool: 'update-ca-certificates',
    others: [
      ...['flock', 'mktemp', 'sed', 'basename', 'readlink', 'ln', 'rm', 'find'],
      ...['sort', 'wc', 'openssl', 'chmod', 'mv'],
    ],
  },
  rhel: { tool: 'update-ca-trust', others: ['flock', 'trust'] },
  fedora: { tool: 'update-ca-trust', others: ['flock', 'trust', 'find', 'readlink', 'ln'] },
  suse: { tool: 'update-ca-certificates', others: ['flock', 'trust', 'mkdir', 'mv', 'stat', 'cat', 'rm', 'chmod'] },
};

const place = '/tmp/faults';
const inPath = '/usr/sbin';

/**
 * Of a shell script only its own shells are followed, not what they start: that is another program's run. What dies with
 * the whole container dies here: the agent, found among those that started this by the name that Node gives its first
 * thread, and its command's process group.
 */
const wrapper = `#!/bin/sh
name=\${0##*/}
count=0
[ ! -e ${place}/count.$name ] || read -r count < ${place}/count.$name
count=$((count + 1))
echo $count > ${place}/count.$name
real=${place}/real/$name
read -r meant options < ${place}/meant
case $meant in
  all) ;;
  $name:$count) ;;
  *) exec $real "$@" ;;
esac
[ ! -e ${place}/whole ] || [ $meant = all ] || {
  strace $options -o ${place}/log.$name:$count $real "$@" || status=$?
  [ "$status" = 137 ] || exit $status
  pid=$$
  until read -r agent < /proc/$pid/comm && [ "$agent" = MainThread ]; do
    while read -r key value rest; do
      [ "$key" != PPid: ] || parent=$value
    done < /proc/$pid/status
    pid=$parent
  done
  kill -KILL $pid
  kill -KILL 0
}
exec strace $options -o ${place}/log.$name:$count $real "$@"
`;

/** A call of one run of a program. */
export interface ChildCall extends Call {
  /** The program, and which of its runs in a pass. */
  readonly run: string;
}

export interface ChildFault {
  readonly call: ChildCall;
  readonly kind: 'kill' | 'kill all' | Errno;
}

/** Puts the scripts in the PATH of the world; a link decides whether they or the programs themselves are found there. */
export async function preparePrograms(world: World, { tool, others }: Programs): Promise<void> {
  await mkdir(world.path(`${place}/scripts`), { recursive: true });
  await mkdir(world.path(`${place}/real`));
  await writeFile(world.path(`${place}/wrapper`), wrapper);
  await chmod(world.path(`${place}/wrapper`), 0o755);
  for (const name of [tool, ...others]) {
    const own = `${inPath}/${name}`;
    const isInTheWay = existsSync(world.path(own));
    const real = isInTheWay ? `${own}.own` : `/usr/bin/${name}`;
    if (isInTheWay) await rename(world.path(own), world.path(real));
    await symlink(real, world.path(`${place}/real/${name}`));
    await symlink(`${place}/wrapper`, world.path(`${place}/scripts/${name}`));
    await symlink(`${place}/found/${name}`, world.path(`${inPath}/${name}`));
  }
  await find(world, 'real');
}

async function find(world: World, what: 'scripts' | 'real'): Promise<void> {
  await symlink(what, world.path(`${place}/next`));
  await rename(world.path(`${place}/next`), world.path(`${place}/found`));
}

async function reset(world: World, meant: string, isWhole: boolean): Promise<void> {
  for (const name of await readdir(world.path(place))) {
    if (/^(count|log)\.|^whole$/.test(name)) await rm(world.path(`${place}/${name}`));
  }
  await writeFile(world.path(`${place}/meant`), `${meant}\n`);
  if (isWhole) await writeFile(world.path(`${place}/whole`), '');
}

/** Whether a run is one of the refresh command. */
export function isOfTool({ run }: Pick<ChildCall, 'run'>): boolean {
  return run.startsWith('update-ca-');
}

/** strace's options for a run of a program. */
function optionsFor(run: string, inject: readonly string[]): string {
  const follow = isOfTool({ run }) ? ['--follow-forks', '--detach-on=execve'] : [];
  return ['-q', '-y', '-s', '0', ...follow, '-e', `trace=${names}`, ...inject].join(' ');
}

export interface ChildEnded {
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly hit: boolean;
}

interface Ran extends Omit<ChildEnded, 'hit'> {
  /** The agent itself was killed. */
  readonly isKilled: boolean;
}

async function run(world: World, command: readonly string[]): Promise<Ran> {
  const [first = '', ...rest] = command;
  const options = { env: cleanEnvironment, extendEnv: false, reject: false, stripFinalNewline: false } as const;
  await find(world, 'scripts');
  try {
    const { exitCode, signal, stdout, stderr } = await execa(first, rest, { ...options, timeout: 120_000 });
    return { code: exitCode, stdout, stderr, isKilled: signal === 'SIGKILL' };
  } finally {
    await find(world, 'real');
  }
}

/** Each call of each program that a pass starts, when nothing goes wrong. */
export async function surveyPrograms(world: World, command: readonly string[]): Promise<readonly ChildCall[]> {
  // What a script becomes at its end is another program's run.
  await reset(world, `all --detach-on=execve ${optionsFor('', [])}`, false);
  const { code, stderr } = await run(world, command);
  if (code !== 0) throw new Error(`it fails by itself: ${stderr}`);
  const logs = (await readdir(world.path(place))).filter((name) => name.startsWith('log.'));
  const calls = logs.map(async (name) => {
    const log = await readFile(world.path(`${place}/${name}`), 'utf8');
    return linesIn(log, '', false).flatMap(({ call, isMeant }) => (isMeant ? { ...call, run: name.slice(4) } : []));
  });
  const all = (await Promise.all(calls)).flat();
  if (all.length === 0) throw new Error('no program was found by way of the scripts');
  return all;
}

/** Makes the pass with one call of one program going wrong. */
export async function strikeProgram(world: World, command: readonly string[], fault: ChildFault): Promise<ChildEnded> {
  const { call, kind } = fault;
  const isKill = kind === 'kill' || kind === 'kill all';
  const inject = ['-e', `inject=${call.name}:${isKill ? 'signal=KILL' : `error=${kind}`}:when=${call.ordinal}`];
  await reset(world, `${call.run} ${optionsFor(call.run, inject)}`, kind === 'kill all');
  const { isKilled, ...ended } = await run(world, command);
  const log = await readFile(world.path(`${place}/log.${call.run}`), 'utf8').catch(() => '');
  const isStruck = log.includes(isKill ? '+++ killed by SIGKILL' : '(INJECTED)');
  return { ...ended, hit: isStruck && isKilled === (kind === 'kill all') };
}
