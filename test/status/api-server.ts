// A real API server on loopback, with etcd behind it and nothing else of a cluster: up in seconds.
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { binary } from '../cluster/binaries.ts';
import { type Cert, makeCert } from '../sandbox/harness/certs.ts';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';

/** Anything but loopback's; nobody is sent there (RFC 2544). */
const advertised = '198.18.255.1';
const patienceMs = 120_000;

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface ApiServer extends AsyncDisposable {
  readonly url: string;
  readonly ca: Cert;
  readonly admin: Cert;
  /** One request with every right. */
  ask(method: string, path: string, body?: unknown, type?: string): Promise<Answer>;
  /** The same, which must succeed. Throws with what the server said. */
  must(method: string, path: string, body?: unknown, type?: string): Promise<unknown>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function start(directory: string, name: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(directory, `${name}.log`), 'a');
  const child = spawn(binary(name), args, { env: cleanEnvironment, stdio: ['ignore', log, log] });
  closeSync(log);
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

async function startEtcd(directory: string): Promise<{ database: ChildProcess; url: string }> {
  const [url, peer] = (await Promise.all([freePort(), freePort()])).map((port) => `http://127.0.0.1:${port}`);
  if (url === undefined || peer === undefined) throw new Error('no port is free');
  mkdirSync(join(directory, 'etcd'), { mode: 0o700 });
  const database = start(directory, 'etcd', [
    `--data-dir=${join(directory, 'etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]);
  return { database, url };
}

async function makePki(directory: string): Promise<{ ca: Cert; admin: Cert }> {
  const ca = await makeCert({ subject: '/CN=kubernetes' });
  const signed = { ca: false, issuer: ca } as const;
  const [server, admin] = await Promise.all([
    makeCert({ ...signed, subject: '/CN=kube-apiserver', names: ['localhost', '127.0.0.1'] }),
    makeCert({ ...signed, subject: '/O=system:masters/CN=admin' }),
  ]);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const files = {
    'ca.crt': ca.pem,
    'server.crt': server.pem,
    'server.key': server.key,
    'accounts.key': privateKey.export({ type: 'pkcs8', format: 'pem' }),
    'accounts.pub': publicKey.export({ type: 'spki', format: 'pem' }),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return { ca, admin };
}

function asker(url: string, ca: Cert, admin: Cert): ApiServer['ask'] {
  const agent = new Agent({ ca: ca.pem, cert: admin.pem, key: admin.key, keepAlive: true, maxSockets: 32 });
  return (method, path, body, type = 'application/json') =>
    new Promise((resolve, reject) => {
      const sent = request(`${url}${path}`, { method, agent, headers: { 'content-type': type } }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const json = response.headers['content-type']?.includes('json') === true;
          resolve({ status: response.statusCode ?? 0, body: json ? (JSON.parse(text) as unknown) : text });
        });
      });
      sent.on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
}

async function untilReady(directory: string, child: ChildProcess, ask: ApiServer['ask']): Promise<void> {
  for (const limit = performance.now() + patienceMs; ;) {
    await sleep(50);
    const { status } = await ask('GET', '/readyz').catch(() => ({ status: 0 }));
    if (status === 200) return;
    if (performance.now() < limit && child.exitCode === null) continue;
    const log = readFileSync(join(directory, 'kube-apiserver.log'), 'utf8');
    throw new Error(`the API server does not answer:\n${log.split('\n').slice(-15).join('\n')}`);
  }
}

/** Starts both in an empty directory. @param flags more flags for the API server */
export async function startApi(directory: string, ...flags: readonly string[]): Promise<ApiServer> {
  const { ca, admin } = await makePki(directory);
  const { database, url: etcd } = await startEtcd(directory);
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  const file = (name: string): string => join(directory, name);
  const server = start(directory, 'kube-apiserver', [
    `--etcd-servers=${etcd}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--advertise-address=${advertised}`,
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.96.0.0/16',
    '--authorization-mode=RBAC',
    `--client-ca-file=${file('ca.crt')}`,
    `--tls-cert-file=${file('server.crt')}`,
    `--tls-private-key-file=${file('server.key')}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${file('accounts.pub')}`,
    `--service-account-signing-key-file=${file('accounts.key')}`,
    ...flags,
  ]);
  const ask = asker(url, ca, admin);
  const stop = async (): Promise<void> => {
    await Promise.all([end(server), end(database)]);
    rmSync(directory, { recursive: true, force: true });
  };
  await untilReady(directory, server, ask).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    url,
    ca,
    admin,
    ask,
    must: async (method, path, body, type) => {
      const answer = await ask(method, path, body, type);
      if (answer.status < 300) return answer.body;
      throw new Error(`${method} ${path}: ${answer.status}: ${JSON.stringify(answer.body)}`);
    },
    [Symbol.asyncDispose]: stop,
  };
}
