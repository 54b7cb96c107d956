/**
 * What answers in the place of an API server: whatever a test wants, over TLS, to a pod made up of a directory.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { type Cert, makeCert, makeServerCert } from '../../sandbox/harness/certs.ts';
import { type Api, openApi } from '../../../src/api/api.ts';
import { temporaryDirectory } from './directories.ts';

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

export interface StandIn {
  /** What stands for the pod's root. */
  readonly root: string;
  /** The service account's token from now on. */
  setToken(token: string): void;
  /** What has been asked so far. */
  readonly asked: readonly { readonly line: string; readonly token: string | undefined; readonly body: string }[];
  /** Connections that are open. */
  connections(): Promise<number>;
}

const makeIdentity = async (): Promise<{ ca: Cert; server: Cert }> => {
  const ca = await makeCert();
  return { ca, server: await makeServerCert(ca, ['127.0.0.1']) };
};
let identity: ReturnType<typeof makeIdentity> | undefined;

/** The door of that pod. */
export function apiOf(...given: Parameters<typeof openApi>): Api {
  const api = openApi(...given);
  if (api === undefined) throw new Error('this passes for no pod');
  return api;
}

/** Listens until the test is over. */
export async function standIn(handler: Handler): Promise<StandIn> {
  identity ??= makeIdentity();
  const { ca, server: own } = await identity;
  const asked: StandIn['asked'][number][] = [];
  const server = createServer({ cert: own.pem, key: own.key }, (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const { method, url, headers } = request;
      asked.push({ line: `${method ?? ''} ${url ?? ''}`, token: headers.authorization, body });
      handler(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  vi.stubEnv('KUBERNETES_SERVICE_HOST', '127.0.0.1');
  vi.stubEnv('KUBERNETES_SERVICE_PORT', String(port));
  onTestFinished(() => {
    vi.unstubAllEnvs();
    server.close();
    server.closeAllConnections();
  });
  const root = temporaryDirectory();
  const account = join(root, 'var/run/secrets/kubernetes.io/serviceaccount');
  mkdirSync(account, { recursive: true });
  writeFileSync(join(account, 'ca.crt'), ca.pem);
  const setToken = (token: string): void => {
    writeFileSync(join(account, 'token'), token);
  };
  setToken('first');
  const connections = (): Promise<number> =>
    new Promise((resolve, reject) => {
      server.getConnections((error, count) => {
        if (error) reject(error);
        else resolve(count);
      });
    });
  return { root, setToken, asked, connections };
}
