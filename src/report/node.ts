/**
 * Tells the own Node how it stands: condition, annotation, Events, and the startup taint taken off. It works beside the
 * passes and never holds one up; whatever the API server does to it, trust is not touched by it.
 *
 * 1. The Node is read when the agent starts and once per resync after that: one that was registered anew has lost its
 *    condition and has its taint again.
 * 2. What it says is compared with what the last pass found. Only a difference is written, and told by an Event.
 * 3. What follows from another bundle is written within half a minute, at random, since every node has it to write at
 *    once. What this node alone has to say is written at once, unless it wrote within the last half a minute. The first
 *    after a start and what takes the taint off never wait, since workloads may wait for it.
 * 4. A refusal is logged once, with the rule that is missing, and not tried again before the next read. Anything else
 *    that goes wrong is tried again, ever less often.
 */
import type { Api } from '../api/api.ts';
import { Refusal, isPassing } from '../api/refusal.ts';
import { namesOf } from '../api/trust-annotation.ts';
import { explain } from '../host/problem.ts';
import { type Wanted, eventFor, isLacking, lacking } from './node-change.ts';
import { type NodeEvents, openNodeEvents } from './node-events.ts';
import { type NodeObject, type NodeView, openNodeObject } from './node-object.ts';
import { tellRemoval } from './node-removal.ts';
import { type NodeOutside, type Step, lineOf } from './node-steps.ts';
import type { PassResult, RuntimeState } from './report.ts';
import { type NodeEvent, bundleOf, conditionOf, eventsOf, mayStart, proofOf } from './standing.ts';

export interface NodeReport {
  /** What a pass has found. Returns at once. */
  readonly tell: (result: PassResult) => void;
  /** Writes what was told until `signal` is aborted. Never throws. */
  follow(signal: AbortSignal): Promise<void>;
  /** Nothing of this instance is trusted any more: so the Node says nothing of it either. Within 20 s; never throws. */
  removed(count: number): Promise<void>;
}

export interface NodeSettings {
  readonly nodeName: string;
  readonly instance: string;
  readonly version: string;
  readonly resyncMs: number;
}

/** A thousand nodes that change at once write within this. */
const jitterMs = 30_000;
const retryMs = 1_000;
const longestRetryMs = 60_000;
/** A change of the taints that crosses another one is made again. */
const mostTries = 3;
/** No more Events wait than this: what came before matters less. */
const mostWaiting = 10;

/** The reporter at work. */
interface Reporter extends NodeSettings, NodeOutside {
  readonly node: NodeObject;
  readonly events: NodeEvents;
  /** What the Node is to say; nothing before the first pass has ended. */
  wanted: Wanted | undefined;
  /** What it says, as read and written since; when that was read. */
  view: NodeView | undefined;
  readAt: number;
  runtimes: readonly RuntimeState[];
  waiting: NodeEvent[];
  /** All but the Events is settled: what fails then is theirs. */
  isTelling: boolean;
  /** Steps that were refused since the last read. */
  readonly refused: Set<Step>;
  readonly told: Set<string>;
  /** What the last pass read, as far as it matters here, and whether it was something else than before. */
  bundle: string;
  isOtherBundle: boolean;
  /** When something of a pass was last written or told; undefined before the first was settled. */
  saidAt: number | undefined;
  wake: () => void;
}

/** What is younger than so much. */
const isRecent = (at: number, { steady }: Reporter, ms: number): boolean => steady() - at < ms;

function isDue(self: Reporter): boolean {
  // The pass that comes with the resync comes up to a tenth early.
  return self.view === undefined || !isRecent(self.readAt, self, self.resyncMs * 0.85);
}

function wait(self: Reporter, event: NodeEvent): void {
  self.waiting = [...self.waiting.filter(({ note }) => note !== event.note), event].slice(-mostWaiting);
}

function canUntaint({ wanted, view, refused }: Reporter): boolean {
  return wanted?.mayStart === true && (view?.taints.length ?? 0) > 0 && !refused.has('untaint');
}

function hasWork(self: Reporter): boolean {
  const hasEvents = self.waiting.length > 0 && !self.refused.has('tell');
  const hasChanges = !self.refused.has('write') && isLacking(self.view, self.wanted);
  return isDue(self) || hasEvents || hasChanges || canUntaint(self);
}

function sayOnce(self: Reporter, line: string): void {
  if (!self.told.has(line)) self.failed(line);
  self.told.add(line);
}

/**
 * Makes one step. What the API server refuses is not tried again before the next read.
 * @returns whether it was made
 * @throws when the API server did not answer, or not well
 */
async function attempt(self: Reporter, step: Step, make: () => Promise<void>, triesLeft = 0): Promise<boolean> {
  if (self.refused.has(step)) return false;
  try {
    await make();
    return true;
  } catch (error) {
    if (!(error instanceof Refusal) || isPassing(error)) throw error;
    // Something is not as it was read.
    if (error.code === 422 && triesLeft > 0) return false;
    self.refused.add(step);
    sayOnce(self, lineOf(step, error));
    return false;
  }
}

async function read(self: Reporter): Promise<void> {
  self.refused.clear();
  await attempt(self, 'read', async () => {
    self.view = await self.node.read();
  });
  // Without the permission to read it what was written is remembered. The kubelet takes the name for the uid too.
  self.view ??= { uid: self.nodeName, condition: undefined, annotation: undefined, taints: [] };
  self.readAt = self.steady();
}

async function write(self: Reporter): Promise<void> {
  const { view, wanted } = self;
  if (view === undefined || !isLacking(view, wanted)) return;
  const change = lacking(view, wanted, self.now());
  const events = eventFor(view, wanted);
  const write = async (): Promise<void> => {
    const now = await self.node.write(change);
    // What was written counts, also when somebody takes it out at once: it is not put in again before the next read.
    const { condition, annotation } = { ...view, ...change };
    self.view =
      now.uid === view.uid ? { ...now, condition: condition ?? undefined, annotation: annotation ?? undefined } : now;
  };
  // Without an answer it may have been written all the same, and nothing be left to tell an Event of.
  const isWritten = await attempt(self, 'write', write).catch((error: unknown) => {
    for (const event of events) wait(self, event);
    throw error;
  });
  if (isWritten) for (const event of events) wait(self, event);
}

/** Others change the taints of a node that starts: they are read right before, and again when that was too early. */
async function untaint(self: Reporter): Promise<void> {
  for (let tries = mostTries; canUntaint(self); tries -= 1) {
    await read(self);
    const { view } = self;
    if (view === undefined || !canUntaint(self)) return;
    const untainting = async (): Promise<void> => {
      await self.node.untaint(view);
      self.view = { ...view, taints: [] };
    };
    await attempt(self, 'untaint', untainting, tries);
  }
}

/** Steps 1 and 2. @throws when the API server did not answer: what is left is left for the next time */
async function settle(self: Reporter): Promise<void> {
  self.isTelling = false;
  if (isDue(self)) await read(self);
  const saidAt = hasWork(self) ? self.steady() : (self.saidAt ?? Number.NEGATIVE_INFINITY);
  await write(self);
  // Whoever sees the taint gone finds the condition.
  await untaint(self);
  if (self.wanted !== undefined) self.saidAt = saidAt;
  self.isTelling = true;
  const uid = self.view?.uid ?? self.nodeName;
  for (const event of [...self.waiting]) {
    if (self.events.isRepeated(event, uid)) await attempt(self, 'count', () => self.events.count(event));
    else await attempt(self, 'tell', () => self.events.tell(event, uid));
    self.waiting = self.waiting.filter((other) => other !== event);
  }
  // What was told meanwhile may be of another bundle still.
  self.isOtherBundle &&= hasWork(self);
}

function until(isSo: (self: Reporter) => boolean, self: Reporter, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    self.wake = () => {
      if (!signal.aborted && !isSo(self)) return;
      signal.removeEventListener('abort', self.wake);
      self.wake = () => undefined;
      resolve();
    };
    signal.addEventListener('abort', self.wake);
    self.wake();
  });
}

/** Lets time pass, or as much of it as comes before the taint may go. */
async function rest(self: Reporter, ms: number, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const end = AbortSignal.any([signal, over.signal]);
  await Promise.race([self.sleep(ms, end).catch(() => undefined), until(canUntaint, self, end)]);
  over.abort();
}

/** Step 3: lets the half minute pass, or as much of it as comes before the taint may go. */
async function hold(self: Reporter, signal: AbortSignal): Promise<void> {
  const { saidAt, isOtherBundle, random } = self;
  if (saidAt === undefined || canUntaint(self)) return;
  if (!isOtherBundle && !isRecent(saidAt, self, jitterMs)) return;
  await rest(self, random() * jitterMs, signal);
}

async function followOn(self: Reporter, signal: AbortSignal): Promise<void> {
  const isOver = (): boolean => signal.aborted;
  for (let pause = retryMs; !isOver();) {
    try {
      await settle(self);
      pause = retryMs;
      await until(hasWork, self, signal);
      await hold(self, signal);
    } catch (error) {
      const what = self.isTelling ? 'Events cannot be written' : 'the Node cannot be told how it stands';
      if (pause === longestRetryMs && !signal.aborted) sayOnce(self, `${what}: ${explain(error)}`);
      const ms = pause * (0.5 + self.random() / 2);
      // Events alone must not keep the taint on.
      await (self.isTelling ? rest(self, ms, signal) : self.sleep(ms, signal).catch(() => undefined));
      pause = Math.min(pause * 2, longestRetryMs);
    }
  }
}

function reporterOf(settings: NodeSettings, outside: NodeOutside): Reporter {
  const { nodeName, instance } = settings;
  const { api, random } = outside;
  return {
    ...settings,
    ...outside,
    node: openNodeObject(nodeName, namesOf(instance), api),
    events: openNodeEvents(nodeName, instance, api, outside, random),
    wanted: undefined,
    view: undefined,
    readAt: 0,
    runtimes: [],
    waiting: [],
    isTelling: false,
    refused: new Set(),
    told: new Set(),
    bundle: '',
    isOtherBundle: false,
    saidAt: undefined,
    wake: () => undefined,
  };
}

/** Opens the report; nothing is asked before `follow`. */
export function openNode(settings: NodeSettings, outside: NodeOutside): NodeReport {
  let ending: AbortSignal | undefined;
  // What is under way when the agent ends must not arrive after what is said at the end.
  const api: Api = {
    ...outside.api,
    ask: (request) => outside.api.ask({ ...request, ...(ending && { signal: ending }) }),
  };
  const self = reporterOf(settings, { ...outside, api });
  return {
    tell(result) {
      const proof = proofOf(result, settings.version);
      const bundle = bundleOf(result);
      self.isOtherBundle ||= bundle !== self.bundle;
      self.bundle = bundle;
      self.wanted = { condition: conditionOf(result), proof, mayStart: mayStart(result) };
      for (const event of eventsOf(result, self.runtimes)) wait(self, event);
      self.runtimes = result.runtimes;
      self.wake();
    },
    async follow(signal) {
      ending = signal;
      await followOn(self, signal);
      ending = undefined;
    },
    removed(count) {
      const over = new AbortController();
      ending = over.signal;
      return tellRemoval({ ...self, uid: self.view?.uid ?? self.nodeName }, count, over);
    },
  };
}
