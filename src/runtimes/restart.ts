/**
 * The restart of a runtime: the last resort, where pulls come to see the store in no other way and the admin has allowed
 * it. It cuts off what is in flight, and a container whose start it interrupts stays in an unknown state; so it is made
 * seldom, never twice for one change, not where it is known to do harm, and not again while a runtime is not back from one.
 */
import { askGrpc } from '../host/ask.ts';
import type { Clock } from '../host/clock.ts';
import type { CommandResult } from '../host/commands.ts';
import type { Host } from '../host/host.ts';
import type { Moment } from '../host/moment.ts';
import { explain } from '../host/problem.ts';
import { readRuntimeLedger, writeRuntimeLedger } from '../host/runtime-ledger.ts';
import { findProcesses, isRunning } from './processes.ts';
import type { Runtime, RuntimeKind, RuntimeProcess } from './runtime.ts';

/** Seconds. Changes that follow each other within so long make one restart. */
const debounce = 30;
/**
 * Seconds. Distributions let systemd start a unit 5 times in 10 s and then leave it down (DefaultStartLimitBurst,
 * systemd-system.conf(5)). Far from that even beside an admin's own restarts, and no node's pulls fail for long.
 */
const interval = 600;
/** Seconds. A rollout starts agents beside many other pods, whose containers a restart would leave half started. */
const settling = 60;
/** Milliseconds. Restarts of a fleet are spread over so long: a change reaches all of its nodes at the same time. */
export const longestJitterMs = 60_000;

/** What is known of the restarts that this program has made on the node. */
export interface RestartRecord {
  readonly last?: Moment;
  /** The runtime is not back from one. */
  readonly failed: boolean;
}

export interface RestartCase {
  /** When the runtime's process was started, in seconds since the boot. */
  readonly started: number;
  /** When trust changed last, taken after the store was published; undefined when it never has. */
  readonly changed: Moment | undefined;
  /** When the agent was started, in seconds since the boot; undefined for a one-shot command, which waits for nothing. */
  readonly agentStarted: number | undefined;
  readonly record: RestartRecord;
  /** Chosen once for this node: 0 to `longestJitterMs`. */
  readonly jitterMs: number;
  readonly now: Moment;
}

/**
 * - `not-needed`: the runtime was started after the change
 * - `never`: it is not back from one of our restarts, so the admin has to look at it
 * - `wait`: milliseconds, after which to ask again
 */
export type RestartDecision = 'not-needed' | 'never' | 'now' | { readonly wait: number };

/** The earliest moment for a restart that is needed, in seconds since the boot. */
function dueAt({ agentStarted, record, jitterMs, now }: RestartCase, changed: Moment): number {
  const allowed = record.last?.boot === now.boot ? record.last.seconds + interval : 0;
  if (agentStarted === undefined) return allowed;
  return Math.max(allowed, Math.max(changed.seconds + debounce, agentStarted + settling) + jitterMs / 1000);
}

/** Whether and when to restart a runtime that reads the store at its start alone, where the admin permits it. */
export function decideRestart(restart: RestartCase): RestartDecision {
  const { started, changed, record, now } = restart;
  // In the same hundredth of a second it may have been either way.
  if (changed?.boot !== now.boot || started > changed.seconds) return 'not-needed';
  if (record.failed) return 'never';
  const wait = Math.ceil((dueAt(restart, changed) - now.seconds) * 1000);
  return wait > 0 ? { wait } : 'now';
}

/**
 * - `refused`: nothing was restarted, the runtime runs on
 * - `failed`: it was told to restart and has not come back as it should
 * Each a line for the admin.
 */
export type RestartResult = 'restarted' | { readonly refused: string } | { readonly failed: string };

export interface RestartProof {
  /** The runtime's process until now: it has to be gone. */
  readonly process: Pick<RuntimeProcess, 'pid' | 'started'>;
  /** Whether the runtime answers on its socket. */
  readonly answers: () => Promise<boolean>;
  readonly clock: Clock;
  /** How long it may take to come back: systemd itself gives a start 90 s (DefaultTimeoutStartSec). */
  readonly limitMs?: number;
}

/** A way to talk to the host's systemd. */
interface Manager {
  restart(): Promise<CommandResult>;
  /** The value of a property; empty when there is no answer. */
  property(name: 'ActiveState' | 'Result'): Promise<string>;
}

const defaultLimitMs = 120_000;
const pollMs = 500;
/** Either command only hands over a request. */
const commandMs = 30_000;
const systemd = 'org.freedesktop.systemd1';

/** The unit's object on the bus: every other character than letters and digits is written in hexadecimal. */
function objectOf(unit: string): string {
  const label = unit.replace(/^\d|[^A-Za-z0-9]/g, (character) => `_${character.charCodeAt(0).toString(16)}`);
  return `/org/freedesktop/systemd1/unit/${label}`;
}

/** Needs root and the bus's socket: neither privilege nor the host's processes. */
function overBus(host: Host, unit: string): Manager {
  const busctl = (...args: readonly string[]): Promise<CommandResult> =>
    host.run('busctl', args, { timeoutMs: commandMs });
  const restart = ['/org/freedesktop/systemd1', `${systemd}.Manager`, 'RestartUnit', 'ss', unit, 'replace'];
  return {
    restart: () => busctl('call', systemd, ...restart),
    async property(name) {
      const kind = name === 'Result' ? 'Service' : 'Unit';
      const { output } = await busctl('get-property', systemd, objectOf(unit), `${systemd}.${kind}`, name);
      return /^s "(.*)"$/m.exec(output)?.[1] ?? '';
    },
  };
}

/**
 * Needs CAP_SYS_ADMIN, CAP_SYS_CHROOT and CAP_SYS_PTRACE. systemctl trusts systemd's private socket only where it can see
 * systemd's process, that is with the host's processes (hostPID); there is no entering them from below. Without them it
 * can use the bus.
 */
function inNamespaces(host: Host, unit: string): Manager {
  const script = 'systemctl "$@" || SYSTEMCTL_FORCE_BUS=1 systemctl "$@"';
  const systemctl = (...args: readonly string[]): Promise<CommandResult> => {
    const entered = ['--target', '1', '--mount', '--', 'sh', '-c', script, 'sh', ...args];
    return host.run('nsenter', entered, { timeoutMs: commandMs });
  };
  return {
    restart: () => systemctl('--no-block', 'restart', unit),
    property: async (name) => {
      const { output } = await systemctl('show', `--property=${name}`, '--value', unit);
      return output.split('\n').at(-1) ?? '';
    },
  };
}

/** Tells systemd to restart a unit. @returns the way that it took, or what was said on each */
async function request(managers: Readonly<Record<string, Manager>>): Promise<Manager | readonly string[]> {
  const refusals: string[] = [];
  for (const [way, manager] of Object.entries(managers)) {
    const said = await manager.restart().then(
      ({ code, output }) => (code === 0 ? undefined : (output.split('\n').at(-1) ?? '')),
      (error: unknown) => explain(error),
    );
    if (said === undefined) return manager;
    refusals.push(`${way}: ${said || 'no answer'}`);
  }
  return refusals;
}

/** @param state what systemd says of the unit */
function failure(unit: string, state: string, result: string, limitMs: number): string {
  if (result === 'start-limit-hit') {
    const mend = `systemctl reset-failed ${unit} && systemctl start ${unit}`;
    return `${unit} is down: it was started too often in a short time, and systemd starts it no more (start-limit-hit); run on the node: ${mend}`;
  }
  const log = `journalctl --unit ${unit}`;
  if (state === 'active') {
    return `${unit} was told to restart, and after ${limitMs / 1000} s its runtime does not answer as a new process; look at \`${log}\` on the node`;
  }
  return `${unit} is down (${state || 'state unknown'}, ${result || 'result unknown'}): it did not come back from a restart; look at \`${log}\` on the node, mend it and run: systemctl restart ${unit}`;
}

/**
 * Restarts a unit of the host and proves that it is back: the unit is active, the old process gone, and the runtime
 * answers. Containers of containerd and CRI-O stay as they are where the unit has KillMode=process, as every
 * distribution's has; dockerd's do with live-restore alone.
 * @param unit as systemd names it, `containerd.service`
 */
export async function restartUnit(host: Host, unit: string, proof: RestartProof): Promise<RestartResult> {
  const { process, answers, clock, limitMs = defaultLimitMs } = proof;
  const manager = await request({ 'over the bus': overBus(host, unit), 'in its namespaces': inNamespaces(host, unit) });
  if (!('property' in manager)) {
    const why = manager.join('; ');
    return { refused: `cannot restart ${unit} (${why}); run on the node: systemctl restart ${unit}` };
  }
  const end = clock.steady() + limitMs;
  for (;;) {
    const state = await manager.property('ActiveState');
    if (state === 'active' && !isRunning(host, process) && (await answers())) return 'restarted';
    if (state === 'failed' || clock.steady() >= end) {
      return { failed: failure(unit, state, await manager.property('Result'), limitMs) };
    }
    await clock.sleep(pollMs);
  }
}

/** A restart that is due. */
export interface DueRestart {
  readonly runtime: Runtime;
  readonly unit: string;
  readonly now: Moment;
  /** Units that are not back from an earlier one. */
  readonly down: readonly string[];
}

export interface RestartMade {
  /** False where it is known to do harm. */
  readonly isAsked: boolean;
  readonly failure?: string;
}

/** Before containerd 1.6 there is the second one only. */
const criVersions = ['runtime.v1', 'runtime.v1alpha2'] as const;

/** Whether a socket answers as the kubelet asks. */
async function servesKubelet(host: Host, socket: string): Promise<boolean> {
  for (const version of criVersions)
    if ((await askGrpc(host, socket, `/${version}.RuntimeService/Version`)) !== undefined) return true;
  return false;
}

/** Whether a runtime of this kind answers, to the kubelet too where that asks it. */
async function answers(host: Host, kind: RuntimeKind): Promise<boolean> {
  for (const process of findProcesses(host, new Set([kind.comm]))) {
    const { version, socket = '' } = (await kind.look(host, process)) ?? {};
    if (version === undefined) continue;
    if (kind.name === 'docker' || (await servesKubelet(host, socket))) return true;
  }
  return false;
}

/**
 * Restarts a runtime by its unit, unless that is known to do harm, and puts on record that it did.
 * @returns whether one was asked for, and why it was not made, or the runtime is not back
 */
export async function restartRuntime(
  host: Host,
  kind: RuntimeKind,
  { runtime, unit, now, down }: DueRestart,
  { instance, clock }: { readonly instance: string; readonly clock: Clock },
): Promise<RestartMade> {
  const harm = await kind.harm?.(host, runtime);
  if (harm !== undefined) return { isAsked: false, failure: `${runtime.name}: not restarted: ${harm}` };
  // Before it is made: one that is killed in the middle counts, too.
  const { ledger: before } = readRuntimeLedger(host);
  const instances = [...new Set([...before.instances, instance])].sort();
  const ledger = { ...before, instances, restarted: now, failed: [...down] };
  writeRuntimeLedger(host, ledger);
  const proof = { process: runtime.process, answers: () => answers(host, kind).catch(() => false), clock };
  const result = await restartUnit(host, unit, proof);
  if (result === 'restarted') return { isAsked: true };
  if ('refused' in result) return { isAsked: true, failure: result.refused };
  writeRuntimeLedger(host, { ...ledger, failed: [...down, unit].sort() });
  return { isAsked: true, failure: result.failed };
}
