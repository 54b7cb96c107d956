// The agent's own service account, as a pod finds it: made from the project's manifests, with a token of its own.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { render } from '../../deploy/manifests.ts';
import type { Resource } from '../../deploy/manifests.ts';
import type { ApiServer } from './api-server.ts';

export const namespace = 'node-ca-trust';
export const secretName = 'node-ca-trust';

const admission = '/apis/admissionregistration.k8s.io/v1';
const rbac = '/apis/rbac.authorization.k8s.io/v1';
const core = '/api/v1';

/** Where the objects of a kind are. */
const collections: Readonly<Record<string, (of: string) => string>> = {
  Namespace: () => `${core}/namespaces`,
  ServiceAccount: (of) => `${core}/namespaces/${of}/serviceaccounts`,
  Role: (of) => `${rbac}/namespaces/${of}/roles`,
  RoleBinding: (of) => `${rbac}/namespaces/${of}/rolebindings`,
  ClusterRole: () => `${rbac}/clusterroles`,
  ClusterRoleBinding: () => `${rbac}/clusterrolebindings`,
  ValidatingAdmissionPolicy: () => `${admission}/validatingadmissionpolicies`,
  ValidatingAdmissionPolicyBinding: () => `${admission}/validatingadmissionpolicybindings`,
};

/** Makes an object, or makes it again as it was. */
export async function put(api: ApiServer, resource: Resource): Promise<void> {
  const collection = collections[resource.kind]?.(resource.metadata.namespace ?? '');
  if (collection === undefined) throw new Error(`${resource.kind} is not known here`);
  const { status } = await api.ask('POST', collection, resource);
  if (status !== 409) return;
  const path = `${collection}/${resource.metadata.name}`;
  const { metadata } = (await api.must('GET', path)) as { metadata: { resourceVersion: string } };
  await api.must('PUT', path, { ...resource, metadata: { ...metadata, ...resource.metadata } });
}

/** What a way to deploy the agent says of who it is and what it may do. */
export function accountResources(directory = 'deploy/base'): readonly Resource[] {
  return render(directory).filter(({ kind }) => kind in collections);
}

/** Brings those to the API server. */
export async function putAccount(api: ApiServer, directory?: string): Promise<void> {
  for (const resource of accountResources(directory)) await put(api, resource);
}

/** A token of the service account for an hour. */
export async function tokenOf(api: ApiServer, account = 'node-ca-trust'): Promise<string> {
  const path = `${core}/namespaces/${namespace}/serviceaccounts/${account}/token`;
  const asked = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } };
  return ((await api.must('POST', path, asked)) as { status: { token: string } }).status.token;
}

/** What the kubelet mounts into a pod, below a directory that stands for the pod's root. */
export function mountAccount(root: string, token: string, ca: string): void {
  const directory = join(root, 'var/run/secrets/kubernetes.io/serviceaccount');
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of Object.entries({ token, 'ca.crt': ca, namespace })) {
    writeFileSync(join(directory, `.${name}`), text);
    renameSync(join(directory, `.${name}`), join(directory, name));
  }
}

/** The path of the one Secret, or of one beside it. */
export function secretPath(name = secretName): string {
  return `${core}/namespaces/${namespace}/secrets/${name}`;
}

/** Makes the Secret hold these files and no others. */
export async function putSecret(
  api: ApiServer,
  files: Readonly<Record<string, string>>,
  name = secretName,
): Promise<void> {
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData: files };
  const { status } = await api.ask('PUT', secretPath(name), secret);
  if (status === 404) await api.must('POST', secretPath('').slice(0, -1), secret);
  else if (status >= 300) throw new Error(`the Secret was not written: ${status}`);
}
