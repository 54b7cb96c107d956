/**
 * The only door to the API server: requests with the pod's own service account, each with a limit on time and on size.
 *
 * client-node says where the server is, which CA it has and which token is ours. The requests are Node's own: client-node's
 * (undici) cost 7 MiB more at rest, end every watch that is quiet for 30 s, skip what they cannot parse without a word,
 * and hold as much as an endless answer sends.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { type RequestOptions, request as send } from 'node:https';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { problemOf } from '../host/problem.ts';
import { type Sleep, withPatience } from './patience.ts';
import { Refusal, jsonOf, messageOf } from './refusal.ts';
import type { Api, ApiRequest } from './requests.ts';

export type { Api, ApiRequest } from './requests.ts';

/** A whole answer to a request, and the beginning of one that goes on, are there within this. */
const answerMs = 10_000;
/** etcd holds no object over 1.5 MiB unless told to; as JSON, with its bytes in base64, it is larger. */
const maxBytes = 4 * 1024 * 1024;
/** From then on the kernel asks the other end whether it is still there. */
const keepAliveMs = 30_000;

/** One exchange under way. */
interface Exchange {
  readonly response: IncomingMessage;
  /** Gives it so much time from now on. */
  allow(ms: number): void;
  /** Ends it, whatever is left. */
  end(): void;
  /** Why it was ended, rather than what Node made of that. */
  reason(error: unknown): unknown;
}

/** Where to, as whom: made anew for each request, since the kubelet replaces the token and the CA as they age. */
async function prepare(root: string, request: ApiRequest): Promise<{ url: URL; options: RequestOptions }> {
  const config = new KubeConfig();
  config.loadFromCluster(root);
  const headers = { accept: 'application/json', 'content-type': request.type ?? 'application/json' };
  const options: RequestOptions = { method: request.method ?? 'GET', headers };
  await config.applyToHTTPSOptions(options).catch((error: unknown) => {
    throw problemOf("the pod's service account cannot be read", error);
  });
  return { url: new URL(request.path, config.getCurrentCluster()?.server), options };
}

function answerTo(sent: ClientRequest, body: unknown): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.on('response', resolve);
    sent.on('error', reject);
    // One that asks for another protocol is closed without an error.
    sent.on('close', () => {
      reject(new Error('the API server did not answer'));
    });
    sent.on('socket', (socket) => socket.setKeepAlive(true, keepAliveMs));
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function begin(root: string, request: ApiRequest): Promise<Exchange> {
  const { url, options } = await prepare(root, request);
  const ended = new AbortController();
  const end = (): void => {
    clearTimeout(timer);
    request.signal?.removeEventListener('abort', end);
    ended.abort();
  };
  const expire = (): void => {
    ended.abort(new Error('the API server does not answer in time'));
    end();
  };
  let timer = setTimeout(expire, answerMs);
  const reason = (error: unknown): unknown => (ended.signal.aborted ? ended.signal.reason : error);
  request.signal?.addEventListener('abort', end);
  if (request.signal?.aborted === true) end();
  const response = answerTo(send(url, { ...options, signal: ended.signal }), request.body);
  try {
    return {
      response: await response,
      allow: (ms) => {
        clearTimeout(timer);
        timer = setTimeout(expire, ms);
      },
      end,
      reason,
    };
  } catch (error) {
    const why = reason(error);
    end();
    throw why;
  }
}

/** Octets that come in pieces. The room doubles, so that a million pieces of one octet cost no more than one of a million. */
interface Pile {
  /** @throws when there are too many */
  add(chunk: Buffer): void;
  /** All of them as text; nothing is left. */
  take(): string;
  readonly isEmpty: () => boolean;
}

function openPile(): Pile {
  let room = Buffer.alloc(0);
  let size = 0;
  return {
    add(chunk) {
      if (size + chunk.length > maxBytes) throw new Error(`the API server's answer is over ${maxBytes} bytes`);
      if (size + chunk.length > room.length) {
        const wider = Buffer.allocUnsafeSlow(Math.max(room.length * 2, size + chunk.length));
        room.copy(wider, 0, 0, size);
        room = wider;
      }
      size += chunk.copy(room, size);
    },
    take() {
      const text = room.toString('utf8', 0, size);
      room = Buffer.alloc(0);
      size = 0;
      return text;
    },
    isEmpty: () => size === 0,
  };
}

async function settled(exchange: Exchange): Promise<string> {
  const pile = openPile();
  try {
    for await (const chunk of exchange.response as AsyncIterable<Buffer>) pile.add(chunk);
    const text = pile.take();
    const status = exchange.response.statusCode ?? 0;
    if (status < 200 || status > 299) throw new Refusal(status, messageOf(text));
    return text;
  } catch (error) {
    throw exchange.reason(error);
  } finally {
    exchange.end();
  }
}

function parse(text: string): unknown {
  const value = jsonOf(text);
  if (value === undefined) throw new Error('the API server answered something else than JSON');
  return value;
}

/** The lines that a chunk completes; its rest waits in the pile. */
function* completed(pile: Pile, chunk: Buffer): Generator<string> {
  let start = 0;
  for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
    pile.add(chunk.subarray(start, end));
    start = end + 1;
    if (!pile.isEmpty()) yield pile.take();
  }
  pile.add(chunk.subarray(start));
}

async function* linesOf(exchange: Exchange, silenceMs: number): AsyncGenerator {
  const pile = openPile();
  try {
    exchange.allow(silenceMs);
    for await (const chunk of exchange.response as AsyncIterable<Buffer>) {
      for (const line of completed(pile, chunk)) {
        exchange.allow(silenceMs);
        yield parse(line);
      }
    }
    if (!pile.isEmpty()) throw new Error("the API server's answer breaks off");
  } catch (error) {
    throw exchange.reason(error);
  } finally {
    exchange.end();
  }
}

const inRealTime: Sleep = (ms, signal) => sleepFor(ms, undefined, { ...(signal && { signal }) });

/**
 * Opens the door of the pod that this process runs in.
 * @param root what stands before /var/run/secrets/kubernetes.io/serviceaccount
 * @returns undefined when this is no pod
 */
export function openApi(root = '', sleep = inRealTime): Api | undefined {
  if (process.env['KUBERNETES_SERVICE_HOST'] === undefined) return undefined;
  const api: Api = {
    ask: async (request) => parse(await settled(await begin(root, request))),
    follow: async ({ path, silenceMs, signal }) => {
      const exchange = await begin(root, { path, signal });
      if (exchange.response.statusCode === 200) return linesOf(exchange, silenceMs);
      await settled(exchange);
      throw new Error('the API server answered, but not with a watch');
    },
  };
  return withPatience(api, sleep);
}
