/**
 * A cluster as an admin reaches it: lists of its objects, page by page, with the credentials of a kubeconfig.
 *
 * client-node brings the credentials. The requests are Node's own: client-node's make an object of every field of every
 * Node, none of which is asked for here.
 */
import { type IncomingMessage, request as sendPlain } from 'node:http';
import { request as sendSecure } from 'node:https';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { KubeConfig } from '@kubernetes/client-node';
import * as z from 'zod/mini';
import { UsageProblem } from '../host/problem.ts';
import { type Door, adviceOn, openDoor, why } from './door.ts';
import { ItemSplitter } from './items.ts';
import { Refusal, jsonOf, messageOf } from './refusal.ts';
import { listOf } from './shapes.ts';

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

function send({ url, options, user }: Door, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const sender = url.startsWith('https:') ? sendSecure : sendPlain;
  return new Promise((resolve, reject) => {
    try {
      const sent = sender(`${url}${path}`, { ...options, signal }, resolve);
      sent.on('error', reject);
      sent.end();
    } catch (error) {
      // Nothing was sent: what the kubeconfig says makes no request.
      const line = `the credentials of the kubeconfig's user ${user} cannot be used: ${why(error)}; mend the kubeconfig`;
      reject(new UsageProblem(line, { cause: error }));
    }
  });
}

/** One request. @param take is given the JSON of each item of a list; `rest` is the text without them */
async function exchange(
  door: Door,
  path: string,
  signal: AbortSignal,
  take: (item: string) => void,
): Promise<{ readonly code: number; readonly rest: string }> {
  const splitter = new ItemSplitter();
  let size = 0;
  // A timeout of Node's own comes after twice its time where TLS has not begun.
  const silence = new AbortController();
  const timer = setTimeout(() => {
    silence.abort();
  }, silenceMs);
  const ended = AbortSignal.any([signal, silence.signal]);
  const read = async (stream: AsyncIterable<string>): Promise<void> => {
    for await (const piece of stream) {
      timer.refresh();
      size += piece.length;
      if (size > maxSize) throw new Error(`its answer is longer than ${maxSize}`);
      for (const item of splitter.push(piece)) take(item);
    }
  };
  try {
    const response = await send(door, path, ended);
    const isPacked = response.headers['content-encoding'] === 'gzip';
    const unpacked = isPacked ? createGunzip({ chunkSize }) : new PassThrough();
    await pipeline(response, unpacked.setEncoding('utf8'), read, { signal: ended });
    return { code: response.statusCode ?? 0, rest: splitter.rest };
  } catch (error) {
    if (error instanceof UsageProblem) throw error;
    const trouble = silence.signal.aborted ? `no answer within ${silenceMs / 1000} s` : why(error);
    throw new UsageProblem(`the API server ${door.where} cannot be reached: ${trouble}; ${adviceOn(error, door)}`, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}

const pageShape = z.object({
  metadata: z.object({ continue: z.optional(z.string()) }),
  items: listOf(z.null()),
});

/** What a refusal means for the admin. */
function refusal({ where, user }: Door, code: number, text: string): UsageProblem {
  const server = `the API server ${where}`;
  if (code === 401) {
    const advice = 'they may have expired; log in again, or renew them';
    return new UsageProblem(`${server} does not accept the credentials of the user ${user}: ${advice}`);
  }
  const said = messageOf(text);
  const isNobody = code === 403 && said.includes('"system:anonymous"');
  const advice = `the kubeconfig's user ${user} has no credentials that it knows: log in, or mend them`;
  return new Refusal(code, said, server, isNobody ? advice : '');
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
    const parsed = z.safeParse(request.shape, jsonOf(item));
    if (!parsed.success) throw stranger(door);
    const picked = request.pick(parsed.data);
    if (picked !== undefined) kept.push(picked);
    count += 1;
  };
  do {
    const { code, rest } = await exchange(door, pathOf(request, next), request.signal, take);
    if (code !== 200) throw refusal(door, code, rest);
    const page = z.safeParse(pageShape, jsonOf(rest)).data;
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
  let opened: Promise<unknown> = Promise.resolve();
  return {
    async list(request) {
      // One after the other: the second list has no plug-in ask a person again.
      const opening = opened.then(() => openDoor(config, environment, request.signal));
      opened = opening.catch(() => undefined);
      const door = await opening;
      try {
        return await listWhole(door, request);
      } finally {
        door.close();
      }
    },
  };
}
