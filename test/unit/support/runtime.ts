/**
 * A container runtime on a made-up host: the files by which its process shows in /proc, and a socket that says a version.
 */
import * as fs from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { type ServerHttp2Stream, createServer } from 'node:http2';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type FakeProcess, putProcess } from './proc-tree.ts';

export function put(root: string, path: string, text: string): void {
  fs.mkdirSync(dirname(join(root, path)), { recursive: true });
  fs.writeFileSync(join(root, path), text);
}

/** Sets what the host's clock since boot says. */
export function setUptime(root: string, seconds: number, boot = 'this-boot'): void {
  put(root, '/proc/uptime', `${seconds.toFixed(2)} 1.00\n`);
  put(root, '/proc/sys/kernel/random/boot_id', `${boot}\n`);
}

/** Lets a containerd of a systemd unit show in the host's /proc, or what is said of it else. */
export function showProcess(root: string, changed: Partial<FakeProcess> = {}): void {
  const groups = '0::/system.slice/containerd.service\n';
  putProcess(root, { pid: 90, comm: 'containerd', argv: ['/usr/bin/containerd'], ticks: 500, groups, ...changed });
}

export function endProcess(root: string, pid = 90): void {
  fs.rmSync(join(root, `/proc/${pid}`), { recursive: true });
}

/**
 * Answers gRPC calls on a socket with a message whose first field is this version. It ends with the test.
 * @param lacking methods that it does not know
 */
export async function answerVersion(root: string, socket: string, version: string, lacking = /^$/): Promise<void> {
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    if (lacking.test(String(headers[':path']))) {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' }, { endStream: true });
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    const message = Buffer.from([0x0a, version.length, ...Buffer.from(version)]);
    stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
  });
  fs.mkdirSync(dirname(join(root, socket)), { recursive: true });
  await new Promise<void>((resolve) => server.listen(join(root, socket), resolve));
  onTestFinished(() => {
    server.close();
  });
}

/** Answers HTTP on a socket with what is here for a path, as JSON. It ends with the test. */
export async function answerJson(
  root: string,
  socket: string,
  answers: Readonly<Record<string, unknown>>,
): Promise<void> {
  const server = createHttp(({ url = '' }, response) => response.end(JSON.stringify(answers[url])));
  fs.mkdirSync(dirname(join(root, socket)), { recursive: true });
  await new Promise<void>((resolve) => server.listen(join(root, socket), resolve));
  onTestFinished(() => {
    server.close();
  });
}
