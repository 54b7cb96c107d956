// Every call by which a pass changes the host or starts a process goes wrong once: killed there, and failing with each
// errno. Whatever it is, readers find a whole bundle, nothing of another's is changed, an error is one line for a person,
// and the next pass converges.
import { type TestContext, expect, inject } from 'vitest';
import { chooseSeed, randomFrom } from '../../sandbox/harness/chaos.ts';
import { anyOf, choose } from './choice.ts';
import { type Kind, debian } from './kinds.ts';
import { openStage, scenarios } from './stage.ts';
import { type Blow, type Target, blow, survey } from './sweep.ts';
import { openTally } from './tally.ts';
import { errnos } from './trace.ts';

/** All kills, then all errors of one kind after the other: the longer a run lasts, the more it has seen of every call. */
function blowsOn(targets: readonly Target[], random: () => number): readonly Blow[] {
  // Node's own threads wake each other by writes, and do not outlive it when they cannot.
  const outlived = targets.filter(({ call }) => call.name !== 'write');
  return [
    ...targets.map((target, index) => ({ target, fault: { kind: 'kill', asContainer: index % 2 === 0 } }) as const),
    ...errnos.flatMap((kind) => targets.map((target) => ({ target, fault: { kind } }) as const)),
    ...outlived.map((target) => ({ target, fault: { kind: anyOf(errnos, random), lasting: true } }) as const),
  ];
}

/**
 * Tries the calls of a pass on a host of one kind.
 * @param faults so many kills, and so many errors, in each scenario, unless the run is a full one
 */
export async function tryEveryCall(
  context: TestContext,
  { kind = debian, faults }: { kind?: Kind; faults: number },
): Promise<void> {
  const seed = chooseSeed();
  console.log(`seed ${seed} (NODE_CA_TRUST_SEED=${seed} repeats it)`);
  const random = randomFrom(seed);
  const { program } = inject('production');
  // Threads of V8's own that meet at a lock open files, now and then: on one thread a pass makes the same calls as the last.
  const command = [process.execPath, '--single-threaded', '--max-semi-space-size=4', program];
  await using stage = await openStage(true, kind);
  const tally = openTally(context, kind.name);
  // What is edited for a container runtime is the same on all.
  for (const scenario of scenarios(stage.certs).slice(0, kind === debian ? 5 : 3)) {
    const { ends, targets } = await survey(stage, scenario, command);
    for (const { call } of targets) tally.seen(call.name, 1);
    const blows = blowsOn(targets, random);
    console.log(`${scenario.name}: ${targets.length} calls, ${blows.length} faults`);
    for (const one of choose(blows, ({ fault }) => fault.kind === 'kill', faults, random))
      await blow(stage, scenario, command, ends, one, tally);
  }
  expect({ seed, failures: tally.failures }).toEqual({ seed, failures: [] });
}
