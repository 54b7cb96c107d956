// A real API server on loopback, with etcd behind it and nothing else of a cluster: up in seconds.
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { binary } from '../../cluster/binaries.ts';
import { type Cert, makeCert } from '../../sandbox/harness/certs.ts';
import { cleanEnvironment } from '../../sandbox/harness/environment.ts';

export const apiHost = '127.0.0.1';
export const apiPort = 6443;
const apiUrl = `https://${apiHost}:${apiPort}`;
const etcd = 'http://127.0.0.1:2379';
const etcdPeer = 'http://127.0.0.1:2380';
/** What test/setup/namespace.mjs gives to the network: an address that is not loopback's. */
const advertised = '198.18.255.1';
const patienceMs = 120_000;

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface ApiServer extends AsyncDisposable {
  readonly url: string;
  /** The processes of the API server and of its etcd, now. */
  readonly pid: () => number;
  readonly etcdPid: () => number;
  /** Where their files and logs are. */
  readonly directory: string;
  /** The CA of its certificate. */
  readonly ca: Cert;
  /** A client certificate with every right. */
  readonly admin: Cert;
  /** One request with every right. */
  ask(method: string, path: string, body?: unknown, type?: string): Promise<Answer>;
  /** The same, which must succeed. Throws with what the server said. */
  must(method: string, path: string, body?: unknown, type?: string): Promise<unknown>;
  /** Ends it as a crash does. */
  kill(): Promise<void>;
  /** Starts it anew; returns when it answers. */
  start(): Promise<void>;
  /**
   * Copies what etcd holds; both are restarted for it.
   * @returns puts that in the place of what it holds then, as an admin does after a disaster: versions begin again there
   */
  backUp(): Promise<() => Promise<void>>;
}

interface Pki {
  readonly directory: string;
  readonly ca: Cert;
  readonly admin: Cert;
}

async function makePki(directory: string): Promise<Pki> {
  const ca = await makeCert({ subject: '/CN=kubernetes' });
  const signed = { ca: false, issuer: ca } as const;
  const [server, admin] = await Promise.all([
    makeCert({ ...signed, subject: '/CN=kube-apiserver', names: ['localhost', apiHost] }),
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
  return { directory, ca, admin };
}

function startProcess(directory: string, name: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(directory, `${name}.log`), 'a');
  const child = spawn(binary(name), args, { env: cleanEnvironment, stdio: ['ignore', log, log] });
  closeSync(log);
  return child;
}

function startEtcd(directory: string): ChildProcess {
  return startProcess(directory, 'etcd', [
    `--data-dir=${join(directory, 'etcd')}`,
    `--listen-client-urls=${etcd}`,
    `--advertise-client-urls=${etcd}`,
    `--listen-peer-urls=${etcdPeer}`,
    `--initial-advertise-peer-urls=${etcdPeer}`,
    `--initial-cluster=default=${etcdPeer}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]);
}

function startApiServer(directory: string, flags: readonly string[]): ChildProcess {
  const file = (name: string): string => join(directory, name);
  return startProcess(directory, 'kube-apiserver', [
    `--etcd-servers=${etcd}`,
    `--bind-address=${apiHost}`,
    `--secure-port=${apiPort}`,
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
}

function connectionsOf({ ca, admin }: Pki): Agent {
  return new Agent({ ca: ca.pem, cert: admin.pem, key: admin.key, keepAlive: true, maxSockets: 32, timeout: 30_000 });
}

function asker(agent: () => Agent): ApiServer['ask'] {
  return (method, path, body, type = 'application/json') =>
    new Promise((resolve, reject) => {
      const options = { method, agent: agent(), headers: { 'content-type': type } };
      const sent = request(`${apiUrl}${path}`, options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const json = response.headers['content-type']?.includes('json') === true;
          resolve({ status: response.statusCode ?? 0, body: json ? (JSON.parse(text) as unknown) : text });
        });
      });
      sent.on('timeout', () => {
        sent.destroy(new Error(`no answer: ${path}`));
      });
      sent.on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** Starts both. @param flags more flags for the API server */
export async function startApi(...flags: readonly string[]): Promise<ApiServer> {
  const directory = mkdtempSync(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '/nowhere', 'api-'));
  mkdirSync(join(directory, 'etcd'), { mode: 0o700 });
  const pki = await makePki(directory);
  let connections = connectionsOf(pki);
  const ask = asker(() => connections);
  let database = startEtcd(directory);
  let server: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    const child = startApiServer(directory, flags);
    server = child;
    for (const limit = performance.now() + patienceMs; ;) {
      const { status } = await ask('GET', '/readyz').catch(() => ({ status: 0 }));
      if (status === 200) return;
      await sleep(50);
      if (performance.now() > limit || child.exitCode !== null) {
        const log = readFileSync(join(directory, 'kube-apiserver.log'), 'utf8');
        throw new Error(`the API server does not answer:\n${log.split('\n').slice(-15).join('\n')}`);
      }
    }
  };
  await start();
  const kill = async (): Promise<void> => {
    if (server !== undefined) await end(server);
    // None of the next requests may go out on a connection that is gone.
    connections.destroy();
    connections = connectionsOf(pki);
  };
  const endBoth = async (): Promise<void> => {
    await kill();
    await end(database);
  };
  return {
    url: apiUrl,
    pid: () => server?.pid ?? 0,
    etcdPid: () => database.pid ?? 0,
    directory,
    ca: pki.ca,
    admin: pki.admin,
    ask,
    must: async (method, path, body, type) => {
      const answer = await ask(method, path, body, type);
      if (answer.status < 300) return answer.body;
      throw new Error(`${method} ${path}: ${answer.status}: ${JSON.stringify(answer.body)}`);
    },
    kill,
    start,
    backUp: async () => {
      const [data, copy] = [join(directory, 'etcd'), join(directory, 'backup')];
      const restarted = async (between: () => void): Promise<void> => {
        await endBoth();
        between();
        database = startEtcd(directory);
        await start();
      };
      await restarted(() => {
        cpSync(data, copy, { recursive: true });
      });
      return () =>
        restarted(() => {
          rmSync(data, { recursive: true });
          renameSync(copy, data);
        });
    },
    async [Symbol.asyncDispose]() {
      await endBoth();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
