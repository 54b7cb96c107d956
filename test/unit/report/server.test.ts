import { connect, createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Problem, UsageProblem } from '../../../src/host/problem.ts';
import { type Answers, type ReportServer, openServer } from '../../../src/report/server.ts';
import { leaveOut } from '../../sandbox/harness/leave-out.ts';

const loopback = '127.0.0.1';

async function serving(answers: Answers, host = loopback): Promise<ReportServer> {
  const server = await openServer(host, 0, answers);
  onTestFinished(() => server.close());
  return server;
}

const portOf = ({ address }: ReportServer): number => Number(address.slice(address.lastIndexOf(':') + 1));
const ask = ({ address }: ReportServer, path: string, options?: RequestInit): Promise<Response> =>
  fetch(`http://${address}${path}`, options);

describe('openServer', () => {
  it('answers as it is told at that moment', async () => {
    let ready = false;
    const server = await serving({
      '/readyz': () => (ready ? { status: 200, text: 'ready\n' } : { status: 503, text: 'not yet\n' }),
    });
    const before = await ask(server, '/readyz');
    expect([before.status, await before.text()]).toEqual([503, 'not yet\n']);
    ready = true;
    const now = await ask(server, '/readyz?verbose');
    expect([now.status, await now.text()]).toEqual([200, 'ready\n']);
    expect(now.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  });

  it('waits for an answer that takes its time, and gives its type', async () => {
    const server = await serving({
      '/metrics': () => Promise.resolve({ status: 200, text: 'ümläut 1\n', type: 'text/plain; version=0.0.4' }),
    });
    const response = await ask(server, '/metrics');
    expect(await response.text()).toBe('ümläut 1\n');
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4');
    expect(response.headers.get('content-length')).toBe('11');
  });

  it('answers HEAD without a body', async () => {
    const server = await serving({ '/healthz': () => ({ status: 200, text: 'alive\n' }) });
    const response = await ask(server, '/healthz', { method: 'HEAD' });
    expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([200, '6', '']);
  });

  it.each(['/', '/healthz/', '/constructor', '/__proto__', '//healthz'])('has nothing at %s', async (path) => {
    const server = await serving({ '/healthz': () => ({ status: 200, text: 'alive\n' }) });
    expect((await ask(server, path)).status).toBe(404);
  });

  it('goes on when an answer fails', async () => {
    const server = await serving({
      '/metrics': () => Promise.reject(new Error('no metrics')),
      '/healthz': () => ({ status: 200, text: 'alive\n' }),
    });
    await expect(ask(server, '/metrics')).rejects.toThrow();
    expect((await ask(server, '/healthz')).status).toBe(200);
  });

  it('goes on when it is sent nonsense', async () => {
    const server = await serving({ '/healthz': () => ({ status: 200, text: 'alive\n' }) });
    const socket = connect(portOf(server), loopback);
    await new Promise<void>((resolve) => {
      socket.once('close', () => {
        resolve();
      });
      socket.once('error', () => undefined);
      socket.resume();
      socket.end('\0\u0001 nonsense\r\n\r\n');
    });
    expect((await ask(server, '/healthz')).status).toBe(200);
  });

  it('names a port that another process has', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, loopback, resolve));
    onTestFinished(() => {
      other.close();
    });
    const address = other.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const opening = openServer(loopback, port, {});
    await expect(opening).rejects.toThrow(UsageProblem);
    await expect(opening).rejects.toThrow(
      `--listen 127.0.0.1:${port}: another process listens there; name another address`,
    );
  });

  it('names an address that is not of this machine', async () => {
    const opening = openServer('203.0.113.1', 0, {});
    await expect(opening).rejects.toThrow(/^--listen 203\.0\.113\.1:0: .*; name another address$/);
    // It may come later, at boot say: who starts the program again after a failure is not to be kept from it.
    await expect(opening).rejects.not.toBeInstanceOf(UsageProblem);
    await expect(opening).rejects.toBeInstanceOf(Problem);
  });

  it('says an IPv6 address as --listen takes it', async (context) => {
    const server = await serving({ '/healthz': () => ({ status: 200, text: 'alive\n' }) }, '::1').catch(
      () => undefined,
    );
    if (server === undefined) leaveOut(context, 'no IPv6 here');
    expect(server.address).toMatch(/^\[::1\]:\d+$/);
  });

  it('ends although a reader keeps its connection', async () => {
    const server = await openServer(loopback, 0, {});
    const socket = connect(portOf(server), loopback);
    await new Promise<void>((resolve) => {
      socket.once('connect', () => {
        resolve();
      });
    });
    socket.on('error', () => undefined);
    socket.resume();
    await server.close();
    await expect(ask(server, '/')).rejects.toThrow();
  });
});
