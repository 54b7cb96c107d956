/**
 * Which runtimes run on a host, and what their directories hold. What a runtime's process was started with is read once.
 */
import type { Clock } from '../host/clock.ts';
import type { Host } from '../host/host.ts';
import { explain } from '../host/problem.ts';
import { containerd } from './containerd.ts';
import { crio } from './crio.ts';
import { docker } from './docker.ts';
import { findProcesses } from './processes.ts';
import { type SurveyOptions, surveyRegistries } from './registries.ts';
import { type Survey, nothing } from './registry-files.ts';
import type { Runtime, RuntimeKind, RuntimeProcess } from './runtime.ts';

export const kinds: readonly RuntimeKind[] = [containerd, docker, crio];

/** One runtime, and what its directories hold. */
export interface Found {
  readonly runtime: Runtime;
  readonly survey: Survey;
  /** It has a directory that serves every registry, or the admin has said which there are. */
  readonly isNamed: boolean;
}

/** What is known of a process. */
interface Known {
  readonly runtime: Runtime | undefined;
  /** By the steady clock: when it may be asked again, and when a pass should be made for that. */
  readonly until: number;
  readonly due: number;
  /** How many passes were made for that. */
  readonly tries: number;
}

/** One that does not answer is not asked again for so long: each question can take seconds. */
const silentMs = 30_000;
/** So many passes are made to ask it again, each after twice the time: where its socket is not to be seen, it never answers. */
const mostTries = 4;

/** What an answer of it would tell: how it pulls. */
const isPuzzle = ({ version, way }: Runtime): boolean => version === undefined && way.kind === 'restart';

function learn(runtime: Runtime | undefined, before: Known | undefined, now: number): Known {
  const never = Number.POSITIVE_INFINITY;
  if (runtime === undefined || runtime.version !== undefined) return { runtime, until: never, due: never, tries: 0 };
  const until = now + silentMs;
  // What brings a pass meanwhile uses up no try, and puts off none: a pass that is due and may not ask is due again at once.
  if (before !== undefined && now < before.due) return { ...before, runtime, until: Math.min(until, before.due) };
  const tries = before === undefined ? 0 : before.tries + 1;
  const due = isPuzzle(runtime) && tries < mostTries ? now + silentMs * 2 ** tries : never;
  return { runtime, until, due, tries };
}

type Remember = (process: RuntimeProcess, kind: RuntimeKind) => Promise<Pick<Known, 'runtime' | 'due'>>;

/** A process's configuration is read once: what is written later counts from its next start on. */
function openProcesses(host: Host, clock: Pick<Clock, 'steady'>): Remember {
  const processes = new Map<string, Known>();
  return async (process, kind) => {
    const key = `${process.pid}:${process.started}`;
    const before = processes.get(key);
    if (before !== undefined && clock.steady() < before.until) return before;
    try {
      const known = learn(await kind.look(host, process), before, clock.steady());
      processes.set(key, known);
      return known;
    } catch (error) {
      const way = { kind: 'restart', why: explain(error) } as const;
      const runtime = { name: kind.name, process, socket: '', version: undefined, way, notes: [] };
      return { runtime, due: Number.POSITIVE_INFINITY };
    }
  };
}

export interface Finding {
  readonly found: readonly Found[];
  /** In how many milliseconds a runtime that does not answer should be asked again. */
  readonly dueMs: number | undefined;
}

/** @returns what finds every runtime that runs, and surveys its directories */
export function openFinder(
  host: Host,
  clock: Pick<Clock, 'steady'>,
  options: Omit<SurveyOptions, 'byName'>,
): () => Promise<Finding> {
  const remember = openProcesses(host, clock);
  return async () => {
    const found: Found[] = [];
    let due = Number.POSITIVE_INFINITY;
    for (const process of findProcesses(host, new Set(kinds.map(({ comm }) => comm)))) {
      const kind = kinds.find(({ comm }) => comm === process.comm);
      const known = kind && (await remember(process, kind));
      if (known?.runtime === undefined) continue;
      due = Math.min(due, known.due);
      const { runtime } = known;
      const { way } = runtime;
      const isRead = way.kind === 'directories';
      const survey = isRead ? surveyRegistries(host, way.lists, { ...options, byName: way.byName }) : nothing;
      found.push({ runtime, survey, isNamed: isRead && (!way.byName || options.registries.length > 0) });
    }
    return { found, dueMs: Number.isFinite(due) ? Math.max(due - clock.steady(), 0) : undefined };
  };
}
