// What the agent does when it restarts a runtime, as the program of a container with the node's root at /host: one
// change of trust, and two passes after it.
//
//   systemd-agent.ts LIMIT OUTCOME
//
// LIMIT is how long the runtime may take, in milliseconds; OUTCOME is the host's path to write to.
import { readFileSync } from 'node:fs';
import { systemClock } from '../../src/commands/clock.ts';
import { openHost } from '../../src/host/host.ts';
import { type Moment, readMoment } from '../../src/host/moment.ts';
import { type FoundProcess, findProcesses } from '../../src/runtimes/processes.ts';
import {
  type RestartDecision,
  type RestartRecord,
  type RestartResult,
  decideRestart,
  restartUnit,
} from '../../src/runtimes/restart.ts';

export interface Pass {
  /** What it took for the node's runtimes. */
  readonly found: readonly FoundProcess[];
  readonly decision: RestartDecision;
  /** Undefined when it did not restart. */
  readonly result: RestartResult | undefined;
  readonly seconds: number;
}

export interface AgentOutcome {
  /** What the agent could do, as /proc/self/status has it. */
  readonly capabilities: string;
  /** Its own number, as itself counts. */
  readonly pid: number;
  readonly passes: readonly Pass[];
}

const [limit = '', outcomeFile = ''] = process.argv.slice(2);
const host = openHost('/host');
function nowOnHost(): Moment {
  const now = readMoment(host);
  if (now === undefined) throw new Error('the host has no /proc');
  return now;
}

const changed = nowOnHost();

/** The host's ctr stands in for a call of the CRI, which the same process serves on the same socket. */
async function answers(): Promise<boolean> {
  return (await host.run('ctr', ['--connect-timeout', '1s', 'version'])).code === 0;
}

async function pass(record: RestartRecord): Promise<Pass> {
  const begin = performance.now();
  const found = findProcesses(host, new Set(['containerd']));
  const [runtime = { pid: 0, started: 0, unit: undefined }] = found;
  const decision = decideRestart({
    started: runtime.started,
    changed,
    agentStarted: undefined,
    record,
    jitterMs: 0,
    now: nowOnHost(),
  });
  const proof = { process: runtime, answers, clock: systemClock, limitMs: Number(limit) };
  const due = decision === 'now' && runtime.unit !== undefined;
  const result = due ? await restartUnit(host, runtime.unit, proof) : undefined;
  return { found, decision, result, seconds: (performance.now() - begin) / 1000 };
}

const first = await pass({ failed: false });
const second = await pass({ failed: typeof first.result === 'object' && 'failed' in first.result });
const capabilities = /^CapEff:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
const outcome: AgentOutcome = { capabilities, pid: process.pid, passes: [first, second] };
host.write(outcomeFile, JSON.stringify(outcome));
