// Nodes as kubelets leave them, and the agent's account as its pod on a node has it: with the token that names both.
import { request } from 'node:https';
import type { Resource } from '../../deploy/manifests.ts';
import { type Answer, type ApiServer, apiHost, apiPort } from './api-server.ts';

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}

export interface Condition {
  readonly type: string;
  readonly status: string;
}

export interface Node {
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: { readonly taints?: readonly Taint[] } & Readonly<Record<string, unknown>>;
  readonly status: { readonly conditions?: readonly Condition[] } & Readonly<Record<string, unknown>>;
}

/** How the body of a PATCH is read: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/ */
export const patches = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
  put: 'application/json',
} as const;

export type PatchKind = keyof typeof patches;

/** Somebody who asks by a token. */
export interface Asker {
  ask(method: string, path: string, body?: unknown, kind?: PatchKind): Promise<Answer>;
}

/** Asks by a token. */
export function bearer(api: ApiServer, token: string): Asker {
  return {
    ask: (method, path, body, kind = 'put') =>
      new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${token}`, 'content-type': patches[kind] };
        const options = { ca: api.ca.pem, method, agent: false, headers, timeout: 30_000 };
        const sent = request(`https://${apiHost}:${apiPort}${path}`, options, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            resolve({ status: response.statusCode ?? 0, body: parsed(Buffer.concat(chunks).toString()) });
          });
        });
        sent.on('timeout', () => {
          sent.destroy(new Error(`no answer: ${path}`));
        });
        sent.on('error', reject);
        sent.end(body === undefined ? undefined : JSON.stringify(body));
      }),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The path of a Node. */
export function nodePath(name: string): string {
  return `/api/v1/nodes/${name}`;
}

/** Makes a Node be so. Its conditions and the like need a request of their own. */
export async function putNode(api: ApiServer, node: Node): Promise<void> {
  const object = { apiVersion: 'v1', kind: 'Node', ...node };
  const { status } = await api.ask('POST', '/api/v1/nodes', object);
  if (status === 409) await api.must('PUT', nodePath(node.metadata.name), object);
  await api.must('PUT', `${nodePath(node.metadata.name)}/status`, object);
}

export async function getNode(api: ApiServer, name: string): Promise<Node> {
  return (await api.must('GET', nodePath(name))) as Node;
}

/** As the kubelet requests it for a pod of an account; without a node, as anybody may who is allowed to. */
export async function podToken(api: ApiServer, account: Resource['metadata'], node?: string): Promise<string> {
  const { name, namespace = '' } = account;
  const of = `/api/v1/namespaces/${namespace}`;
  const boundObjectRef = node === undefined ? {} : { boundObjectRef: await putPod(api, account, node) };
  const spec = { expirationSeconds: 3600, ...boundObjectRef };
  const asked = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec };
  const answered = await api.must('POST', `${of}/serviceaccounts/${name}/token`, asked);
  return (answered as { status: { token: string } }).status.token;
}

/** A pod that is on a node; nothing runs it. */
async function putPod(api: ApiServer, { name, namespace = '' }: Resource['metadata'], node: string): Promise<unknown> {
  const spec = { nodeName: node, serviceAccountName: name, containers: [{ name: 'agent', image: 'agent' }] };
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: `${name}-${node}`, namespace }, spec };
  const pods = `/api/v1/namespaces/${namespace}/pods`;
  const { status } = await api.ask('POST', pods, pod);
  if (status !== 201 && status !== 409) throw new Error(`the pod was not made: ${status}`);
  const { metadata } = (await api.must('GET', `${pods}/${pod.metadata.name}`)) as { metadata: { uid: string } };
  return { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: metadata.uid };
}
