// Secrets that are no bundle, or that come and go in strange ways, as a real API server gives them: what is wrong is said
// in one line, what is right is installed, and nothing is lost.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { readBundle } from '../../src/bundle/bundle.ts';
import type { Bundle } from '../../src/bundle/types.ts';
import { readSource } from '../../src/sources/directory.ts';
import { digestOf, openMint, secretOf } from '../bench/anchors.ts';
import { makeCert } from '../sandbox/harness/certs.ts';
import { eventually } from '../sandbox/harness/agent.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { createWorld } from '../sandbox/harness/world.ts';
import { namespace, putSecret, secretName, secretPath } from './harness/account.ts';
import { apiPort } from './harness/api-server.ts';
import { type Followed, follow } from './harness/follower.ts';
import { giveAccount, startPod } from './harness/pod.ts';
import { startWithAccount } from './harness/with-account.ts';

const { api, account } = await startWithAccount();
const [ca, other] = [await makeCert(), await makeCert()];
const leaf = await makeCert({ ca: false, issuer: ca });
const mint = await openMint();

const rules = { now: new Date(), allowLeaf: false, allowEmpty: false, maxCertificates: 100 };

/** What a pass makes of what is held now. */
const bundleOf = (followed: Followed, more: Partial<typeof rules> = {}): Bundle =>
  readBundle([followed.reading()], { ...rules, ...more });

/** Each error as an admin reads it, without the name of the Secret. */
const errorsOf = ({ findings }: Bundle): string[] =>
  findings
    .filter(({ severity }) => severity === 'error')
    .map(
      ({ code, source, message }) => `${code}: ${source.replace(`secret ${namespace}/${secretName}:`, '')}: ${message}`,
    );

interface Special {
  readonly type?: string;
  readonly immutable?: boolean;
  readonly annotations?: Readonly<Record<string, string>>;
}

async function make(
  files: Readonly<Record<string, string>>,
  { annotations = {}, ...special }: Special = {},
): Promise<void> {
  const metadata = { name: secretName, namespace, annotations };
  const secret = { apiVersion: 'v1', kind: 'Secret', metadata, stringData: files, ...special };
  await api.must('POST', secretPath('').slice(0, -1), secret);
}

describe('a Secret that is no bundle', () => {
  const docker = { auths: { 'registry.example.com': { auth: Buffer.from('admin:hunter2').toString('base64') } } };

  test.each<[string, Special, Readonly<Record<string, string>>, readonly RegExp[], number]>([
    [
      "a server's certificate with its key",
      { type: 'kubernetes.io/tls' },
      { 'tls.crt': leaf.pem, 'tls.key': leaf.key },
      [/^not-a-ca: tls\.crt: .*put in the CA that issued it/, /^private-key: tls\.key: .*/],
      0,
    ],
    [
      'the credentials of a registry',
      { type: 'kubernetes.io/dockerconfigjson' },
      { '.dockerconfigjson': JSON.stringify(docker) },
      [/^not-a-certificate: \.dockerconfigjson: it is plain text without a certificate; put in PEM, DER or PKCS#7$/],
      0,
    ],
    [
      'the token of a service account, whose CA is one',
      {
        type: 'kubernetes.io/service-account-token',
        annotations: { 'kubernetes.io/service-account.name': 'node-ca-trust' },
      },
      { 'ca.crt': ca.pem, namespace, token: `eyJ${'a'.repeat(300)}.eyJ${'b'.repeat(300)}.c` },
      [/^not-a-certificate: namespace: it is plain text/, /^not-a-certificate: token: it is plain text/],
      1,
    ],
    [
      'a CA with its own private key in the same key, and another CA',
      {},
      { 'ca.pem': ca.pem + ca.key, 'other.pem': other.pem },
      [/^private-key: ca\.pem: /],
      1,
    ],
  ])('but %s', async (_, special, files, errors, anchors) => {
    await make(files, special);
    const followed = follow(account);
    await followed.holds(files);
    const bundle = bundleOf(followed);
    expect(errorsOf(bundle)).toEqual(errors.map((error) => expect.stringMatching(error) as string));
    expect(bundle.anchors).toHaveLength(anchors);
    expect(JSON.stringify(bundle.findings)).not.toMatch(/hunter2|aHVudGVyMg|PRIVATE KEY-----\\n/);
    expect(followed.said).toEqual([]);
  });

  test('but a mebibyte of CAs is refused as a whole, by one line', async () => {
    const [{ pem } = { pem: '' }] = mint(1);
    const all = mint(Math.floor((1024 * 1024) / pem.length)).map((one) => one.pem);
    const files = { 'all.pem': all.join('') };
    await make(files);
    const followed = follow(account);
    await followed.holds(files);
    expect(errorsOf(bundleOf(followed))).toEqual([
      expect.stringMatching(/^too-many: bundle: \d{3} certificates are more than/),
    ]);
    expect(bundleOf(followed).anchors).toEqual([]);
  });

  test('but hundreds of keys with next to nothing in them is read all the same, and thousands are refused by one line', async () => {
    const keys = (length: number) => Object.fromEntries(Array.from({ length }, (_, index) => [`key-${index}`, 'x']));
    const few = { ...keys(999), 'ca.crt': ca.pem };
    await make(few);
    const followed = follow(account);
    await followed.holds(few);
    const bundle = bundleOf(followed);
    expect([bundle.anchors.length, errorsOf(bundle).length]).toEqual([1, 999]);
    await putSecret(api, { ...keys(4_000), 'ca.crt': ca.pem });
    await vi.waitUntil(() => followed.held.length > 1, { timeout: 60_000 });
    expect(bundleOf(followed).anchors).toEqual([]);
    expect(errorsOf(bundleOf(followed))).toEqual([expect.stringMatching(/^too-many: bundle: more than 1000 files/)]);
  });

  test.each([
    ['what is no base64', 'not base64!'],
    ['half of it', 'QUJ'],
  ])('but holds %s is no Secret for the API server', async (_, text) => {
    const metadata = { name: secretName, namespace };
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata, data: { 'a.crt': text } };
    const { status, body } = await api.ask('POST', secretPath('').slice(0, -1), secret);
    expect([status, JSON.stringify(body)]).toEqual([400, expect.stringContaining('illegal base64 data')]);
  });
});

test('reads every key that the API server takes, as the mount has them', async () => {
  const names = ['-rf', '.hidden', '.', '...', '__proto__', 'constructor', 'toString', '0', 'a..b', 'K'.repeat(253)];
  const accepted: string[] = [];
  const anchors = mint(names.length);
  const entries = names.map((name, at) => [name, anchors[at]?.pem ?? ''] as const);
  for (const [name, pem] of entries) {
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'key', namespace },
      stringData: { [name]: pem },
    };
    const { status } = await api.ask('POST', `${secretPath('').slice(0, -1)}?dryRun=All`, secret);
    if (status < 300) accepted.push(name);
  }
  // Two dots at the beginning are the kubelet's own.
  expect(names.filter((name) => !accepted.includes(name))).toEqual(['.', '...']);
  const files = Object.fromEntries(entries.filter(([name]) => accepted.includes(name)));
  await make(files);
  const followed = follow(account);
  await followed.holds(files);
  const directory = mkdtempSync(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '/nowhere', 'keys-'));
  for (const [name, pem] of Object.entries(files)) writeFileSync(join(directory, name), pem);
  const mounted = readBundle([readSource(directory)], rules);
  expect(bundleOf(followed)).toMatchObject({ digest: mounted.digest, findings: [] });
  expect(mounted.anchors).toHaveLength(accepted.length);
});

test('a deleted Secret is no emptied one, even where an empty one may remove all', async () => {
  const followed = follow(account);
  await followed.holds('missing');
  for (const allowEmpty of [false, true])
    expect(errorsOf(bundleOf(followed, { allowEmpty }))).toEqual([
      `empty: secret ${namespace}/${secretName}: the Secret does not exist; create it, in this namespace and under this name`,
    ]);
  await make({});
  await followed.holds({});
  expect(errorsOf(bundleOf(followed))).toEqual([
    expect.stringMatching(/^empty: bundle: no source holds a certificate/),
  ]);
  expect(bundleOf(followed, { allowEmpty: true })).toMatchObject({ anchors: [], findings: [] });
});

describe('a Secret that is deleted and made again', () => {
  test('is another one, which the same bytes do not hide', async () => {
    await make({ 'a.crt': ca.pem });
    const followed = follow(account);
    await followed.holds({ 'a.crt': ca.pem });
    await api.must('DELETE', secretPath());
    await make({ 'a.crt': ca.pem });
    await vi.waitUntil(() => followed.held.length === 3, { timeout: 20_000 });
    expect(followed.held.map((line) => line === 'empty')).toEqual([false, true, false]);
  });

  test('is the only way to change an immutable one', async () => {
    await make({ 'a.crt': ca.pem }, { immutable: true });
    const followed = follow(account);
    await followed.holds({ 'a.crt': ca.pem });
    await expect(putSecret(api, { 'a.crt': other.pem })).rejects.toThrow('422');
    await api.must('DELETE', secretPath());
    await make({ 'a.crt': other.pem }, { immutable: true });
    await followed.holds({ 'a.crt': other.pem });
  });

  test('by a backup of etcd has a lower version, and is followed from there', async () => {
    await make({ 'a.crt': 'old' });
    const followed = follow(account, { retryMs: 10, longestRetryMs: 200 });
    await followed.holds({ 'a.crt': 'old' });
    const restore = await api.backUp();
    for (const text of ['one', 'two', 'three']) await putSecret(api, { 'a.crt': text });
    await followed.holds({ 'a.crt': 'three' });
    await restore();
    await followed.holds({ 'a.crt': 'old' });
    await putSecret(api, { 'a.crt': 'next' });
    await followed.holds({ 'a.crt': 'next' });
  });

  test('is found when the server stays silent on a version that it has not come to again', async () => {
    await make({ 'a.crt': 'old' });
    let lists = 0;
    // What was listed before the backup was put back.
    const before = (answer: unknown): unknown => {
      lists += 1;
      const list = answer as { metadata: { resourceVersion: string } };
      const resourceVersion = String(Number(list.metadata.resourceVersion) + 1_000_000);
      return lists === 1 ? { ...list, metadata: { resourceVersion } } : list;
    };
    const followed = follow(account, { retryMs: 10, silenceMs: 2_000 }, apiPort, (own) => ({
      ...own,
      ask: async (request) => before(await own.ask(request)),
    }));
    await followed.holds({ 'a.crt': 'old' });
    await putSecret(api, { 'a.crt': 'next' });
    await followed.holds({ 'a.crt': 'next' });
    expect([lists, followed.said]).toEqual([2, []]);
  });
});

test('renamed keys make a pass, and nothing on the host is changed by it', async () => {
  await giveAccount(api);
  await using world = await createWorld();
  const anchors = mint(3);
  await putSecret(api, secretOf(anchors));
  await using mount = await mountSecret(secretOf(anchors));
  await using pod = await startPod(world.root, mount.directory);
  await pod.proves(digestOf(anchors));
  const passes = async (): Promise<number> => {
    const text = await (await fetch('http://127.0.0.1:9641/metrics')).text();
    return [...text.matchAll(/^node_ca_trust_passes_total\{.*\} (\d+)$/gm)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );
  };
  // The one that looks again after a change of the agent's own.
  await vi.waitUntil(async () => (await passes()) >= 2, { timeout: 30_000, interval: 100 });
  const [before, lines] = [await passes(), pod.log().length];
  await putSecret(api, Object.fromEntries(anchors.map(({ pem }, at) => [`renamed-${at}.pem`, pem])));
  await eventually(async () => {
    expect(await passes()).toBeGreaterThan(before);
  });
  await pod.proves(digestOf(anchors));
  expect(pod.log().slice(lines)).toEqual([]);
});
