/**
 * The container runtimes of a host together: which run, what their directories lack, and the change that makes their pulls
 * trust the host's store, or takes that back. The store comes first and the links after; on removal it is the other way
 * round, since a link that leads nowhere breaks every pull.
 */
import type { Clock } from '../host/clock.ts';
import type { Host } from '../host/host.ts';
import type { Moment } from '../host/moment.ts';
import { explain } from '../host/problem.ts';
import {
  type RuntimeLedger,
  linkName,
  readRuntimeLedger,
  removeRuntimeLedger,
  runtimeLedgerPath,
  writeRuntimeLedger,
} from '../host/runtime-ledger.ts';
import { containerd } from './containerd.ts';
import { crio } from './crio.ts';
import { docker } from './docker.ts';
import { findProcesses } from './processes.ts';
import {
  type Survey,
  type SurveyOptions,
  cleanBeside,
  makeEdit,
  missingAbove,
  nothing,
  surveyRegistries,
  undoLines,
  undoLink,
} from './registries.ts';
import { restartUnit } from './restart.ts';
import type { Runtime, RuntimeKind, RuntimeName, RuntimeProcess } from './runtime.ts';

/** auto: by directories where that works. certs.d: the same, and a runtime where it does not work is a failure. */
export type RuntimeRefresh = 'auto' | 'certs.d' | 'restart' | 'off';

export interface RuntimeSettings {
  readonly instance: string;
  readonly clock: Clock;
  readonly refresh: RuntimeRefresh;
  /** Registries that get a directory of their own where a runtime has none for all. */
  readonly registries: readonly string[];
}

const kinds: readonly RuntimeKind[] = [containerd, docker, crio];

/** One runtime, and what its directories hold. */
export interface Found {
  readonly runtime: Runtime;
  readonly survey: Survey;
}

/** The runtimes as they are, and what is to be done about them. */
export interface RuntimesState {
  readonly found: readonly Found[];
  readonly ledger: RuntimeLedger;
  /** keep: edits are missing, or not on record. release: this instance does not need them any more. */
  readonly todo: 'keep' | 'release' | 'nothing';
  /** What that changes: paths. */
  readonly edits: readonly string[];
  /** Why nothing could be found out. */
  readonly problem?: string;
}

/** Why something could not be made or taken back, by its path. */
export type Failures = ReadonlyMap<string, string>;

export interface Runtimes {
  /** Looks, and changes nothing. @param needed whether this instance has something that pulls should trust */
  observe(needed: boolean): Promise<RuntimesState>;
  /** Makes the edits that are missing. @returns why some could not be made */
  keep(state: RuntimesState): Failures;
  /** Takes this instance off the record, and every edit off the host when it was the last. @returns what could not be */
  release(state: RuntimesState): Failures;
  /** Restarts a runtime by its unit, and puts on record that it did. @returns why it was not restarted, or is not back */
  restart(runtime: Runtime, unit: string, now: Moment): Promise<string | undefined>;
}

/** As much of the record as a host that cannot be read gives. */
const unknown: RuntimeLedger = { version: 1, instances: [], links: [], edited: [], made: [], failed: [] };

type Remember = (process: RuntimeProcess, kind: RuntimeKind) => Promise<Runtime | undefined>;

/** A process's configuration is read once: what is written later counts from its next start on. */
function openMemory(host: Host): Remember {
  const known = new Map<string, Runtime | undefined>();
  return async (process, kind) => {
    const key = `${process.pid}:${process.started}`;
    if (known.has(key)) return known.get(key);
    try {
      const runtime = await kind.look(host, process);
      // One that does not answer yet is asked again.
      if (runtime === undefined || runtime.version !== undefined) known.set(key, runtime);
      return runtime;
    } catch (error) {
      const way = { kind: 'restart', why: explain(error) } as const;
      return { name: kind.name, process, socket: '', version: undefined, way, notes: [] };
    }
  };
}

/** Does something at each path, and gives what went wrong where it could not be done. */
function each<T extends { readonly path: string }>(list: readonly T[], action: (item: T) => void): Failures {
  const failures = new Map<string, string>();
  for (const item of list) {
    try {
      action(item);
    } catch (error) {
      failures.set(item.path, explain(error));
    }
  }
  return failures;
}

/** The store is what counts: whatever happens here must not fail a pass. */
function orFailure(action: () => Failures): Failures {
  try {
    return action();
  } catch (error) {
    return new Map([[runtimeLedgerPath, explain(error)]]);
  }
}

function union(one: readonly string[], other: readonly string[]): string[] {
  return [...new Set([...one, ...other])].sort();
}

/** The record with all that is going to be there. */
function intended(host: Host, instance: string, { found, ledger }: RuntimesState): RuntimeLedger {
  const links = found.flatMap(({ survey }) => survey.links);
  return {
    ...ledger,
    instances: union(ledger.instances, [instance]),
    links: union(ledger.links, links),
    edited: union(
      ledger.edited,
      found.flatMap(({ survey }) => survey.edited),
    ),
    made: union(
      ledger.made,
      links.flatMap((path) => missingAbove(host, path)),
    ),
  };
}

/** What is there of ours though nothing is missing from it. */
function present({ survey }: Found): readonly string[] {
  const missing = new Set(survey.edits.map(({ path }) => path));
  return [...survey.links, ...survey.edited].filter((path) => !missing.has(path));
}

/** What is to be done, from what is there and what is on record. */
function todoOf(
  found: readonly Found[],
  ledger: RuntimeLedger,
  instance: string,
  needed: boolean,
): Pick<RuntimesState, 'todo' | 'edits'> {
  const counted = ledger.instances.includes(instance);
  if (needed) {
    const edits = found.flatMap(({ survey }) => survey.edits.map(({ path }) => path));
    const isKept = edits.length === 0 && (counted || found.every((one) => present(one).length === 0));
    return { todo: isKept ? 'nothing' : 'keep', edits };
  }
  const ours = [...new Set([...ledger.links, ...ledger.edited, ...found.flatMap(present)])];
  const isRecorded = ours.length > 0 || ledger.restarted !== undefined;
  if (!isRecorded) return { todo: 'nothing', edits: [] };
  const isOrphaned = ledger.instances.length === 0;
  const isLast = ledger.instances.every((other) => other === instance);
  return { todo: counted || isOrphaned ? 'release' : 'nothing', edits: isLast ? ours : [] };
}

/** Takes every edit off the host: those on record, and those that are found. */
function undo(host: Host, found: readonly Found[], ledger: RuntimeLedger): Failures {
  const links = union(
    ledger.links,
    found.flatMap(({ survey }) => survey.links),
  );
  const edited = union(
    ledger.edited,
    found.flatMap(({ survey }) => survey.edited),
  );
  const places = [...links, ...edited].map((path) => ({ path }));
  const failures = each(places, ({ path }) => {
    (path.endsWith(linkName) ? undoLink : undoLines)(host, path);
    cleanBeside(host, path);
  });
  if (failures.size > 0) return failures;
  for (const directory of [...ledger.made].reverse()) host.removeDirectory(directory);
  removeRuntimeLedger(host);
  return failures;
}

/** Every runtime that runs, and what its directories hold. */
async function find(host: Host, remember: Remember, options: Omit<SurveyOptions, 'byName'>): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (const process of findProcesses(host, new Set(kinds.map(({ comm }) => comm)))) {
    const kind = kinds.find(({ comm }) => comm === process.comm);
    const runtime = kind === undefined ? undefined : await remember(process, kind);
    if (runtime === undefined) continue;
    const { way } = runtime;
    const isRead = way.kind === 'directories';
    const survey = isRead ? surveyRegistries(host, way.lists, { ...options, byName: way.byName }) : nothing;
    found.push({ runtime, survey });
  }
  return found;
}

/** Whether a runtime of this name answers. */
async function answers(host: Host, name: RuntimeName): Promise<boolean> {
  const found = await find(host, openMemory(host), { bundle: '', registries: [] });
  return found.some(({ runtime }) => runtime.name === name && runtime.version !== undefined);
}

/** Opens the runtimes of one host. @param bundle the bundle of the host's store */
export function openRuntimes(host: Host, bundle: string, settings: RuntimeSettings): Runtimes {
  const { instance, refresh, registries, clock } = settings;
  const remember = openMemory(host);
  return {
    async observe(needed) {
      try {
        const found = refresh === 'off' ? [] : await find(host, remember, { bundle, registries });
        const ledger = readRuntimeLedger(host);
        return { found, ledger, ...todoOf(found, ledger, instance, needed && refresh !== 'off') };
      } catch (error) {
        return { found: [], ledger: unknown, todo: 'nothing', edits: [], problem: explain(error) };
      }
    },
    keep: (state) =>
      orFailure(() => {
        writeRuntimeLedger(host, intended(host, instance, state));
        const edits = state.found.flatMap((one) => one.survey.edits);
        return each(edits, (edit) => {
          makeEdit(host, edit, bundle);
        });
      }),
    release: ({ found, ledger }) =>
      orFailure(() => {
        const others = ledger.instances.filter((other) => other !== instance);
        if (others.length === 0) return undo(host, found, ledger);
        writeRuntimeLedger(host, { ...ledger, instances: others });
        return new Map();
      }),
    async restart({ name, process }, unit, now) {
      // Before it is made: one that is killed in the middle counts, too.
      const before = readRuntimeLedger(host);
      const ledger = { ...before, instances: union(before.instances, [instance]), restarted: now };
      writeRuntimeLedger(host, ledger);
      const result = await restartUnit(host, unit, { process, answers: () => answers(host, name), clock });
      if (result === 'restarted') return undefined;
      if ('refused' in result) return result.refused;
      writeRuntimeLedger(host, { ...ledger, failed: union(ledger.failed, [unit]) });
      return result.failed;
    },
  };
}
