// Who is who in the cluster: one CA, a certificate for each, and the kubeconfig files with which they come to the API
// server.
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCert, type Cert } from '../../sandbox/harness/certs.ts';
import { nodeNames } from '../cluster.ts';
import { apiServerUrl, kubeconfig, network, pkiDirectory } from './layout.ts';

/** By subject, as the rules that every cluster begins with know them. */
const clients: Readonly<Record<string, string>> = {
  admin: '/O=system:masters/CN=admin',
  'controller-manager': '/CN=system:kube-controller-manager',
  scheduler: '/CN=system:kube-scheduler',
  proxy: '/CN=system:kube-proxy',
  'apiserver-to-kubelet': '/O=system:masters/CN=kube-apiserver-kubelet-client',
  ...Object.fromEntries(nodeNames.map((node) => [node, `/O=system:nodes/CN=system:node:${node}`])),
};

const apiServerNames = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
const servers: Readonly<Record<string, readonly string[]>> = {
  apiserver: [...apiServerNames, 'localhost', '127.0.0.1', network.firstService, network.apiServer],
  ...Object.fromEntries(nodeNames.map((node) => [`${node}-server`, [node, network.nodes[node]]])),
};

export const pkiFile = (name: string): string => join(pkiDirectory, name);

export async function makePki(): Promise<void> {
  mkdirSync(pkiDirectory, { recursive: true, mode: 0o700 });
  const ca = await makeCert({ subject: '/CN=kubernetes' });
  write('ca', ca);
  await Promise.all([
    ...Object.entries(clients).map(async ([name, subject]) => {
      write(name, await makeCert({ subject, ca: false, issuer: ca }));
    }),
    ...Object.entries(servers).map(async ([name, names]) => {
      write(name, await makeCert({ subject: `/CN=${names[0] ?? name}`, ca: false, issuer: ca, names }));
    }),
  ]);
  // The API server signs the tokens of service accounts with this key, and knows them again by it.
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  put('service-accounts.key', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  put('service-accounts.pub', publicKey.export({ type: 'spki', format: 'pem' }).toString());
  for (const name of ['controller-manager', 'scheduler']) put(`${name}.kubeconfig`, kubeconfigOf(name));
  writeFileSync(kubeconfig, kubeconfigOf('admin'), { mode: 0o600 });
}

/** A kubeconfig file that needs no other file. */
export function kubeconfigOf(name: string): string {
  const base64 = (file: string): string => readFileSync(pkiFile(file)).toString('base64');
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'cluster', cluster: { server: apiServerUrl, 'certificate-authority-data': base64('ca.crt') } }],
    users: [
      { name, user: { 'client-certificate-data': base64(`${name}.crt`), 'client-key-data': base64(`${name}.key`) } },
    ],
    contexts: [{ name: 'cluster', context: { cluster: 'cluster', user: name } }],
    'current-context': 'cluster',
  });
}

function write(name: string, { pem, key }: Cert): void {
  put(`${name}.crt`, pem);
  put(`${name}.key`, key);
}

function put(file: string, text: string): void {
  writeFileSync(pkiFile(file), text, { mode: 0o600 });
}
