/**
 * A cluster as an admin reaches it: lists of its objects, page by page, with the credentials of a kubeconfig.
 *
 * client-node brings the credentials. The requests are Node's own: client-node's make an object of every field of every
 * Node, none of which is asked for here.
 */
import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request as sendPlain } from 'node:http';
import { Agent as SecureAgent, type RequestOptions, request as sendSecure } from 'node:https';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { getCACertificates } from 'node:tls';
import { createGunzip } from 'node:zlib';
import type { KubeConfig } from '@kubernetes/client-node';
import * as z from 'zod/mini';
import { UsageProblem, errnoOf, explain } from '../host/problem.ts';
import { ItemSplitter } from './items.ts';
import { Refusal } from './refusal.ts';

export interface ListRequest<S, T> {
  readonly path: string;
  readonly labelSelector?: string;
  /** What each object has to be. */
  readonly shape: z.ZodMiniType<S>;
  /** What is kept of it; undefined when nothing. */
  readonly pick: (item: S) => T | undefined;
  /** Is told after each page how many objects came. */
  readonly onPage?: (count: number) => void;
  readonly signal: AbortSignal;
}

export interface Cluster {
  /**
   * All objects of a list.
   * @throws Refusal when the server says no; UsageProblem when it cannot be reached, or has no credentials for it
   */
  list<S, T>(request: ListRequest<S, T>): Promise<readonly T[]>;
}

const pageSize = 500;
/** Characters: 500 Nodes with all the images that a kubelet names are 10 million. */
const maxSize = 64 * 1024 * 1024;
/** Bytes that are unpacked at a time. */
const chunkSize = 64 * 1024;
/** A server that says nothing for so long is not there. */
const silenceMs = 15_000;
/** A list that takes longer than the server keeps its pages (410) is begun again this often. */
const maxStarts = 3;

/** What went wrong, with the path that a system error is about. */
function why(error: unknown): string {
  // Several addresses of one name fail together.
  const one = error instanceof AggregateError ? (error.errors as unknown[])[0] : error;
  if (!(one instanceof Error)) return explain(one);
  const line = one.message.split('\n').find((text) => text.trim() !== '');
  return line ?? errnoOf(one) ?? one.name;
}

interface Door {
  readonly url: string;
  readonly options: RequestOptions;
  /** For a person: where, as whom. */
  readonly where: string;
  readonly user: string;
}

/** Where to and as whom: made anew for each list, since credentials age. */
async function open(config: KubeConfig, environment: NodeJS.ProcessEnv): Promise<Door> {
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser()?.name ?? '';
  const headers: OutgoingHttpHeaders = { accept: 'application/json', 'accept-encoding': 'gzip' };
  const options: RequestOptions = { headers };
  await config.applyToHTTPSOptions(options).catch((error: unknown) => {
    throw new UsageProblem(
      `the credentials of the kubeconfig's user ${user} cannot be had: ${why(error)}; log in again, or mend the kubeconfig`,
      {
        cause: error,
      },
    );
  });
  const url = cluster?.server ?? '';
  // kubectl trusts the machine's own store where the kubeconfig names no CA, and takes the proxy that the variables name.
  const isOwn = url.startsWith('https:') && !cluster?.proxyUrl;
  if (isOwn) {
    const { ca = [...getCACertificates('default'), ...getCACertificates('system')] } = options;
    const { cert, key, servername, rejectUnauthorized } = options;
    const identity = { ca, cert, key, servername, rejectUnauthorized };
    options.agent = new SecureAgent({ ...identity, keepAlive: true, proxyEnv: environment });
  }
  return { url, options, where: `${url} (context ${config.getCurrentContext()})`, user };
}

function send({ url, options }: Door, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const sender = url.startsWith('https:') ? sendSecure : sendPlain;
  return new Promise((resolve, reject) => {
    const sent = sender(`${url}${path}`, { ...options, signal, timeout: silenceMs }, resolve);
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${silenceMs / 1000} s`)));
    sent.on('error', reject);
    sent.end();
  });
}

/** What came of one request. */
interface Answered {
  readonly code: number;
  /** The text without the items of a list. */
  readonly rest: string;
}

/** One request. @param take is given the JSON of each item of a list */
async function exchange(
  door: Door,
  path: string,
  signal: AbortSignal,
  take: (item: string) => void,
): Promise<Answered> {
  const splitter = new ItemSplitter();
  let size = 0;
  const read = async (stream: AsyncIterable<string>): Promise<void> => {
    for await (const piece of stream) {
      size += piece.length;
      if (size > maxSize) throw new Error(`its answer is longer than ${maxSize}`);
      for (const item of splitter.push(piece)) take(item);
    }
  };
  try {
    const response = await send(door, path, signal);
    const isPacked = response.headers['content-encoding'] === 'gzip';
    const unpacked = isPacked ? createGunzip({ chunkSize }) : new PassThrough();
    await pipeline(response, unpacked.setEncoding('utf8'), read, { signal });
    return { code: response.statusCode ?? 0, rest: splitter.rest };
  } catch (error) {
    if (error instanceof UsageProblem) throw error;
    const advice = 'is it the right context, and does the network lead there?';
    throw new UsageProblem(`the API server ${door.where} cannot be reached: ${why(error)}; ${advice}`, {
      cause: error,
    });
  }
}

const statusShape = z.object({ message: z.string() });
const pageShape = z.object({
  metadata: z.object({ continue: z.optional(z.string()) }),
  items: z.array(z.null()),
});

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a refusal means for the admin. */
function refusal({ where, user }: Door, code: number, text: string): UsageProblem {
  const server = `the API server ${where}`;
  if (code !== 401) return new Refusal(code, z.safeParse(statusShape, parse(text)).data?.message ?? '', server);
  const advice = 'they may have expired; log in again, or renew them';
  return new UsageProblem(`${server} does not accept the credentials of the user ${user}: ${advice}`);
}

function stranger({ where }: Door): UsageProblem {
  return new UsageProblem(`what answers at ${where} is not a Kubernetes API server: is the context the right one?`);
}

type Paged = Pick<ListRequest<unknown, unknown>, 'path' | 'labelSelector'>;

function pathOf({ path, labelSelector }: Paged, next: string): string {
  const query = new URLSearchParams({ limit: String(pageSize) });
  if (labelSelector !== undefined) query.set('labelSelector', labelSelector);
  if (next !== '') query.set('continue', next);
  return `${path}?${query.toString()}`;
}

async function listOnce<S, T>(door: Door, request: ListRequest<S, T>): Promise<readonly T[]> {
  const kept: T[] = [];
  let count = 0;
  let next = '';
  const take = (item: string): void => {
    const parsed = z.safeParse(request.shape, parse(item));
    if (!parsed.success) throw stranger(door);
    const picked = request.pick(parsed.data);
    if (picked !== undefined) kept.push(picked);
    count += 1;
  };
  do {
    const { code, rest } = await exchange(door, pathOf(request, next), request.signal, take);
    if (code !== 200) throw refusal(door, code, rest);
    const page = z.safeParse(pageShape, parse(rest)).data;
    if (page === undefined) throw stranger(door);
    next = page.metadata.continue ?? '';
    request.onPage?.(count);
  } while (next !== '');
  return kept;
}

/** Begins again when the server has let go of the pages that are left. */
async function listWhole<S, T>(door: Door, request: ListRequest<S, T>, starts = 1): Promise<readonly T[]> {
  try {
    return await listOnce(door, request);
  } catch (error) {
    const isOutdated = error instanceof Refusal && error.code === 410;
    if (!isOutdated || starts === maxStarts) throw error;
    return listWhole(door, request, starts + 1);
  }
}

/** Opens the cluster of a kubeconfig's current context. @param environment names the proxy, if any */
export function openCluster(config: KubeConfig, environment: NodeJS.ProcessEnv): Cluster {
  return {
    async list(request) {
      const door = await open(config, environment);
      try {
        return await listWhole(door, request);
      } finally {
        if (door.options.agent instanceof Agent) door.options.agent.destroy();
      }
    },
  };
}
