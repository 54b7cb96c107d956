// What stands between an agent and the API server, and breaks: each connection through it meets one fault.
import { type Socket, connect, createServer } from 'node:net';
import { apiHost, apiPort } from './api-server.ts';

/** What can happen to a connection once some of its octets have passed. */
export const kinds = ['reset', 'half-close', 'truncate', 'delay', 'swallow'] as const;
export type Fault = (typeof kinds)[number];

export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** How often each fault has struck. */
  readonly struck: Readonly<Record<Fault, number>>;
  readonly total: () => number;
  /** From now on all connections pass, those that are open too. */
  heal(): void;
}

/** So much later octets that are held back go on, and so long the connection lives then. */
const delayMs = 300;
const slowMs = 500;
/** What has lived for so long is a watch. One that goes silent without ending is noticed by a timer alone. */
const watchMs = 150;

interface Strike {
  readonly kind: Fault;
  /** It strikes when so many octets have come from the server; never by octets when it strikes a watch. */
  readonly after: number;
}

interface Line {
  readonly client: Socket;
  readonly server: Socket;
}

const strikes: Readonly<Record<Fault, (line: Line, chunk: Buffer) => void>> = {
  reset: ({ client, server }) => {
    client.resetAndDestroy();
    server.destroy();
  },
  // The server has ended its half; what the client sends still arrives.
  'half-close': ({ client }) => {
    client.end();
  },
  truncate: ({ client, server }, chunk) => {
    client.end(chunk.subarray(0, Math.floor(chunk.length / 2)));
    server.destroy();
  },
  delay: ({ client }, chunk) => {
    setTimeout(() => client.write(chunk), delayMs);
    setTimeout(() => {
      client.end();
    }, slowMs);
  },
  // Nothing arrives any more, in either direction, and nobody is told.
  swallow: ({ client, server }) => {
    client.unpipe(server);
    client.resume();
  },
};

/** Listens. @param random chooses the faults, so that a seed repeats them */
export async function openProxy(random: () => number): Promise<Proxy> {
  const struck = { reset: 0, 'half-close': 0, truncate: 0, delay: 0, swallow: 0 };
  const open = new Set<Socket>();
  let isHealed = false;
  const choose = (): Strike => {
    const kind = kinds[Math.floor(random() * kinds.length)] ?? 'reset';
    // From the middle of the TLS handshake to some events of the watch.
    const after = Math.floor(500 + random() ** 2 * 12_000);
    return { kind, after: kind === 'swallow' ? Number.POSITIVE_INFINITY : after };
  };
  const carry = (line: Line): void => {
    const { client, server } = line;
    const { kind, after } = choose();
    let passed = 0;
    let state: 'whole' | 'struck' = 'whole';
    client.pipe(server);
    if (kind === 'swallow') {
      setTimeout(() => {
        if (isHealed || client.destroyed) return;
        state = 'struck';
        struck.swallow += 1;
        strikes.swallow(line, Buffer.alloc(0));
      }, watchMs);
    }
    server.on('data', (chunk: Buffer) => {
      passed += chunk.length;
      if (!isHealed && state === 'whole' && passed >= after) {
        state = 'struck';
        struck[kind] += 1;
        strikes[kind](line, chunk);
      } else if (state === 'whole' || kind === 'delay') {
        if (state === 'struck') setTimeout(() => client.write(chunk), delayMs);
        else client.write(chunk);
      }
    });
    server.on('end', () => {
      if (state === 'whole' || kind !== 'swallow') client.end();
    });
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect(apiPort, apiHost);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        open.delete(socket);
        other.destroy();
      });
    }
    carry({ client, server: upstream });
  });
  await new Promise<void>((resolve) => server.listen(0, apiHost, resolve));
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : 0,
    struck,
    total: () => Object.values(struck).reduce((sum, count) => sum + count, 0),
    heal: () => {
      isHealed = true;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
