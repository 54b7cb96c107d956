// The programs that a pass starts in the host's root go wrong, one call after the other: the refresh command's shells, each
// program that it runs, flock. One dies alone, or with the agent and all the rest; or its call fails.
import { readdir, utimes } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type TestContext, expect, inject } from 'vitest';
import { chooseSeed, randomFrom } from '../../sandbox/harness/chaos.ts';
import { errnos } from './trace.ts';
import {
  type ChildCall,
  type ChildFault,
  isOfTool,
  preparePrograms,
  programsOf,
  strikeProgram,
  surveyPrograms,
} from './children.ts';
import { anyOf, choose } from './choice.ts';
import * as kinds from './kinds.ts';
import { look, problemsNow } from './invariants.ts';
import { type Scenario, type Stage, openStage, scenarios, wordsOf } from './stage.ts';
import { hasCoped, prepare, problemsAfterwards, uptime } from './sweep.ts';
import { type Tally, openTally } from './tally.ts';

/** An injected call of the script's is made to fail in each of its shells: one of them is enough. */
function once(calls: readonly ChildCall[]): readonly ChildCall[] {
  const known = new Map(calls.map((call) => [isOfTool(call) ? `${call.name} ${call.ordinal}` : call, call]));
  return [...known.values()].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** What trust(1) does for one certificate after the other, and a piece of a file after the other. */
function alike({ run, name, label }: ChildCall): string {
  const place = label
    .replace(/\.[A-Za-z0-9]{6}(?=[">])/g, '')
    .replaceAll(/\/(hashed|directory-hash|tls\/certs|ca-certificates\/(?:pem|openssl))\/[^/">]+/g, '/$1/*');
  return `${run.replace(/:.*/, '')} ${name} ${place}`;
}

/** The first and the last of calls that are alike. */
function firstAndLast(calls: readonly ChildCall[]): readonly ChildCall[] {
  const turn = ({ run, ordinal }: ChildCall): number => Number(/\d+$/.exec(run)?.[0]) * 10_000 + ordinal;
  const inTurn = [...calls].sort((a, b) => turn(a) - turn(b));
  const ends = [...Map.groupBy(inTurn, alike).values()].flatMap((group) => [group[0], group.at(-1)]);
  const chosen = new Set(ends);
  return calls.filter((call) => chosen.has(call));
}

/** The program and the call, for the table. */
function stepOf({ run, name }: ChildCall): string {
  return `${run.slice(0, run.indexOf(':'))}: ${name}`;
}

function faultsOf(calls: readonly ChildCall[], random: () => number): readonly ChildFault[] {
  return calls.flatMap((call): readonly ChildFault[] => {
    const error = anyOf(errnos, random);
    const kills: readonly ChildFault['kind'][] = isOfTool(call) ? ['kill'] : ['kill', 'kill all'];
    const kinds: readonly ChildFault['kind'][] = [...kills, error];
    return kinds.map((kind) => ({ call, kind }));
  });
}

/** Makes what a killed trust(1) left beside the bundle as old as it must be for the next pass to take it away. */
async function age({ world, kind: { bundle } }: Stage): Promise<void> {
  const names = await readdir(world.path(dirname(bundle)));
  const left = names.filter((name) => name.startsWith(basename(bundle)) && /\.[A-Za-z0-9]{6}$/.test(name));
  const then = Date.now() / 1_000 - 120;
  for (const name of left) await utimes(world.path(join(dirname(bundle), name)), then, then);
}

async function blow(
  whole: Stage,
  scenario: Scenario,
  command: readonly string[],
  ends: Parameters<typeof problemsNow>[2],
  fault: ChildFault,
  tally: Tally,
): Promise<void> {
  const { run, name, ordinal, label } = fault.call;
  const place = `${run}: ${name} ${ordinal} (${label})`;
  const [step, what] = [stepOf(fault.call), fault.kind === 'kill all' ? 'kill' : fault.kind];
  const stage = fault.kind === 'kill all' ? whole : { ...whole, kind: { ...whole.kind, isToolFailed: true } };
  await prepare(stage, scenario);
  const begun = uptime();
  const ended = await strikeProgram(stage.world, command, fault);
  if (!ended.hit) {
    tally.count(step, what, [`${scenario.name}: ${fault.kind} at ${place}: never hit`]);
    return;
  }
  const problems = await problemsNow(stage, scenario, ends);
  if (fault.kind !== 'kill all' && !(await hasCoped(stage, ends, ended))) {
    const isOneLine = /^node-ca-trust: [^\n]{1,600} on the host[^\n]{1,600}\n$/.test(ended.stderr);
    if (ended.code !== 1 || !isOneLine)
      problems.push(`exit code ${ended.code ?? 'none'}, and on stderr: ${ended.stderr}`);
  }
  await age(stage);
  problems.push(...(await problemsAfterwards(stage, scenario, ends, begun)));
  tally.count(
    step,
    what,
    problems.map((problem) => `${scenario.name}: ${fault.kind} at ${place}: ${problem}`),
  );
}

/**
 * Tries the calls of the programs that passes start on a host.
 * @param faults so many kills, and so many errors, in each scenario, unless the run is a full one
 */
export async function tryEveryProgram(
  context: TestContext,
  { name, faults }: { name: keyof typeof programsOf; faults: number },
): Promise<void> {
  const seed = chooseSeed();
  console.log(`seed ${seed} (NODE_CA_TRUST_SEED=${seed} repeats it)`);
  const random = randomFrom(seed);
  const { program } = inject('production');
  await using stage = await openStage(false, kinds[name]);
  await preparePrograms(stage.world, programsOf[name]);
  const tally = openTally(context, `programs of ${name}`);
  for (const scenario of scenarios(stage.certs).slice(0, 3)) {
    const command = [process.execPath, '--max-semi-space-size=4', program, ...wordsOf(stage, scenario.pass)];
    await prepare(stage, scenario);
    const before = await look(stage);
    const made = once(await surveyPrograms(stage.world, command));
    const calls = name === 'debian' ? made : firstAndLast(made);
    const ends = { before, after: await look(stage) };
    for (const call of calls) tally.seen(stepOf(call), 1);
    const all = faultsOf(calls, random);
    console.log(`${scenario.name}: ${calls.length} calls, ${all.length} faults`);
    for (const fault of choose(all, ({ kind }) => kind.startsWith('kill'), faults, random))
      await blow(stage, scenario, command, ends, fault, tally);
  }
  expect({ seed, failures: tally.failures }).toEqual({ seed, failures: [] });
}
