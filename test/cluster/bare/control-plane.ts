// The control plane, in the room beside the nodes: a node that goes down does not take it along.
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { binary } from '../binaries.ts';
import { apiServerUrl, etcdDirectory, network, room, trustBundleGates } from './layout.ts';
import { pkiFile } from './pki.ts';
import { startService, stopService, untilServed } from './services.ts';

const etcd = 'http://127.0.0.1:2379';
const etcdPeer = 'http://127.0.0.1:2380';
const controllers = ['kube-controller-manager', 'kube-scheduler'] as const;

/** Returns when the API server answers. */
export async function startControlPlane(): Promise<void> {
  await startService(room, 'etcd', [
    binary('etcd'),
    `--data-dir=${etcdDirectory}`,
    `--listen-client-urls=${etcd}`,
    `--advertise-client-urls=${etcd}`,
    `--listen-peer-urls=${etcdPeer}`,
    `--initial-advertise-peer-urls=${etcdPeer}`,
    `--initial-cluster=default=${etcdPeer}`,
    // What a power cut of the machine would lose is lost anyway.
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]);
  await startApiServer();
}

/** Returns when it answers, with the controllers started. */
export async function startApiServer(): Promise<void> {
  await startService(room, 'kube-apiserver', [
    binary('kube-apiserver'),
    `--etcd-servers=${etcd}`,
    `--bind-address=${network.apiServer}`,
    `--advertise-address=${network.apiServer}`,
    '--secure-port=6443',
    `--service-cluster-ip-range=${network.services}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    // ClusterTrustBundles, and the volumes of them: off unless asked for. The gates also let kubelets read them.
    `--feature-gates=${trustBundleGates.map((gate) => `${gate}=true`).join()}`,
    '--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true',
    `--client-ca-file=${pkiFile('ca.crt')}`,
    `--tls-cert-file=${pkiFile('apiserver.crt')}`,
    `--tls-private-key-file=${pkiFile('apiserver.key')}`,
    `--kubelet-certificate-authority=${pkiFile('ca.crt')}`,
    `--kubelet-client-certificate=${pkiFile('apiserver-to-kubelet.crt')}`,
    `--kubelet-client-key=${pkiFile('apiserver-to-kubelet.key')}`,
    '--kubelet-preferred-address-types=InternalIP',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${pkiFile('service-accounts.pub')}`,
    `--service-account-signing-key-file=${pkiFile('service-accounts.key')}`,
  ]);
  await untilServed(room, 'kube-apiserver', isReady);
  await Promise.all([
    startController('kube-controller-manager', 'controller-manager', [
      `--service-account-private-key-file=${pkiFile('service-accounts.key')}`,
      `--root-ca-file=${pkiFile('ca.crt')}`,
      `--cluster-signing-cert-file=${pkiFile('ca.crt')}`,
      `--cluster-signing-key-file=${pkiFile('ca.key')}`,
      '--use-service-account-credentials=true',
    ]),
    startController('kube-scheduler', 'scheduler', []),
  ]);
}

/**
 * As a crash does: it would wait for its watchers, and there are always some. The controllers end with it, as they do
 * where they have a lease of it to lose.
 */
export async function stopApiServer(): Promise<void> {
  await stopService(room, 'kube-apiserver', 'KILL');
  await Promise.all(controllers.map((name) => stopService(room, name)));
}

function startController(program: string, user: string, flags: readonly string[]): Promise<void> {
  const file = pkiFile(`${user}.kubeconfig`);
  return startService(room, program, [
    binary(program),
    `--kubeconfig=${file}`,
    `--authentication-kubeconfig=${file}`,
    `--authorization-kubeconfig=${file}`,
    '--bind-address=127.0.0.1',
    // There is no other one to be told apart from, and none waits for this one's lease to end.
    '--leader-elect=false',
    ...flags,
  ]);
}

/** Asks without kubectl, which takes a good part of a second to start. */
function isReady(): Promise<boolean> {
  const options = { ca: readFileSync(pkiFile('ca.crt')), agent: false, signal: AbortSignal.timeout(5_000) };
  return new Promise((resolve) => {
    request(`${apiServerUrl}/readyz`, options, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    })
      .on('error', () => {
        resolve(false);
      })
      .end();
  });
}
