/**
 * What answers in the place of a cluster's API server: whatever a test wants, over TLS, with a kubeconfig that leads there.
 */
import { writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Cert, makeCert, makeServerCert } from '../../sandbox/harness/certs.ts';
import { temporaryDirectory } from './directories.ts';

export interface StandInCluster {
  /** Each request's line, with its token. */
  readonly asked: readonly string[];
  readonly kubeconfig: string;
  readonly port: number;
}

export interface Entries {
  readonly server?: string;
  readonly cluster?: Readonly<Record<string, unknown>>;
  readonly user?: Readonly<Record<string, unknown>>;
}

async function makeIdentity(): Promise<{ ca: Cert; own: Cert }> {
  const ca = await makeCert();
  return { ca, own: await makeServerCert(ca, ['127.0.0.1', 'api.example']) };
}
let identity: ReturnType<typeof makeIdentity> | undefined;

/** Writes a kubeconfig of one context, and gives its path. */
export function writeKubeconfig({ server = 'https://127.0.0.1:1', cluster = {}, user = {} }: Entries = {}): string {
  const path = join(temporaryDirectory(), 'kubeconfig');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, ...cluster } }],
    users: [{ name: 'admin', user: { token: 'secret', ...user } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    'current-context': 'test',
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/** Listens until the test is over. @param prefix what the kubeconfig's server has behind its port */
export async function standInCluster(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  { prefix = '', host = '127.0.0.1', cluster = {}, user = {} } = {},
): Promise<StandInCluster> {
  identity ??= makeIdentity();
  const { ca, own } = await identity;
  const asked: string[] = [];
  const server = createServer({ cert: own.pem, key: own.key }, (request, response) => {
    asked.push(`${request.method ?? ''} ${request.url ?? ''} ${request.headers.authorization ?? ''}`);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const trust = { 'certificate-authority-data': Buffer.from(ca.pem).toString('base64'), ...cluster };
  const kubeconfig = writeKubeconfig({ server: `https://${host}:${port}${prefix}`, cluster: trust, user });
  return { asked, kubeconfig, port };
}

export function answer(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
