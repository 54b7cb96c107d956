/**
 * What answers on --listen: /healthz and /livez for liveness, /readyz for readiness, /metrics for Prometheus. It tells,
 * and takes nothing in: no request can change what the agent does.
 */
import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { Socket } from 'node:net';
import { Problem, UsageProblem, errnoOf, explain } from '../host/problem.ts';

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly type?: string;
}

export type Answers = Readonly<Record<string, () => Answer | Promise<Answer>>>;

export interface ReportServer {
  /** Where it listens: the port is the chosen one when 0 was asked for. */
  readonly address: string;
  close(): Promise<void>;
}

async function respond(answers: Answers, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    // What it would send is not waited for.
    response.writeHead(405, { allow: 'GET, HEAD', connection: 'close' }).end(() => request.destroy());
    return;
  }
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
  const answer = Object.hasOwn(answers, path) ? await answers[path]?.() : undefined;
  const { status, text, type } = answer ?? { status: 404, text: `no ${path} here\n` };
  response.writeHead(status, {
    'content-type': type ?? 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    // Node only says so itself for the last request of a connection, and holds it open.
    connection: 'close',
  });
  response.end(request.method === 'HEAD' ? undefined : text);
}

/** So many connections at a time: those of whoever opens more and says nothing must not keep the kubelet out. */
const mostConnections = 1_000;

/** The newest connection is taken always: the one that is the oldest goes. */
function takeNewest(server: Server): void {
  const connections = new Set<Socket>();
  server.on('connection', (socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
    const [oldest] = connections;
    if (connections.size > mostConnections) oldest?.destroy();
  });
}

/**
 * Listens.
 * @param host an address of this machine
 * @param answers what each path answers, asked at each request
 * @throws Problem when the machine does not have the address; UsageProblem when it cannot be had otherwise
 */
export async function openServer(host: string, port: number, answers: Answers): Promise<ReportServer> {
  // A reader that never ends its request must not hold a connection for long, 10 s at most: every user of the node can be
  // one. Each check wakes an agent that rests.
  const limits = { requestTimeout: 5_000, headersTimeout: 5_000, connectionsCheckingInterval: 5_000 };
  const server = createServer(limits, (request, response) => {
    respond(answers, request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : undefined);
    });
  });
  takeNewest(server);
  // Who asks a thousand times on one connection and reads nothing would have a thousand answers held, and made in one turn.
  server.maxRequestsPerSocket = 1;
  await once(server.listen(port, host), 'listening').catch((error: unknown) => {
    const code = errnoOf(error);
    const why = code === 'EADDRINUSE' ? 'another process listens there' : explain(error);
    // At boot the machine may not have the address yet: whoever starts the program again is right to.
    const Kind = code === 'EADDRNOTAVAIL' ? Problem : UsageProblem;
    throw new Kind(`--listen ${host}:${port}: ${why}; name another address`, { cause: error });
  });
  // What goes wrong on one connection later ends that connection only.
  server.on('error', () => undefined);
  const bound = server.address();
  const chosen = typeof bound === 'object' && bound !== null ? bound.port : port;
  return {
    address: host.includes(':') ? `[${host}]:${chosen}` : `${host}:${chosen}`,
    close: async () => {
      const closed = once(server.close(), 'close');
      server.closeAllConnections();
      await closed;
    },
  };
}
