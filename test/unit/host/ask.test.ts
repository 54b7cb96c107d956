import * as fs from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type ServerHttp2Stream, createServer as createHttp2Server } from 'node:http2';
import { type Server, createServer } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { askGrpc, askHttp } from '../../../src/host/ask.ts';
import type { Host } from '../../../src/host/host.ts';
import { emptyHost } from '../support/directories.ts';

const socket = '/etc/runtime.sock';

async function listen(host: Host, server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.listen(join(host.root, socket), resolve));
  onTestFinished(() => {
    server.close();
  });
}

/** A gRPC server that answers every call with these bytes of a message. */
async function answering(host: Host, message: readonly number[]): Promise<void> {
  const server = createHttp2Server();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    if (headers[':path'] !== '/a.Service/Version') {
      stream.respond({ ':status': 200, 'grpc-status': '12' }, { endStream: true });
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.end(Buffer.from([0, 0, 0, 0, message.length, ...message]));
  });
  await listen(host, server);
}

const text = (value: string): readonly number[] => [value.length, ...Buffer.from(value)];

describe('askGrpc', () => {
  it('reads the texts of the answer, whatever stands between', async () => {
    const host = emptyHost();
    await answering(host, [0x0a, ...text('v2.1.9'), 0x18, 0x96, 0x01, 0x12, ...text('abc')]);
    expect([...((await askGrpc(host, socket, '/a.Service/Version')) ?? [])]).toEqual([
      [1, 'v2.1.9'],
      [2, 'abc'],
    ]);
  });

  it.each([
    ['cut off in a text', [0x0a, 9, 0x76]],
    ['of nonsense', [0xff, 0xff, 0xff, 0xff]],
    ['empty', []],
  ])('gives what there is of a message %s', async (_, message) => {
    const host = emptyHost();
    await answering(host, message);
    expect(await askGrpc(host, socket, '/a.Service/Version')).toBeInstanceOf(Map);
  });

  it('has no answer from a method that is not there, and from a socket that is none', async () => {
    const host = emptyHost();
    await answering(host, []);
    expect(await askGrpc(host, socket, '/a.Service/Other')).toBeUndefined();
    expect(await askGrpc(host, '/etc/none.sock', '/a.Service/Version')).toBeUndefined();
    fs.writeFileSync(join(host.root, 'etc/file'), '');
    expect(await askGrpc(host, '/etc/file', '/a.Service/Version')).toBeUndefined();
  });

  it('does not wait for a program that hangs', async () => {
    const host = emptyHost();
    await listen(host, createServer());
    expect(await askGrpc(host, socket, '/a.Service/Version')).toBeUndefined();
    expect(await askHttp(host, socket, '/version')).toBeUndefined();
  });
});

describe('a program that means harm', () => {
  /** Sends on and on; what has been sent so far is counted. */
  const pour = (stream: Writable, sent: { bytes: number }): void => {
    stream.on('error', () => undefined);
    const more = (): void => {
      let goesOn = true;
      while (goesOn && !stream.destroyed) {
        goesOn = stream.write(Buffer.alloc(16_384, 'x'));
        sent.bytes += 16_384;
      }
      stream.once('drain', more);
    };
    more();
  };

  it('and answers gigabytes is left after little of it', async () => {
    const host = emptyHost();
    const sent = { bytes: 0 };
    const server = createHttp2Server();
    server.on('stream', (stream: ServerHttp2Stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      pour(stream, sent);
    });
    await listen(host, server);
    expect(await askGrpc(host, socket, '/a.Service/Version')).toBeUndefined();
    expect(sent.bytes).toBeLessThan(4 * 2 ** 20);
  });

  it('and answers gigabytes by HTTP is left likewise', async () => {
    const host = emptyHost();
    const sent = { bytes: 0 };
    await listen(
      host,
      createHttpServer((_, response) => {
        pour(response, sent);
      }),
    );
    expect(await askHttp(host, socket, '/version')).toBeUndefined();
    expect(sent.bytes).toBeLessThan(4 * 2 ** 20);
  });

  it('and sends an octet now and then, so that it is never silent, is left all the same', async () => {
    const host = emptyHost();
    let timer: NodeJS.Timeout | undefined;
    await listen(
      host,
      createHttpServer((_, response) => {
        timer = setInterval(() => response.write(' '), 50);
      }),
    );
    expect(await askHttp(host, socket, '/version')).toBeUndefined();
    clearInterval(timer);
  });
});

describe('askHttp', () => {
  it('reads JSON, and nothing else', async () => {
    const host = emptyHost();
    const server = createHttpServer((request, response) => {
      response.end(request.url === '/version' ? '{"Version":"20.10"}' : 'not found');
    });
    await listen(host, server);
    expect(await askHttp(host, socket, '/version')).toEqual({ Version: '20.10' });
    expect(await askHttp(host, socket, '/other')).toBeUndefined();
  });
});
