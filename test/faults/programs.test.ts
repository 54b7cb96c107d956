// The programs that a pass starts in the host's root go wrong, one call after the other: the refresh command's shells, each
// program that it runs, flock. One dies alone, or with the agent and all the rest; or its call fails.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildProduction } from '../bench/production.ts';
import { chooseSeed, randomFrom } from '../sandbox/harness/chaos.ts';
import type { Errno } from './harness/trace.ts';
import { type ChildCall, type ChildFault, preparePrograms, strikeProgram, surveyPrograms } from './harness/children.ts';
import { anyOf, choose } from './harness/choice.ts';
import { look, problemsNow } from './harness/invariants.ts';
import { type Scenario, type Stage, openStage, scenarios, wordsOf } from './harness/stage.ts';
import { hasCoped, prepare, problemsAfterwards, uptime } from './harness/sweep.ts';
import { type Tally, openTally } from './harness/tally.ts';

/** An injected call of the script's is made to fail in each of its shells: one of them is enough. */
function once(calls: readonly ChildCall[]): readonly ChildCall[] {
  const isScript = ({ run }: ChildCall): boolean => run.startsWith('update-ca-certificates:');
  const known = new Map(calls.map((call) => [isScript(call) ? `${call.name} ${call.ordinal}` : call, call]));
  return [...known.values()].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** The program and the call, for the table. */
function stepOf({ run, name }: ChildCall): string {
  return `${run.slice(0, run.indexOf(':'))}: ${name}`;
}

function faultsOf(calls: readonly ChildCall[], random: () => number): readonly ChildFault[] {
  return calls.flatMap((call): readonly ChildFault[] => {
    const error = anyOf<Errno>(['ENOSPC', 'EIO', 'EACCES', 'EMFILE'], random);
    const kills: readonly ChildFault['kind'][] = call.run.startsWith('update') ? ['kill'] : ['kill', 'kill all'];
    const kinds: readonly ChildFault['kind'][] = [...kills, error];
    return kinds.map((kind) => ({ call, kind }));
  });
}

async function blow(
  stage: Stage,
  scenario: Scenario,
  command: readonly string[],
  ends: Parameters<typeof problemsNow>[2],
  fault: ChildFault,
  tally: Tally,
): Promise<void> {
  const { run, name, ordinal, label } = fault.call;
  const place = `${run}: ${name} ${ordinal} (${label})`;
  const [step, isKill] = [stepOf(fault.call), fault.kind.startsWith('kill')];
  await prepare(stage, scenario);
  const begun = uptime();
  const ended = await strikeProgram(stage.world, command, fault);
  if (!ended.hit) {
    tally.count(step, isKill, [`${scenario.name}: ${fault.kind} at ${place}: never hit`]);
    return;
  }
  const problems = await problemsNow(stage, scenario, ends);
  if (fault.kind !== 'kill all' && !(await hasCoped(stage, ends, ended))) {
    const isOneLine = /^node-ca-trust: [^\n]{1,600} on the host[^\n]{1,600}\n$/.test(ended.stderr);
    if (ended.code !== 1 || !isOneLine)
      problems.push(`exit code ${ended.code ?? 'none'}, and on stderr: ${ended.stderr}`);
  }
  problems.push(...(await problemsAfterwards(stage, scenario, ends, begun)));
  tally.count(
    step,
    isKill,
    problems.map((problem) => `${scenario.name}: ${fault.kind} at ${place}: ${problem}`),
  );
}

test('a program of the host that is killed, or fails, at any call of its own', async (context) => {
  const seed = chooseSeed();
  console.log(`seed ${seed} (NODE_CA_TRUST_SEED=${seed} repeats it)`);
  const random = randomFrom(seed);
  const directory = await mkdtemp(join(tmpdir(), 'faults-'));
  const { program } = await buildProduction(join(directory, 'build'));
  await using stage = await openStage(false);
  await preparePrograms(stage.world);
  const tally = openTally(context, 'its programs');
  for (const scenario of scenarios(stage.certs).slice(0, 3)) {
    const command = [process.execPath, '--max-semi-space-size=4', program, ...wordsOf(stage, scenario.pass)];
    await prepare(stage, scenario);
    const before = await look(stage);
    const calls = once(await surveyPrograms(stage.world, command));
    const ends = { before, after: await look(stage) };
    for (const call of calls) tally.seen(stepOf(call), 1);
    const faults = faultsOf(calls, random);
    console.log(`${scenario.name}: ${calls.length} calls, ${faults.length} faults`);
    for (const fault of choose(faults, ({ kind }) => kind.startsWith('kill'), 3, random))
      await blow(stage, scenario, command, ends, fault, tally);
  }
  await rm(directory, { recursive: true });
  expect({ seed, failures: tally.failures }).toEqual({ seed, failures: [] });
});
