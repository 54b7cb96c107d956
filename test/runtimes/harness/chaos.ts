// Kills the agent while it edits the directories of registries, and says what a containerd found there at that moment.
import { randomInt } from 'node:crypto';
import { readdirSync, watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { agent, signalGroup, startProcess } from '../../sandbox/harness/agent.ts';
import { certsDirectory, type Containerd } from './containerd.ts';
import type { Machine } from './machine.ts';
import { privateImage, publicImage } from './scene.ts';
import { caFilesOf, hostsWithoutCa, listing } from './verdict.ts';

export interface Kills {
  kills: number;
  /** The program had not ended when it was killed. */
  underWay: number;
  /** The directories were then neither as before nor as they were to be. */
  halfWay: number;
  /** Of the public image, before, during and after. */
  pulls: number;
  /** What was wrong, one line each; empty when all was well. */
  readonly failures: string[];
}

export interface Subject {
  readonly machine: Machine;
  readonly containerd: Containerd;
  /** The hosts.toml files that are there without the agent: their texts, by path. */
  readonly files: Readonly<Record<string, string>>;
  /** Whose CA signs for the registry of the private image. The system has trusted that of the public one all along. */
  readonly bundle: string;
}

/** What is killed, one after the other: each begins where the one before has come to in the end. */
const order = ['apply', 'remove', 'run', 'remove'] as const;
type Command = (typeof order)[number];

/** Makes everything that a process starts end with it, as when a container is killed. */
const asContainer = ['unshare', '--pid', '--fork', '--kill-child=KILL'];

/**
 * Has the edits made and taken back again and again, and kills the agent at a random moment of each. The moment counts
 * from the first change of a directory; each fourth time from the agent's start.
 */
export async function killEdits(subject: Subject, kills: number, random: () => number): Promise<Kills> {
  const { machine, containerd, bundle } = subject;
  const counts: Kills = { kills: 0, underWay: 0, halfWay: 0, pulls: 0, failures: [] };
  const fail = (what: string): void => void counts.failures.push(`kill ${counts.kills}: ${what}`);
  const state = (): Promise<string[]> => listing(machine, certsDirectory);
  const pull = async (): Promise<void> => {
    const { ok, text } = await containerd.pullAndKeep(publicImage);
    counts.pulls += 1;
    if (!ok) fail(text);
  };
  const untouched = await state();
  const spans = { apply: await timeEdit(subject, 'apply'), remove: 0 };
  const applied = await state();
  spans.remove = await timeEdit(subject, 'remove');
  console.log(`the edits take ${spans.apply.toFixed(1)} ms, and ${spans.remove.toFixed(1)} ms to be taken back`);

  /** The next pass of the same kind comes to the end. */
  const converge = async (command: Command): Promise<void> => {
    const isGone = command === 'remove';
    const { code, report } = await (isGone ? agent(machine).remove() : agent(machine).apply(bundle));
    if (code !== 0) fail(`the next pass does not converge: ${report.reasons.join('; ')}`);
    const wrong = differences(isGone ? untouched : applied, await state());
    if (wrong.length > 0) fail(`after the next pass of ${command}: ${wrong.join('; ')}`);
    if ((await containerd.pull(privateImage)).ok === isGone)
      fail('after the next pass the private image is not as said');
  };

  while (counts.kills < kills) {
    const command = order[counts.kills % order.length] ?? 'apply';
    const running = start(subject, command, counts.kills % 3 === 0 ? asContainer : []);
    const isOver = running.ended.then(() => undefined);
    let pulling: Promise<void> | undefined;
    if (counts.kills % 4 === 3) {
      await Promise.race([isOver, sleep(random() * 1_000)]);
    } else {
      await Promise.race([isOver, changes(machine, isOver).first]);
      pulling = pull();
      await Promise.race([isOver, sleep(random() * spans[command === 'remove' ? 'remove' : 'apply'])]);
    }
    running.kill();
    counts.kills += 1;
    if ((await running.ended).signal === 'SIGKILL') counts.underWay += 1;
    const found = await state();
    if ([untouched, applied].every((known) => differences(known, found).length > 0)) counts.halfWay += 1;
    for (const problem of await problemsOf(subject)) fail(`${command}: ${problem}`);
    await pulling;
    await pull();
    await converge(command);
  }
  return counts;
}

/** The lines of two listings that are not in both. */
function differences(expected: readonly string[], found: readonly string[]): string[] {
  return [
    ...expected.filter((line) => !found.includes(line)).map((line) => `- ${line}`),
    ...found.filter((line) => !expected.includes(line)).map((line) => `+ ${line}`),
  ];
}

function start({ machine, bundle }: Subject, command: Command, wrapper: readonly string[] = []) {
  const words = [command, '--host-root', machine.root, ...(command === 'remove' ? [] : ['--bundle', bundle])];
  const { child, ended } = startProcess(
    [...words, ...(command === 'run' ? ['--listen', `127.77.${randomInt(1, 255)}.${randomInt(1, 255)}:9641`] : [])],
    wrapper,
  );
  child.stdout.resume();
  const kill = (): void => {
    if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
  };
  return { ended, kill };
}

/** Milliseconds from the first change of a directory to the last one, by a program that nobody kills. */
async function timeEdit(subject: Subject, command: 'apply' | 'remove'): Promise<number> {
  const { ended } = start(subject, command);
  const isOver = ended.then(() => undefined);
  const seen = changes(subject.machine, isOver);
  await isOver;
  const [first, last] = [seen.moments[0], seen.moments.at(-1)];
  if (first === undefined || last === undefined) throw new Error(`${command} has edited nothing`);
  return last - first;
}

interface Changes {
  /** Resolves with the first one. */
  readonly first: Promise<void>;
  readonly moments: readonly number[];
}

/** The moments at which something in the directory of registries, or in one of theirs, is changed. */
function changes(machine: Machine, isOver: Promise<void>): Changes {
  const directory = machine.path(certsDirectory);
  const below = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const moments: number[] = [];
  const { promise: first, resolve } = Promise.withResolvers<undefined>();
  const seen = (): void => {
    moments.push(performance.now());
    resolve(undefined);
  };
  const watchers = [directory, ...below.map(({ name }) => join(directory, name))].map((path) => watch(path, seen));
  void isOver.then(() => {
    for (const watcher of watchers) watcher.close();
  });
  return { first, moments };
}

/** What a containerd that looked now would stumble over. */
async function problemsOf({ machine, files }: Subject): Promise<string[]> {
  const problems: string[] = [];
  const named: string[] = [];
  for (const [file, original] of Object.entries(files)) {
    try {
      const text = await readFile(machine.path(file), 'utf8');
      named.push(...caFilesOf(text));
      const [now, then] = [text, original].map((hosts) => JSON.stringify(hostsWithoutCa(hosts)));
      if (now !== then) problems.push(`${file} says ${now ?? ''} and not ${then ?? ''}`);
    } catch (error) {
      problems.push(`${file}: ${String(error)}`);
    }
  }
  const script = `directory=$1; shift
    find "$directory" -name '*.crt' -exec printf '%s\\n' '{}' + | cat - "$@" | while read -r file; do
      openssl x509 -noout -in "$file" 2> /dev/null || echo "$file is no CA file"
    done`;
  await machine.write('/tmp/named', [...new Set(named)].map((file) => `${file}\n`).join(''));
  const { stdout } = await machine.inside('sh', '-c', script, 'sh', certsDirectory, '/tmp/named');
  return [...problems, ...stdout.split('\n').filter(Boolean)];
}
