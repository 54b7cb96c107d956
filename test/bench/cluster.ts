// A real API server with what the manifests give the agent, its Node, and its pod's options.
import { giveAccount, podEnvironment } from '../api/harness/pod.ts';
import { namespace, putAccount, secretName } from '../api/harness/account.ts';
import { type ApiServer, startApi } from '../api/harness/api-server.ts';
import { putNode } from '../api/harness/nodes.ts';
import { bringOnPath, ensureBinaries } from '../cluster/binaries.ts';
import type { More } from './daemon.ts';

export const inCluster: More = {
  options: ['--secret', `${namespace}/${secretName}`, '--node-name', 'node-1'],
  env: podEnvironment(),
};

export async function startCluster(): Promise<ApiServer> {
  await ensureBinaries((program) => ['etcd', 'kube-apiserver'].includes(program));
  await bringOnPath('kubectl');
  const api = await startApi();
  await putAccount(api);
  await giveAccount(api);
  await putNode(api, { metadata: { name: 'node-1' }, spec: {}, status: {} });
  return api;
}
