// Lets one call after the other go wrong, each from the same start, and says what did not hold.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { PassOutcome } from '../../sandbox/harness/agent.ts';
import { ledger, nameOf } from '../../sandbox/harness/host.ts';
import { type Ends, differences, look, problemsNow, versions } from './invariants.ts';
import { type Scenario, type Stage, makePass, takeHeard, wordsOf } from './stage.ts';
import type { Tally } from './tally.ts';
import { type Call, type Ended, type Fault, trace } from './trace.ts';

/** A call by what it is about: calls of Node's own that come between may shift the count of its name. */
export interface Target {
  readonly call: Call;
  /** It is so manieth of this label. */
  readonly turn: number;
}

export function targetsIn(calls: readonly Call[]): readonly Target[] {
  const turns = new Map<string, number>();
  return calls.map((call) => {
    const turn = (turns.get(call.label) ?? 0) + 1;
    turns.set(call.label, turn);
    return { call, turn };
  });
}

const isOutput = ({ label }: Call): boolean => /^write\(<(pipe|socket)>\)$/.test(label);

/** The start of a scenario, as everything that comes before it leaves the host. */
export async function prepare(stage: Stage, scenario: Scenario): Promise<void> {
  const { code, report } = await makePass(stage, scenario.before);
  if (code !== 0) throw new Error(`${scenario.name} has no start: ${report.reasons.join('; ')}`);
  if (scenario.before.removes === true) await stage.kind.begin?.(stage.world);
  await stage.secret.swap(scenario.pass.files);
  await takeHeard(stage.world);
}

/** What the pass of a scenario does when nothing goes wrong. */
export async function survey(stage: Stage, scenario: Scenario, command: readonly string[]) {
  await prepare(stage, scenario);
  const before = await look(stage);
  const { code, stderr, calls } = await trace(command, wordsOf(stage, scenario.pass), stage.world.root);
  if (code !== 0) throw new Error(`${scenario.name} fails by itself: ${stderr}`);
  await stage.unit?.settle();
  const ends: Ends = { before, after: await look(stage) };
  if (calls.length === 0) throw new Error(`${scenario.name}: strace has seen no call`);
  // Output goes in one piece or in two, as its reader happens to be.
  return { ends, targets: targetsIn(calls).filter(({ call, turn }) => turn === 1 || !isOutput(call)) };
}

/** A link that containerd needs only for a hosts.toml that it refuses: that it could not be made is a note, and no more. */
function isSpared(stdout: string, kind: Fault['kind']): boolean {
  const { converged, notes } = JSON.parse(stdout) as PassOutcome['report'];
  const text = 'on the host is needed only where containerd refuses the hosts.toml beside it';
  return converged && notes.some((note) => note.includes(text) && note.endsWith(`(${kind})`));
}

/** One line for a person that says what is wrong, where, and what to do; the report says the same. */
function problemsOfError({ code, stdout, stderr, hit }: Ended, { kind }: Omit<Fault, 'call'>): string[] {
  if (hit.some(isOutput)) {
    const isSaid = code === 1 && /^node-ca-trust: the output cannot be written \(\w+\)\n$/.test(stderr);
    return isSaid ? [] : [`exit code ${code ?? 'none'}, and on stderr: ${stderr}`];
  }
  if (code === 0 && isSpared(stdout, kind)) return [];
  if (code !== 1) return [`exit code ${code ?? 'none'}, and on stderr: ${stderr}`];
  if (!/^node-ca-trust: [^\n]{1,600}\n$/.test(stderr)) return [`not one line: ${stderr}`];
  if (!stdout.startsWith('{')) return [`no report, but: ${stderr}`];
  const { converged, reasons } = JSON.parse(stdout) as PassOutcome['report'];
  const isTold = !converged && reasons.length > 0 && stderr.includes(`(${kind})`) && stderr.includes('on the host');
  return isTold ? [] : [`does not say what and where (${reasons.length} reasons, converged ${converged}): ${stderr}`];
}

async function hookProblems(
  { world, kind: { linkPrefix, isHeard } }: Stage,
  { appears, vanishes }: Scenario,
): Promise<string[]> {
  const lines = await takeHeard(world);
  if (linkPrefix === undefined || !isHeard) return [];
  const expected = [
    ...appears.map((cert) => `+/etc/ssl/certs/${linkPrefix}${nameOf(cert, '.pem')}`),
    ...vanishes.map((cert) => `-/etc/ssl/certs/${linkPrefix}${nameOf(cert, '.pem')}`),
  ];
  return expected.filter((line) => !lines.includes(line)).map((line) => `no hook has heard ${line}`);
}

/** Seconds since the boot. */
export function uptime(): number {
  return Number.parseFloat(readFileSync('/proc/uptime', 'utf8'));
}

/** A program that was started before the change does not know of it: the record dates the change no earlier than it was. */
async function dateProblems({ world }: Stage, { appears }: Scenario, begun: number): Promise<string[]> {
  if (appears.length === 0) return [];
  const { added } = JSON.parse(await readFile(world.path(ledger), 'utf8')) as { added: { seconds: number } };
  return added.seconds >= begun
    ? []
    : [`the record says that the change was ${begun - added.seconds} s before it began`];
}

/** The next pass comes to the end that an undisturbed one comes to, and the one after it finds nothing to do. */
export async function problemsAfterwards(
  stage: Stage,
  scenario: Scenario,
  ends: Ends,
  begun: number,
): Promise<string[]> {
  const next = await makePass(stage, scenario.pass);
  if (next.code !== 0) return [`the next pass does not converge: ${next.report.reasons.join('; ')}`];
  const problems = [
    ...differences(ends.after, await look(stage), stage.kind),
    ...(await hookProblems(stage, scenario)),
    ...(await dateProblems(stage, scenario, begun)),
  ];
  const before = await versions(stage);
  const { code, report } = await makePass(stage, scenario.pass);
  const { added, removed, repaired, refreshed, edits } = report;
  const done = [...added, ...removed, ...repaired, ...refreshed, ...edits];
  const after = await versions(stage);
  const written = [...after].filter(([path, version]) => before.get(path) !== version).map(([path]) => path);
  if (code !== 0 || done.length > 0) problems.push(`the pass after it is not idle: ${done.join(', ')}`);
  return [...problems, ...written.map((path) => `the pass after it has written ${path}`)];
}

/** That the host's tool failed beside the bundle is on record, for another run of it. */
async function isOnRecord({ world, kind }: Stage): Promise<boolean> {
  const { unheard = [] } = JSON.parse(await readFile(world.path(ledger), 'utf8')) as { unheard?: readonly string[] };
  return kind.isToolFailed === true && unheard.includes(`+${kind.bundle}`);
}

/** A pass that got over it has come to the end by itself. */
export async function hasCoped(
  stage: Stage,
  ends: Ends,
  { code, stdout }: Pick<Ended, 'code' | 'stdout'>,
): Promise<boolean> {
  if (code !== 0) return false;
  const { converged } = JSON.parse(stdout) as PassOutcome['report'];
  const different = differences(ends.after, await look(stage), stage.kind);
  const isRecord = (line: string): boolean => line.startsWith(`${ledger} is `);
  return converged && (different.length === 0 || (different.every(isRecord) && (await isOnRecord(stage))));
}

/**
 * How often a call is tried, and how long each time. Signals that come to another thread, or two as one, shift the count of
 * the writes behind them: of the output most, which comes last. Node never ends when the write of a signal fails instead.
 */
const patience = { attempts: 30, longestMs: 60_000 };
const patienceWithOutput = { attempts: 120, longestMs: 15_000 };

/** The call as it is counted now. */
async function recount(stage: Stage, scenario: Scenario, command: readonly string[], target: Target): Promise<Call> {
  await prepare(stage, scenario);
  const { calls } = await trace(command, wordsOf(stage, scenario.pass), stage.world.root);
  const found = targetsIn(calls).find((one) => one.call.label === target.call.label && one.turn === target.turn);
  return found?.call ?? target.call;
}

/** Has a call go wrong. Where another one of its name was hit, it is counted anew and tried again. */
async function strike(
  stage: Stage,
  scenario: Scenario,
  command: readonly string[],
  target: Target,
  fault: Omit<Fault, 'call'>,
) {
  let { call } = target;
  const { attempts, longestMs } = isOutput(call) ? patienceWithOutput : patience;
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    await prepare(stage, scenario);
    const begun = uptime();
    const ended = await trace(command, wordsOf(stage, scenario.pass), stage.world.root, { ...fault, call }, longestMs);
    const [hit] = ended.hit;
    const struck = targetsIn(ended.calls).find(
      (one) => one.call.name === hit?.name && one.call.ordinal === hit.ordinal,
    );
    if (struck?.call.label === target.call.label && struck.turn === target.turn) return { ended, begun };
    await makePass(stage, scenario.pass);
    call = await recount(stage, scenario, command, target);
  }
  return undefined;
}

export interface Blow {
  readonly target: Target;
  readonly fault: Omit<Fault, 'call'>;
}

/** One fault and all that follows from it. */
export async function blow(
  stage: Stage,
  scenario: Scenario,
  command: readonly string[],
  ends: Ends,
  { target, fault }: Blow,
  tally: Tally,
): Promise<void> {
  const struck = await strike(stage, scenario, command, target, fault);
  const isKill = fault.kind === 'kill';
  const place = `${target.call.label} #${target.turn}`;
  const how = `${fault.kind}${fault.lasting === true ? ' from then on' : ''}${fault.asContainer === true ? ' with all it started' : ''}`;
  if (struck === undefined) {
    tally.count(target.call.name, fault.kind, [`${scenario.name}: ${how} at ${place}: never hit`]);
    return;
  }
  const { ended, begun } = struck;
  const problems = await problemsNow(stage, scenario, ends);
  if (!isKill && !(await hasCoped(stage, ends, ended))) problems.push(...problemsOfError(ended, fault));
  problems.push(...(await problemsAfterwards(stage, scenario, ends, begun)));
  tally.count(
    target.call.name,
    fault.kind,
    problems.map((problem) => `${scenario.name}: ${how} at ${place}: ${problem}`),
  );
}
