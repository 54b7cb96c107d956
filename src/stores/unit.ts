/**
 * A trust store that the host refreshes itself: the agent writes certificate files, takes them off, and asks for a run of
 * the unit that `node-ca-trust render systemd` puts on the host. For an agent that may do no more on the host than that.
 * The proof is the same: what the unit made of it is read back.
 */
import type { Clock } from '../host/clock.ts';
import type { Host } from '../host/host.ts';
import { removeLeftovers, stateDirectory } from '../host/ledger.ts';
import { Problem, caught } from '../host/problem.ts';
import { removeAnchors } from './anchor-files.ts';
import { type Changed, type StoreChange, type TrustStore, nothingToTell } from './store.ts';

/** command: the agent runs the host's refresh command. unit: the host's path unit does. */
export type StoreRefresh = 'command' | 'unit';

/** The unit runs while this file is there, and takes it away first. No instance has a name with an underscore. */
export const requestPath = `${stateDirectory}/_refresh`;

const stepMs = 100;
/** systemd starts the unit at once, unless a run of it is under way. */
const startMs = 20_000;
/** Far longer than a refresh takes on a slow host. */
const finishMs = 60_000;

interface Unit {
  readonly store: TrustStore;
  readonly host: Host;
  readonly clock: Clock;
}

/** For how long a run has been asked for, also by a clock that was set back; undefined when the unit has heard. */
function unheardMs({ host, clock }: Unit): number | undefined {
  const request = host.entry(requestPath);
  return request === undefined ? undefined : Math.abs(clock.now() - request.modified);
}

function seconds(ms: number): number {
  return Math.round(ms / 1000);
}

/** @throws Problem when nobody listens */
function requireUnit(waited: number | undefined): void {
  if (waited === undefined || waited < startMs) return;
  // Told on the Node and in the log, where another text is news: so it says nothing of how long that was by now.
  throw new Problem(
    `the refresh has not run within ${seconds(startMs)} s after it was asked for by ${requestPath} on the host: is node-ca-trust-refresh.path enabled there? Its units are printed by: node-ca-trust render systemd`,
  );
}

/** Of a bundle that cannot be looked at there is none either: the refresh puts a good one in its place. */
function bundleVersion({ store, host }: Unit): string | undefined {
  const entry = caught(() => host.target(store.bundle));
  return entry instanceof Problem ? undefined : entry?.version;
}

/**
 * Waits until a run after the change has published a bundle with all that is required.
 * @param version what tells the bundle from the one before the change
 */
async function untilRefreshed(unit: Unit, { required }: StoreChange, version: string | undefined): Promise<void> {
  const { store, clock } = unit;
  const end = clock.steady() + finishMs;
  const isDone = (): boolean => {
    if (bundleVersion(unit) === version) return false;
    const { trusted } = store.observe([]);
    return [...required].every((fingerprint) => trusted.has(fingerprint));
  };
  for (;;) {
    const unheard = unheardMs(unit);
    requireUnit(unheard);
    if (unheard === undefined && isDone()) return;
    if (clock.steady() > end) {
      throw new Problem(
        `the refresh has run and made no bundle with all that is wanted within ${seconds(finishMs)} s; see on the host: journalctl -u node-ca-trust-refresh`,
      );
    }
    await clock.sleep(stepMs);
  }
}

/** Asks for a run, and waits for what it makes. */
async function refreshByUnit(unit: Unit, change: StoreChange, version: string | undefined): Promise<void> {
  // One that nobody has answered keeps its age.
  if (unheardMs(unit) === undefined) {
    removeLeftovers(unit.host, requestPath);
    unit.host.write(requestPath, '');
  }
  await untilRefreshed(unit, change, version);
}

/**
 * Files, then the request for a run, then the wait for it. In a rotation twice: a look-up by hash finds the old CA as long
 * as its file is there, and the new one as soon as a run has linked it.
 */
async function changeByUnit(unit: Unit, change: StoreChange): Promise<Changed> {
  const { store, host } = unit;
  const version = bundleVersion(unit);
  host.makeDirectory(store.anchorDirectory);
  for (const path of change.clean) host.remove(path);
  for (const { fingerprint, pem } of change.add)
    host.write(`${store.anchorDirectory}/${store.nameOf(fingerprint)}`, pem);
  const isRotation = change.refresh && change.link.length > 0 && change.remove.length > 0;
  if (isRotation) await refreshByUnit(unit, change, version);
  const between = isRotation ? bundleVersion(unit) : version;
  removeAnchors({ host, anchors: store.anchorDirectory }, change);
  if (change.refresh) await refreshByUnit(unit, change, between);
  return nothingToTell;
}

/** The same store, for an agent that leaves its refresh to the host. */
export function leaveToUnit(store: TrustStore, host: Host, clock: Clock): TrustStore {
  const unit: Unit = { store, host, clock };
  const isWritten = (path: string): boolean => path.startsWith(`${store.anchorDirectory}/`);
  return {
    ...store,
    isRefreshedByUnit: true,
    observe: (wanted) => {
      const state = store.observe(wanted);
      return { ...state, leftovers: state.leftovers.filter(isWritten), isUnfinished: false };
    },
    change: (change) => changeByUnit(unit, change),
  };
}
