// The fast source against a real API server: every change arrives, once, and what is missing is named.
import { expect, test } from 'vitest';
import { accountResources, mountAccount, namespace, put, putSecret, secretPath } from './harness/account.ts';
import { follow } from './harness/follower.ts';
import { startWithAccount } from './harness/with-account.ts';

/** Milliseconds: an API server on a busy machine takes its time. */
const patience = { timeout: 20_000 };

const { api, account } = await startWithAccount();

test('hears of a Secret that is made, changed, deleted and made again', async () => {
  const followed = follow(account);
  await followed.holds('missing');
  for (const files of [{ 'a.crt': 'one' }, { 'a.crt': 'two' }, { 'b.crt': 'two' }]) {
    await putSecret(api, files);
    await followed.holds(files);
  }
  await api.must('DELETE', secretPath());
  await followed.holds('missing');
  await putSecret(api, { 'a.crt': 'one' });
  await followed.holds({ 'a.crt': 'one' });
  expect(followed.held).toHaveLength(6);
  expect(followed.said).toEqual([]);
});

test('says nothing of a change that leaves the bytes as they were', async () => {
  await putSecret(api, { 'a.crt': 'one' });
  const followed = follow(account);
  await followed.holds({ 'a.crt': 'one' });
  const note = { metadata: { annotations: { note: 'changed' }, labels: { team: 'network' } } };
  await api.must('PATCH', secretPath(), note, 'application/merge-patch+json');
  await putSecret(api, { 'a.crt': 'two' });
  await followed.holds({ 'a.crt': 'two' });
  expect(followed.held).toHaveLength(2);
});

test('takes bytes as they are, up to all that a Secret can hold', async () => {
  const followed = follow(account);
  const bytes = Buffer.from([0, 255, 254, 10, 13, 128]);
  const metadata = { name: 'node-ca-trust', namespace };
  const data = { 'der.crt': bytes.toString('base64') };
  await api.must('POST', secretPath('').slice(0, -1), { apiVersion: 'v1', kind: 'Secret', metadata, data });
  await followed.holds({ 'der.crt': String(bytes) });
  const large = { 'large.crt': 'x'.repeat(1024 * 1024 - 1) };
  await putSecret(api, large);
  await followed.holds(large);
  await putSecret(api, {});
  await followed.holds({});
});

test('takes a Secret of any type, and its keys with it', async () => {
  const files = { 'tls.crt': 'certificate', 'tls.key': 'key' };
  const metadata = { name: 'node-ca-trust', namespace };
  const secret = { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata, stringData: files };
  await api.must('POST', secretPath('').slice(0, -1), secret);
  await follow(account).holds(files);
});

test('is not told of other Secrets, and may not read them', async () => {
  const followed = follow(account);
  await followed.holds('missing');
  await putSecret(api, { 'a.crt': 'another' }, 'another');
  await putSecret(api, { 'a.crt': 'one' });
  await followed.holds({ 'a.crt': 'one' });
  expect(followed.held).toHaveLength(2);
});

test('loses nothing when the server ends the watch again and again', async () => {
  const followed = follow(account, { watchMs: 500, retryMs: 10 });
  await followed.holds('missing');
  for (let round = 0; round < 30; round += 1) {
    await putSecret(api, { 'a.crt': String(round) });
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 200));
  }
  await followed.holds({ 'a.crt': '29' });
  expect(new Set(followed.held).size).toBe(followed.held.length);
  expect(followed.said).toEqual([]);
});

test('names the rule that is missing, once, and goes on when it is granted', async () => {
  await putSecret(api, { 'a.crt': 'one' });
  const binding = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings/node-ca-trust`;
  await api.must('DELETE', binding);
  const followed = follow(account, { longestRetryMs: 200 });
  await expect.poll(() => followed.said.length, { timeout: 20_000 }).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(followed.said).toEqual([
    'failed: secret node-ca-trust/node-ca-trust cannot be read through the API server: the service account may not list it (403); ' +
      'grant it in a Role of namespace node-ca-trust: apiGroups [""], resources [secrets], resourceNames [node-ca-trust], verbs [list, watch]',
  ]);
  for (const resource of accountResources()) await put(api, resource);
  await followed.holds({ 'a.crt': 'one' });
  await expect
    .poll(() => followed.said.slice(1), patience)
    .toEqual(['recovered: secret node-ca-trust/node-ca-trust is read through the API server again']);
});

test('without the verb watch it still sees every change, by listing, and says that the verb is missing', async () => {
  const role = accountResources().find(({ kind }) => kind === 'Role');
  if (role === undefined) throw new Error('deploy/base has no Role');
  const rules = [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['node-ca-trust'], verbs: ['list'] }];
  await put(api, { ...role, rules } as typeof role);
  try {
    const followed = follow(account, { longestRetryMs: 200 });
    await followed.holds('missing');
    await putSecret(api, { 'a.crt': 'one' });
    await followed.holds({ 'a.crt': 'one' });
    expect(followed.said).toEqual([expect.stringContaining('may not watch it (403)')]);
  } finally {
    await put(api, role);
  }
});

test('takes the new token when the kubelet has replaced an expired one', async () => {
  await putSecret(api, { 'a.crt': 'one' });
  const followed = follow({ ...account, token: 'expired' }, { retryMs: 10, longestRetryMs: 200 });
  await expect.poll(() => followed.said.length, patience).toBe(1);
  expect(followed.said[0]).toContain('the API server answered 401');
  mountAccount(followed.root, account.token, account.ca);
  await followed.holds({ 'a.crt': 'one' });
});

test('trusts the new CA of the API server once the kubelet has brought it', async () => {
  await putSecret(api, { 'a.crt': 'one' });
  const followed = follow({ ...account, ca: '' }, { retryMs: 10, longestRetryMs: 200 });
  await expect.poll(() => followed.said.length, patience).toBe(1);
  mountAccount(followed.root, account.token, account.ca);
  await followed.holds({ 'a.crt': 'one' });
});
