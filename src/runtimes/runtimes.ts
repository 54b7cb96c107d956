/**
 * The container runtimes of a host together: which run, what their directories lack, and the change that makes their pulls
 * trust the host's store, or takes that back. The store comes first and the links after; on removal it is the other way
 * round, since a link that leads nowhere breaks every pull.
 */
import { posix } from 'node:path';
import type { Clock } from '../host/clock.ts';
import type { Host } from '../host/host.ts';
import { missingAbove } from '../host/ledger.ts';
import { explain } from '../host/problem.ts';
import {
  type RuntimeLedger,
  type RuntimeRecord,
  linkName,
  readRuntimeLedger,
  removeRuntimeLedger,
  runtimeLedgerPath,
  writeRuntimeLedger,
} from '../host/runtime-ledger.ts';
import { type Finding, type Found, kinds, openFinder } from './finder.ts';
import { type SurveyOptions, movedIn, surveyRegistries } from './registries.ts';
import { type Survey, leftoversIn, makeEdit, openMemory, undoLines } from './registry-files.ts';
import { type DueRestart, type RestartMade, restartRuntime } from './restart.ts';

/** auto: by directories where that works. certs.d: the same, and a runtime where it does not work is a failure. */
export type RuntimeRefresh = 'auto' | 'certs.d' | 'restart' | 'off';

export interface RuntimeSettings {
  readonly instance: string;
  readonly clock: Clock;
  readonly refresh: RuntimeRefresh;
  /** Registries that get a directory of their own where a runtime has none for all. */
  readonly registries: readonly string[];
}

/** The runtimes as they are, and what is to be done about them. */
export interface RuntimesState {
  readonly found: readonly Found[];
  /** What is there of ours and may be on no record: where the record is lost, or another tool has moved it away. */
  readonly strays: readonly string[];
  readonly ledger: RuntimeLedger;
  readonly record: RuntimeRecord['state'];
  /** keep: edits are missing, or not on record. release: this instance does not need them any more. */
  readonly todo: 'keep' | 'release' | 'nothing';
  /** What that changes: paths. */
  readonly edits: readonly string[];
  /** What could not be made and is not needed as things are: a line each. */
  readonly spared?: readonly string[];
  /** In how many milliseconds there is something to be found out that could not be now. */
  readonly dueMs?: number | undefined;
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
  /** Restarts a runtime by its unit, unless that does harm, and puts on record that it did. */
  restart(due: DueRestart): Promise<RestartMade>;
}

/** Of a host that cannot be read. */
const unseen: RuntimesState = {
  found: [],
  strays: [],
  ledger: { version: 1, instances: [], links: [], edited: [], made: [], failed: [] },
  record: 'kept',
  todo: 'nothing',
  edits: [],
};

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

function all(found: readonly Found[], pick: (survey: Survey) => readonly string[]): readonly string[] {
  return found.flatMap(({ survey }) => pick(survey));
}

/** What is there of ours though nothing is missing from it. */
function present(survey: Survey): readonly string[] {
  const missing = new Set(survey.edits.map(({ path }) => path));
  return [...survey.links, ...survey.edited].filter((path) => !missing.has(path));
}

/** Where no record says so, a directory for all registries with our link alone in it was made for that. */
function adopted(host: Host, { found, record, strays }: RuntimesState): readonly string[] {
  const unsaid = record === 'kept' ? strays : [...all(found, present), ...strays];
  const directories = unsaid.map((path) => posix.dirname(path));
  return directories.filter((path) => path.endsWith('/_default') && host.list(path)?.join() === linkName);
}

/** The record with all that is there, and what is going to be there. */
function intended(host: Host, state: RuntimesState, instances: readonly string[]): RuntimeLedger {
  const { found, ledger, strays } = state;
  const links = union(ledger.links, [...all(found, ({ links: list }) => list), ...strays.filter(isLink)]);
  const edited = union(ledger.edited, [
    ...all(found, ({ edited: list }) => list),
    ...strays.filter((it) => !isLink(it)),
  ]);
  const missing = all(found, ({ links: list }) => list).flatMap((path) => missingAbove(host, path));
  return {
    ...ledger,
    instances: [...instances],
    links,
    edited,
    made: union(ledger.made, [...missing, ...adopted(host, state)]),
  };
}

const isLink = (path: string): boolean => path.endsWith(`/${linkName}`);

/** What could not be made, as far as it is missing and every runtime can spare it. */
function sparedOf(found: readonly Found[], failed: Failures): Failures {
  const edits = found.flatMap(({ survey }) => survey.edits);
  const paths = new Set(edits.map(({ path }) => path));
  for (const { path, isSpare } of edits) if (isSpare !== true) paths.delete(path);
  return new Map([...failed].filter(([path]) => paths.has(path)));
}

/** What an admin has to change, and no pass needs to try before. The rest passes by itself. */
const lasting = /\((?:EROFS|EACCES|EPERM)\)$/;

/** What is to be done, from what is there and what is on record. */
function todoOf(
  { found, strays, ledger, record }: Pick<RuntimesState, 'found' | 'strays' | 'ledger' | 'record'>,
  instance: string,
  needed: boolean,
  unmade: Failures,
): Pick<RuntimesState, 'todo' | 'edits'> {
  const counted = ledger.instances.includes(instance);
  const recorded = [...ledger.links, ...ledger.edited];
  const there = all(found, present);
  if (needed) {
    const edits = all(found, (survey) => survey.edits.map(({ path }) => path));
    const isOnRecord = there.every((path) => counted && recorded.includes(path));
    // What failed and can be spared is tried again beside other things only.
    const isIdle = isOnRecord && edits.every((path) => unmade.has(path));
    return isIdle ? { todo: 'nothing', edits: [] } : { todo: 'keep', edits };
  }
  const ours = union(recorded, [...there, ...strays]);
  const isRecorded = ours.length > 0 || ledger.restarted !== undefined || record === 'broken';
  const isOrphaned = ledger.instances.length === 0;
  if (!isRecorded || !(counted || isOrphaned)) return { todo: 'nothing', edits: [] };
  return { todo: 'release', edits: ledger.instances.every((other) => other === instance) ? ours : [] };
}

/** Takes every edit off the host: those on record, and those that are found. */
function undo(host: Host, state: RuntimesState, bundle: string): Failures {
  const { links, edited, made } = intended(host, state, []);
  const failures = each(
    [...links, ...edited].map((path) => ({ path })),
    ({ path }) => {
      if (!isLink(path)) undoLines(host, path);
      else if (host.link(path) === bundle) host.remove(path);
      for (const left of leftoversIn(host, posix.dirname(path))) host.remove(left);
    },
  );
  if (failures.size > 0) return failures;
  // A record that others have written must not lead elsewhere.
  const ours = made.filter((directory) => links.some((path) => path.startsWith(`${directory}/`)));
  for (const directory of ours.reverse()) host.removeDirectory(directory);
  removeRuntimeLedger(host);
  return failures;
}

/** Where runtimes look unless told otherwise. */
const usual = [['/etc/containerd/certs.d'], ['/etc/docker/certs.d'], ['/etc/containers/certs.d']];

/** What is there of ours beside what is on record. @param isLost whether there is no record */
function straysIn(
  host: Host,
  options: Omit<SurveyOptions, 'byName'>,
  { found, ledger }: Pick<RuntimesState, 'found' | 'ledger'>,
  isLost: boolean,
): readonly string[] {
  const read = found.flatMap(({ runtime: { way } }) => (way.kind === 'directories' ? way.lists.flat() : []));
  const recorded = [...ledger.links, ...ledger.edited].map((path) => posix.dirname(posix.dirname(path)));
  const roots = new Set([...read, ...recorded, ...(isLost ? usual.flat() : [])]);
  const moved = [...roots].flatMap((root) => movedIn(host, root, options.bundle));
  if (!isLost) return moved;
  return union(moved, [
    ...all(found, present),
    ...present(surveyRegistries(host, usual, { ...options, byName: false })),
  ]);
}

const noFinding: Finding = { found: [], dueMs: undefined };

/** What is seen of the runtimes, as long as nothing stands in the way. */
function openEyes(
  host: Host,
  bundle: string,
  settings: RuntimeSettings,
  failed: Failures,
): (needed: boolean) => Promise<RuntimesState> {
  const { instance, refresh, registries, clock } = settings;
  const options = { bundle, registries, memory: openMemory() };
  const find = openFinder(host, clock, options);
  const isOff = refresh === 'off';
  return async (needed) => {
    const { ledger, state: record } = readRuntimeLedger(host);
    const isWanted = needed && !isOff;
    const isLost = !isWanted && record !== 'kept';
    // Without a record the runtimes tell where to look for what is to be undone, though nothing is to be told of them.
    const seen = isOff ? await (isLost ? find().catch(() => noFinding) : noFinding) : await find();
    const strays = isWanted ? [] : straysIn(host, options, { ...seen, ledger }, isLost);
    const state = { ...(isOff ? noFinding : seen), strays, ledger, record };
    const unmade = sparedOf(state.found, failed);
    const given = new Map([...unmade].filter(([, why]) => lasting.test(why)));
    const spared = [...unmade].map(
      ([path, why]) => `${path} on the host is needed only where containerd refuses the hosts.toml beside it: ${why}`,
    );
    return { ...state, spared, ...todoOf(state, instance, isWanted, given) };
  };
}

/** Opens the runtimes of one host. @param bundle the bundle of the host's store */
export function openRuntimes(host: Host, bundle: string, settings: RuntimeSettings): Runtimes {
  const { instance } = settings;
  /** What the last attempt could not make. */
  const failed = new Map<string, string>();
  const observe = openEyes(host, bundle, settings, failed);
  return {
    observe: (needed) => observe(needed).catch((error: unknown) => ({ ...unseen, problem: explain(error) })),
    keep: (state) =>
      orFailure(() => {
        writeRuntimeLedger(host, intended(host, state, union(state.ledger.instances, [instance])));
        const edits = state.found.flatMap((one) => one.survey.edits);
        const failures = each(edits, (edit) => {
          makeEdit(host, edit, bundle);
        });
        failed.clear();
        for (const [path, why] of failures) failed.set(path, why);
        return failures;
      }),
    release: (state) =>
      orFailure(() => {
        const others = state.ledger.instances.filter((other) => other !== instance);
        if (others.length === 0) return undo(host, state, bundle);
        writeRuntimeLedger(host, intended(host, state, others));
        return new Map();
      }),
    async restart(due) {
      const kind = kinds.find(({ name }) => name === due.runtime.name);
      return kind === undefined ? { isAsked: false } : restartRuntime(host, kind, due, settings);
    },
  };
}
