/** The port of probes and metrics, as those see it who mean harm: every user of the node can be one. */
import { once } from 'node:events';
import { request } from 'node:http';
import { type Socket, connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Answers, type ReportServer, openServer } from '../../../src/report/server.ts';
import { leaveOut } from '../../sandbox/harness/leave-out.ts';

const loopback = '127.0.0.1';
const answers = {
  '/healthz': () => ({ status: 200, text: 'alive\n' }),
  '/metrics': () => ({ status: 200, text: 'node_ca_trust_converged 1\n' }),
};

async function serving(told: Answers = answers): Promise<ReportServer> {
  const server = await openServer(loopback, 0, told);
  onTestFinished(() => server.close());
  return server;
}

const portOf = ({ address }: ReportServer): number => Number(address.slice(address.lastIndexOf(':') + 1));

async function open(server: ReportServer): Promise<Socket> {
  const socket = connect(portOf(server), loopback);
  socket.on('error', () => undefined);
  onTestFinished(() => {
    socket.destroy();
  });
  await once(socket, 'connect');
  return socket;
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('close', () => {
      resolve();
    });
  });
}

/** What comes back for these octets, until the other end closes. */
async function reply(server: ReportServer, text: string): Promise<string> {
  const socket = await open(server);
  let said = '';
  socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
  socket.write(text);
  await closed(socket);
  return said;
}

/** The status of an answer by a connection of its own. */
function statusOf(server: ReportServer, path: string, method = 'GET'): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: loopback, port: portOf(server), path, method, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('the port of probes and metrics', () => {
  it('is on the address that was named, and on no other of the machine', async (context) => {
    const server = await serving();
    const others = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ family, internal }) => family === 'IPv4' && !internal);
    if (others.length === 0) leaveOut(context, 'this machine has no other address');
    for (const { address } of others) {
      const socket = connect(portOf(server), address);
      const [error] = (await once(socket, 'error')) as [Error & { code?: string }];
      expect(error.code).toBe('ECONNREFUSED');
    }
  });

  it('answers though a thousand connections say nothing, or never end what they say', async () => {
    const server = await serving();
    const before = process.memoryUsage().heapUsed;
    const sockets = await Promise.all(Array.from({ length: 1_000 }, () => open(server)));
    for (const [index, socket] of sockets.entries()) if (index % 2 === 0) socket.write('GET /metrics HTTP/1.1\r\nx: ');
    expect(await statusOf(server, '/healthz')).toBe(200);
    expect((process.memoryUsage().heapUsed - before) / sockets.length).toBeLessThan(40_000);
  });

  it('answers at once though more connections have come than it takes, and say nothing', async () => {
    const server = await serving();
    for (let round = 0; round < 3; round += 1) {
      await Promise.all(Array.from({ length: 1_200 }, () => open(server)));
      expect(await statusOf(server, '/healthz')).toBe(200);
    }
  });

  it('makes one answer for a connection that asks a thousand times at once, and reads nothing', async () => {
    let made = 0;
    const server = await serving({
      ...answers,
      '/metrics': () => {
        made += 1;
        return answers['/metrics']();
      },
    });
    const socket = await open(server);
    socket.write('GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(1_000));
    expect(await statusOf(server, '/healthz')).toBe(200);
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await closed(socket);
    expect(made).toBe(1);
    expect(said).toMatch(/^HTTP\/1\.1 200 .*\r\nconnection: close\r\n.*node_ca_trust_converged 1\n/is);
  });

  it.each([
    [
      'headers of a megabyte',
      `GET /metrics HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(2 ** 20)}\r\n\r\n`,
      /^HTTP\/1\.1 431 |^$/,
    ],
    ['a path of a megabyte', `GET /${'x'.repeat(2 ** 20)} HTTP/1.1\r\nhost: x\r\n\r\n`, /^HTTP\/1\.1 431 |^$/],
    ['a thousand headers', `GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(100_000)}\r\n`, /^HTTP\/1\.1 431 |^$/],
    ['no host', 'GET /metrics HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'two lengths',
      'POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n',
      /^HTTP\/1\.1 400 /,
    ],
    ['another protocol', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', /^HTTP\/1\.1 400 /],
  ])('refuses %s', async (_, text, status) => {
    const server = await serving();
    expect(await reply(server, text)).toMatch(status);
    expect(await statusOf(server, '/healthz')).toBe(200);
  });

  it.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'])('takes no %s', async (method) => {
    const server = await serving();
    expect([await statusOf(server, '/metrics', method), await statusOf(server, '/metrics')]).toEqual([405, 200]);
  });

  it('takes no body, however long it is', async () => {
    const server = await serving();
    const socket = await open(server);
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
    socket.write('POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n');
    await closed(socket);
    expect(said).toMatch(/^HTTP\/1\.1 405 .*\r\nconnection: close\r\n/is);
  });

  it.each([
    '/../metrics',
    '/metrics/../metrics',
    '/%6detrics',
    '//metrics',
    '/metrics%00',
    '/METRICS',
    '*',
    '/metrics/',
  ])('has nothing at %s', async (path) => {
    const server = await serving();
    expect(await statusOf(server, path)).toBe(404);
  });
});
