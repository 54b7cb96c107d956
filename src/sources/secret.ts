/**
 * The fast source: one watch on one Secret by name. It holds what the API server said last, and says so when that is
 * something new; a connection may end in any way at any time, and nothing is lost by it or told twice.
 *
 * 1. List the Secret by its name: what is there now, and the version from which a watch goes on.
 * 2. Watch from there. Each event replaces what is held; a bookmark only moves the version on.
 * 3. A watch that the server ended goes on where it was. After everything else - 410 Gone, a broken or silent
 *    connection, half a line - the list comes first again: only it says that the Secret is gone.
 * 4. A wait between two attempts, twice as long each time, until a watch has stood ten times as long as the wait before it.
 */
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod/mini';
import type { Api } from '../api/api.ts';
import { Refusal, isPassing } from '../api/refusal.ts';
import { list, texts } from '../api/shapes.ts';
import type { Reading } from '../bundle/types.ts';
import { explain } from '../host/problem.ts';
import { filesIn } from './object.ts';

export interface SecretName {
  readonly namespace: string;
  readonly name: string;
}

export interface SecretSource {
  /** The Secret as findings name it. */
  readonly source: string;
  /** What the API server said last; undefined as long as it has said nothing. */
  reading(): Reading | undefined;
  /** One line: what keeps it from being read now, where that does not pass by itself. */
  trouble(): string | undefined;
  /** Resolves when it has said something. */
  readonly answered: Promise<void>;
  /** Follows the Secret until `signal` is aborted. Never throws. */
  follow(signal: AbortSignal): Promise<void>;
}

/** What it takes from outside, and whom it tells. */
export interface SecretOutside {
  readonly api: Api;
  readonly steady: () => number;
  /** Ends early, by an error, when the signal is aborted. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly random: () => number;
  readonly pacing: SecretPacing;
  /** The Secret holds something else than before. */
  readonly changed: () => void;
  /** One line for the admin: what keeps the Secret from being read. */
  readonly failed: (line: string) => void;
  /** It is read again. */
  readonly recovered: (line: string) => void;
}

export interface SecretPacing {
  /** The first wait after an attempt that failed, and the longest. */
  readonly retryMs: number;
  readonly longestRetryMs: number;
  /** A watch is asked to end after this and up to twice as long, so that a thousand agents do not come back at once. */
  readonly watchMs: number;
  /** Bookmarks come every minute or so: a watch that is silent for longer is dead. */
  readonly silenceMs: number;
}

/** The API server's own reflectors ask for five to ten minutes too. */
export const secretPacing: SecretPacing = {
  retryMs: 100,
  longestRetryMs: 30_000,
  watchMs: 300_000,
  silenceMs: 150_000,
};

const version = z.string().check(z.minLength(1));
const secretShape = z.object({
  metadata: z.object({ name: z.string(), namespace: z.string(), resourceVersion: version }),
  data: z.optional(z.nullable(texts)),
});
const listShape = z.object({
  kind: z.literal('SecretList'),
  metadata: z.object({ resourceVersion: version }),
  items: z.nullable(list),
});
const eventShape = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: z.looseObject({}),
});
const bookmarkShape = z.object({ metadata: z.object({ resourceVersion: version }) });

type Secret = z.infer<typeof secretShape>;

/** What an object of the server says. @throws when it says something else */
function read<T>(shape: z.ZodMiniType<T>, value: unknown): T {
  const { success, data } = shape.safeParse(value);
  if (!success) throw new Error('what answered is not the API server, or not about this Secret');
  return data;
}

/** One line for the admin, with the rule that is missing where that is what is wrong. */
function describe(error: unknown, { namespace, name }: SecretName, verb: string): string {
  const what = `secret ${namespace}/${name} cannot be read through the API server`;
  if (!(error instanceof Refusal) || error.code !== 403) return `${what}: ${explain(error)}`;
  const rule = `apiGroups [""], resources [secrets], resourceNames [${name}], verbs [list, watch]`;
  return `${what}: the service account may not ${verb} it (403); grant it in a Role of namespace ${namespace}: ${rule}`;
}

/** The source at work. */
interface Follower extends SecretOutside {
  readonly wanted: SecretName;
  readonly source: string;
  /** The list by name, without the query of a watch. */
  readonly path: string;
  held: Reading | undefined;
  trouble: string | undefined;
  /** Since when the watch of this attempt stands; infinite when it does not. */
  stands: number;
  readonly answer: () => void;
  /** What was told since the Secret was last read, and of watches that broke off ever. */
  readonly told: Set<string>;
  readonly toldOfBreaks: Set<string>;
  /** Whether this attempt heard anything by a watch, and how many before it that stood did not. */
  heard: boolean;
  deaf: number;
}

function hold(self: Follower, reading: Reading): void {
  const same = isDeepStrictEqual(self.held, reading);
  self.held = reading;
  self.answer();
  if (!same) self.changed();
}

function holdSecret(self: Follower, { metadata, data }: Secret): void {
  if (metadata.name !== self.wanted.name || metadata.namespace !== self.wanted.namespace)
    throw new Error('the API server answered with another object');
  hold(self, { files: filesIn(self.source, data), findings: [] });
}

function holdNothing(self: Follower): void {
  const message = 'the Secret does not exist; create it, in this namespace and under this name';
  hold(self, { files: [], findings: [{ code: 'empty', severity: 'error', source: self.source, message }] });
}

/** It can be read again: who said that it cannot has to say so no more. */
function relieve(self: Follower): void {
  if (self.trouble === undefined) return;
  self.trouble = undefined;
  self.changed();
}

/** Step 1. @returns the version to watch from */
async function listSecret(self: Follower, signal: AbortSignal): Promise<string> {
  const { metadata, items } = read(listShape, await self.api.ask({ path: self.path, signal }));
  const [secret] = items ?? [];
  if (secret === undefined) holdNothing(self);
  else holdSecret(self, read(secretShape, secret));
  relieve(self);
  return metadata.resourceVersion;
}

/** @returns the version to go on from. @throws when the watch cannot go on */
function take(self: Follower, event: unknown): string {
  const { type, object } = read(eventShape, event);
  if (type === 'ERROR')
    throw new Refusal(typeof object['code'] === 'number' ? object['code'] : 0, 'the watch has ended');
  if (type === 'BOOKMARK') return read(bookmarkShape, object).metadata.resourceVersion;
  const secret = read(secretShape, object);
  if (type === 'DELETED') holdNothing(self);
  else holdSecret(self, secret);
  return secret.metadata.resourceVersion;
}

/** Step 2. */
async function watch(self: Follower, from: string, signal: AbortSignal): Promise<AsyncIterable<unknown>> {
  const seconds = Math.round((self.pacing.watchMs * (1 + self.random())) / 1000);
  const query = `watch=1&allowWatchBookmarks=true&timeoutSeconds=${seconds}&resourceVersion=${encodeURIComponent(from)}`;
  const { silenceMs } = self.pacing;
  const events = await self.api.follow({ path: `${self.path}&${query}`, silenceMs, signal });
  self.stands = self.steady();
  if (self.told.size > 0) self.recovered(`${self.source} is read through the API server again`);
  self.told.clear();
  return events;
}

function tell(self: Follower, told: Set<string>, error: unknown, verb: string): void {
  // Gone: the version is older than what the server remembers, as it is after the server's restart.
  if (error instanceof Refusal && error.code === 410) return;
  const line = describe(error, self.wanted, verb);
  if (!told.has(line)) self.failed(line);
  told.add(line);
  // Where only the watch fails, the list still tells what is new; and a server that is away is told nothing of it either.
  if (verb === 'list' && error instanceof Refusal && !isPassing(error)) self.trouble = line;
}

/** Steps 1 to 3, once. @returns the version to watch from, or nothing when the list has to come first */
async function attempt(
  self: Follower,
  from: string | undefined,
  isTired: boolean,
  signal: AbortSignal,
): Promise<string | undefined> {
  let verb = 'list';
  let open = false;
  Object.assign(self, { stands: Number.POSITIVE_INFINITY, heard: false });
  try {
    let last = from ?? (await listSecret(self, signal));
    verb = 'watch';
    const events = await watch(self, last, signal);
    open = true;
    for await (const event of events) {
      last = take(self, event);
      self.heard = true;
    }
    return self.heard ? last : undefined;
  } catch (error) {
    if (signal.aborted) return undefined;
    // Connections break off, and the next one stands at once: that is worth a line only when it happens again and again.
    const isLasting = error instanceof Refusal && !isPassing(error);
    if (isTired || isLasting) tell(self, open ? self.toldOfBreaks : self.told, error, verb);
    return undefined;
  }
}

/** So many watches in a row may end before anything is heard by them; bookmarks come every minute or so. */
const deafAtMost = 5;

function tellDeaf(self: Follower): void {
  self.deaf += 1;
  if (self.deaf !== deafAtMost || self.toldOfBreaks.size > 0) return;
  const line = `watches of ${self.source} end before anything is heard by them: does a proxy before the API server cut connections off?`;
  self.failed(`${line} Changes arrive late`);
  self.toldOfBreaks.add(line);
}

async function followOn(self: Follower, signal: AbortSignal): Promise<void> {
  const { retryMs, longestRetryMs } = self.pacing;
  let from: string | undefined;
  let pause = 0;
  while (!signal.aborted) {
    from = await attempt(self, from, pause > retryMs * 4, signal);
    if (self.heard) self.deaf = 0;
    else if (self.stands < Number.POSITIVE_INFINITY) tellDeaf(self);
    const stood = self.deaf < deafAtMost && self.steady() - self.stands > 10 * pause;
    pause = stood ? retryMs : Math.min(Math.max(pause * 2, retryMs), longestRetryMs);
    // Step 4. What ended all connections at once must not bring all agents back at once.
    await self.sleep(pause * (0.5 + self.random() / 2), signal).catch(() => undefined);
  }
}

/** Opens the source; nothing is asked before `follow`. */
export function openSecret(wanted: SecretName, outside: SecretOutside): SecretSource {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const self: Follower = {
    ...outside,
    wanted,
    source: `secret ${wanted.namespace}/${wanted.name}`,
    path: `/api/v1/namespaces/${wanted.namespace}/secrets?fieldSelector=metadata.name%3D${wanted.name}`,
    held: undefined,
    trouble: undefined,
    stands: Number.POSITIVE_INFINITY,
    answer: () => {
      resolve(undefined);
    },
    told: new Set(),
    toldOfBreaks: new Set(),
    heard: false,
    deaf: 0,
  };
  return {
    source: self.source,
    reading: () => self.held,
    trouble: () => self.trouble,
    answered: promise,
    follow: (signal) => followOn(self, signal),
  };
}
