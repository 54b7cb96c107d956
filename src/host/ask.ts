/**
 * Questions to programs of the host that answer on a socket of theirs: a container runtime says its version, and whether
 * it serves the kubelet. A socket is asked and no program is run, so a question costs milliseconds.
 */
import type { ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import type { Readable } from 'node:stream';
import type { Host } from './host.ts';

/** A program that is well answers at once; one that is not must not hold up a pass. */
const answerMs = 2_000;

/** Far more than a version, in bytes. */
const mostBytes = 64 * 1024;

/** Takes an answer in. @param tooMuch is called when there is no end of it */
function collect(stream: Readable, tooMuch: () => void): Buffer[] {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > mostBytes) tooMuch();
    else chunks.push(chunk);
  });
  return chunks;
}

/** A number in the protobuf wire format, and where the next byte is. */
function varintAt(bytes: Buffer, start: number): readonly [value: number, next: number] {
  let value = 0;
  for (let at = start; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * (at - start));
    if (byte < 0x80) return [value, at + 1];
  }
  return [value, bytes.length];
}

/** The texts of a message in the protobuf wire format, by field number; numbers are passed over. */
function textFields(bytes: Buffer): ReadonlyMap<number, string> {
  const fields = new Map<number, string>();
  for (let at = 0; at < bytes.length;) {
    const [tag, value] = varintAt(bytes, at);
    const [length, next] = varintAt(bytes, value);
    const wire = tag & 7;
    if (wire !== 0 && wire !== 2) break;
    at = wire === 2 ? next + length : next;
    if (wire === 2) fields.set(tag >>> 3, bytes.toString('utf8', next, at));
  }
  return fields;
}

/** Sends an empty message; the bytes of the answer, or none when it takes too long. */
function callOn(session: ClientHttp2Session, path: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    session.on('error', reject);
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const chunks = collect(stream, () => {
      session.destroy(new Error('no end of it'));
    });
    stream.on('error', reject);
    stream.on('close', () => {
      resolve(Buffer.concat(chunks));
    });
    setTimeout(() => {
      session.destroy();
    }, answerMs).unref();
    // Not compressed, no bytes (gRPC over HTTP/2, "Length-Prefixed-Message").
    stream.end(Buffer.alloc(5));
  });
}

/**
 * Calls a method that takes nothing, by gRPC.
 * @param socket path of the socket, as the host knows it
 * @param method such as /runtime.v1.RuntimeService/Version
 * @returns the texts of the answer by field number; undefined when there is no answer
 */
export async function askGrpc(
  host: Host,
  socket: string,
  method: string,
): Promise<ReadonlyMap<number, string> | undefined> {
  // Loaded on first use: a host without a runtime does not carry it.
  const http2 = await import('node:http2');
  try {
    const path = host.locate(socket);
    const session = http2.connect('http://localhost', { createConnection: () => connect(path) });
    try {
      const answer = await callOn(session, method);
      // One byte of flags and four of length come before the message; an error comes without one.
      return answer.length < 5 ? undefined : textFields(answer.subarray(5));
    } finally {
      session.destroy();
    }
  } catch {
    return undefined;
  }
}

/** Reads JSON by HTTP from a socket; undefined when there is no answer, or it is no JSON. */
export async function askHttp(host: Host, socket: string, path: string): Promise<unknown> {
  const { get } = await import('node:http');
  try {
    const socketPath = host.locate(socket);
    const text = await new Promise<string>((resolve, reject) => {
      const signal = AbortSignal.timeout(answerMs);
      const request = get({ socketPath, path, signal }, (response) => {
        const chunks = collect(response, () => response.destroy(new Error('no end of it')));
        response.on('error', reject);
        response.on('end', () => {
          resolve(Buffer.concat(chunks).toString());
        });
      });
      request.on('error', reject);
    });
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
