// `status` against a real API server: what it reads there, with which rights, and what an admin sees of it.
import { writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CertOptions, makeCert } from '../sandbox/harness/certs.ts';
import { adminKubeconfig, kubeconfigFor, status } from './admin.ts';
import { type ApiServer, startApi } from '../api/harness/api-server.ts';
import { digestOf, inParallel, namespace, nodeOf, putNode, putPod, trustOf } from './objects.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
let api: ApiServer;
let admin: string;

beforeAll(async () => {
  // Nobody makes the service accounts that this would ask for.
  api = await startApi('--disable-admission-plugins=ServiceAccount');
  admin = adminKubeconfig(api);
  await api.must('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
});

interface Line {
  readonly node: string;
  readonly ready: boolean;
  readonly proven: boolean;
  readonly reason?: string;
}

/** The lines by node, as scripts get them. */
async function linesOf(...args: readonly string[]): Promise<Readonly<Record<string, Line>>> {
  const { stdout, stderr } = await status(['--kubeconfig', admin, '--output', 'json', ...args]);
  expect(stderr).toBe('');
  const { nodes } = JSON.parse(stdout) as { nodes: readonly Line[] };
  return Object.fromEntries(nodes.map((line) => [line.node, line]));
}

/** A service account of its own that may do this. @returns a kubeconfig with its token */
async function accountWith(name: string, resources: readonly string[]): Promise<string> {
  const kind = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name } };
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const rules = [{ apiGroups: [''], resources, verbs: ['list'] }];
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await api.must('POST', accounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } });
  if (resources.length > 0) {
    await api.must('POST', `${rbac}/clusterroles`, { ...kind, kind: 'ClusterRole', rules });
    await api.must('POST', `${rbac}/clusterrolebindings`, {
      ...kind,
      kind: 'ClusterRoleBinding',
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    });
  }
  const asked = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
  const { status: given } = (await api.must('POST', `${accounts}/${name}/token`, asked)) as {
    status: { token: string };
  };
  return kubeconfigFor(api, { token: given.token });
}

describe('the cluster as its admin sees it', () => {
  const pulls = {
    reason: 'ImagePullBackOff',
    message: 'Back-off pulling image "registry.example.com/node-ca-trust:0.1.0"',
  };

  beforeAll(async () => {
    await putNode(api, 'proven-1');
    await putPod(api, 'proven-1');
    await putNode(api, 'proven-2');
    await putPod(api, 'proven-2');
    await putNode(api, 'pulling', { trust: null, condition: null });
    await putPod(api, 'pulling', { waiting: pulls, restarts: 3 });
    await putNode(api, 'no-place', { trust: null, condition: null });
    await putPod(api, 'no-place', { unscheduled: "0/1 nodes are available: 1 node(s) didn't have free ports" });
    await putNode(api, 'refusing', {
      condition: { status: 'False', reason: 'TrustRefused', message: 'private-key: a.crt' },
    });
    await putPod(api, 'refusing');
    await putNode(api, 'leftover', { labelled: false });
    await putNode(api, 'stranger', { labelled: false, trust: null, condition: null });
    await putNode(api, 'laboratory', { instance: 'lab', trust: trustOf('lab') });
    await putPod(api, 'laboratory', { instance: 'lab' });
  });

  it('has a line for each enabled node and each leftover, which says why', async () => {
    const lines = await linesOf();
    expect(Object.keys(lines)).toEqual([
      'laboratory',
      'no-place',
      'pulling',
      'refusing',
      'leftover',
      'proven-1',
      'proven-2',
    ]);
    const reasonOf = (node: string): string | undefined => lines[node]?.reason;
    expect(reasonOf('no-place')).toContain(
      "not scheduled: Unschedulable: 0/1 nodes are available: 1 node(s) didn't have free",
    );
    expect(reasonOf('pulling')).toContain(`${pulls.reason}: ${pulls.message}`);
    expect(reasonOf('refusing')).toBe('TrustRefused: private-key: a.crt');
    expect(reasonOf('leftover')).toContain('no agent said that it removed the CAs');
    expect(lines['proven-1']).toMatchObject({ ready: true, proven: true, digest: digestOf('one') });
  });

  it('knows another instance by its annotation, its condition and its pods', async () => {
    const lines = await linesOf('--instance', 'lab');
    expect(lines['laboratory']).toMatchObject({ ready: true, proven: true, digest: digestOf('lab') });
    expect(lines['proven-1']).toMatchObject({ ready: false });
  });

  it('is a table with the exit code 1 while a node has not proven the digest, and 0 when all have', async () => {
    const labelled = (label: string): readonly string[] => ['--kubeconfig', admin, '--node-label', label];
    const all = await status(['--kubeconfig', admin, '--digest', digestOf('one')]);
    expect([all.code, all.stdout]).toEqual([
      1,
      expect.stringMatching(/2 of 6 nodes have proven [0-9a-f]{12}; 4 not ready; 1 leftover\n$/),
    ]);
    const one = await status([
      ...labelled('kubernetes.io/hostname=proven-1'),
      '--digest',
      digestOf('one').slice(0, 12),
    ]);
    expect([one.code, one.stdout]).toEqual([0, expect.stringMatching(/\nproven-1\tyes\t/)]);
  });

  it('is waited for until the last node has proven the digest', async () => {
    const labels = ['proven-1', 'proven-2'].flatMap((name) => ['--node-label', `kubernetes.io/hostname=${name}`]);
    const waiting = status([
      '--kubeconfig',
      admin,
      ...labels,
      '--wait',
      '--digest',
      digestOf('two'),
      '--timeout',
      '60s',
    ]);
    const proves = async (name: string): Promise<void> => {
      const { metadata } = nodeOf(name, { trust: trustOf('two') }) as { metadata: { annotations: unknown } };
      const body = { metadata: { annotations: metadata.annotations } };
      await api.must('PATCH', `/api/v1/nodes/${name}`, body, 'application/merge-patch+json');
    };
    await proves('proven-1');
    const tooEarly = await status([
      '--kubeconfig',
      admin,
      ...labels,
      '--wait',
      '--digest',
      digestOf('two'),
      '--timeout',
      '1s',
    ]);
    expect([tooEarly.code, tooEarly.stderr]).toEqual([
      1,
      expect.stringMatching(/not within 1 s: 1 of 2 nodes have proven/),
    ]);
    await proves('proven-2');
    const { code, stdout } = await waiting;
    expect([code, stdout]).toEqual([0, expect.stringContaining('2 of 2 nodes have proven')]);
  });
});

describe('who asks', () => {
  const hasTable = expect.stringMatching(/^NODE\t/) as string;

  it('needs to get and list nodes and pods, and nothing else', async () => {
    const { stdout, stderr } = await status(['--kubeconfig', await accountWith('reader', ['nodes', 'pods'])]);
    expect([stdout, stderr]).toEqual([hasTable, '']);
  });

  it('learns less without the pods', async () => {
    const { stdout, stderr } = await status(['--kubeconfig', await accountWith('nodes-only', ['nodes'])]);
    expect(stdout).toEqual(hasTable);
    expect(stderr).toMatch(
      /^node-ca-trust: the agents' pods are left out, .* 403: pods is forbidden: User "system:serviceaccount:node-ca-trust:nodes-only" cannot list resource "pods".*--namespace\n$/,
    );
  });

  it('learns nothing without the nodes', async () => {
    const { code, stdout, stderr } = await status(['--kubeconfig', await accountWith('nobody', [])]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^node-ca-trust: the API server .* answered 403: nodes is forbidden[^\n]*\n$/);
  });

  it('is told when the credentials are not good any more', async () => {
    const { code, stdout, stderr } = await status(['--kubeconfig', kubeconfigFor(api, { token: 'old' })]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(
      /^node-ca-trust: the API server .* does not accept the credentials of the user person: they may have expired[^\n]*\n$/,
    );
  });

  /** Somebody with a certificate of their own. */
  const withCertificate = async (options: CertOptions): Promise<string> => {
    const { pem, key } = await makeCert({ subject: '/O=system:masters/CN=admin', ca: false, ...options });
    return kubeconfigFor(api, { 'client-certificate-data': base64(pem), 'client-key-data': base64(key) });
  };
  const notAccepted = /does not accept the credentials of the user person: they may have expired; log in again/;

  it.each<[string, () => Promise<string> | string, RegExp]>([
    [
      'a certificate that has expired',
      () => withCertificate({ issuer: api.ca, notAfter: new Date(Date.now() - 60_000) }),
      notAccepted,
    ],
    ['a certificate of another CA', () => withCertificate({}), notAccepted],
    [
      'no credentials',
      () => kubeconfigFor(api, {}),
      /"system:anonymous".*the kubeconfig's user person has no credentials that it knows/,
    ],
    [
      'another CA',
      () => kubeconfigFor(api, { token: 'x' }, { 'certificate-authority-data': base64(api.admin.pem) }),
      /cannot be reached: [^;]*certificate[^;]*; the kubeconfig's CA does not vouch for what answers/,
    ],
    [
      'no API server',
      () => kubeconfigFor({ ...api, url: 'https://127.0.0.1:1' }, {}),
      /cannot be reached: .*ECONNREFUSED/,
    ],
    ['no file', () => '/no/such/kubeconfig', /^node-ca-trust: no kubeconfig: \/no\/such\/kubeconfig: no such file/],
  ])('ends with one line and the exit code 2 by a kubeconfig of %s, with --wait too', async (_, kubeconfig, line) => {
    const args = ['--kubeconfig', await kubeconfig(), '--wait'];
    const { code, stdout, stderr } = await status(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(line);
    expect(stderr).toMatch(/^node-ca-trust: [^\n]*\n$/);
  });

  it('does not wait for nodes that nobody has labelled', async () => {
    const { code, stderr } = await status(['--kubeconfig', admin, '--node-label', 'mis=spelt', '--wait']);
    expect([code, stderr]).toEqual([
      1,
      'node-ca-trust: no node bears mis=spelt; label one, or name the label by --node-label\n',
    ]);
  });

  it('may get a token from a plug-in', async () => {
    const asked = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/reader/token`;
    const { status: given } = (await api.must('POST', path, asked)) as { status: { token: string } };
    const credential = JSON.stringify({ kind: 'ExecCredential', status: { token: given.token } });
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'printf', args: ['%s', credential] };
    const { stdout, stderr } = await status(['--kubeconfig', kubeconfigFor(api, { exec })]);
    expect([stdout, stderr]).toEqual([hasTable, '']);
  });

  it("trusts the machine's own CAs where the kubeconfig names none", async () => {
    const file = join(api.directory, 'system.crt');
    writeFileSync(file, api.ca.pem);
    const identity = {
      'client-certificate-data': base64(api.admin.pem),
      'client-key-data': base64(api.admin.key),
    };
    const kubeconfig = kubeconfigFor(api, identity, {});
    const env = { SSL_CERT_FILE: file };
    expect((await status(['--kubeconfig', kubeconfig])).stderr).toMatch(
      /cannot be reached: unable to verify the first certificate; the kubeconfig's CA does not vouch/,
    );
    expect(await status(['--kubeconfig', kubeconfig], { env })).toMatchObject({ stdout: hasTable, stderr: '' });
  });
});

describe('5,000 nodes', () => {
  const names = Array.from({ length: 5_000 }, (_, index) => `scale-${String(index).padStart(4, '0')}`);

  beforeAll(async () => {
    await inParallel(names, async (name) => {
      await putNode(api, name, { instance: 'scale' });
      await putPod(api, name, { instance: 'scale' });
    });
    const { body } = await api.ask('GET', '/api/v1/nodes/scale-0000');
    console.log(`a Node of these is ${(JSON.stringify(body).length / 1000).toFixed(0)} kB`);
  });

  it.each(['piped', 'on a terminal'])('are shown within 5 s and 250 MB: %s', async (how) => {
    const args = [
      '--kubeconfig',
      admin,
      '--instance',
      'scale',
      '--node-label',
      'kubernetes.io/os=linux',
      '--digest',
      digestOf('one'),
    ];
    const runs = [];
    for (let turn = 0; turn < 2; turn += 1) runs.push(await status(args, { terminal: how !== 'piped' }));
    for (const { stdout, seconds, cpuSeconds, megabytes } of runs) {
      console.log(
        `status, 5,000 nodes, ${how}: ${seconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of CPU, ${megabytes.toFixed(0)} MB`,
      );
      expect(stdout).toContain('scale-4999');
      expect(stdout).toMatch(/5000 of \d+ nodes have proven/);
      expect(megabytes).toBeLessThan(250);
    }
    // On a machine that has more to do than it has cores, everything takes as much longer.
    const crowd = Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
    console.log(`load per core: ${crowd.toFixed(1)}`);
    expect(Math.min(...runs.map(({ seconds }) => seconds))).toBeLessThan(5 * crowd);
  });
});
