// The harness judges everything else, so it is shown first to work: with the real tools, on a store of its own.
import { execa } from 'execa';
import { X509Certificate } from 'node:crypto';
import { appendFile, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCert, makeServerCert, type Cert, type CertOptions } from './harness/certs.ts';
import { readBundle } from './harness/classify.ts';
import { mountSecret } from './harness/secret-mount.ts';
import { changedPaths, snapshotStore, type Snapshot } from './harness/snapshot.ts';
import { bundleFile, curlTrusts, hashedDirectory, opensslTrusts, startTlsServer } from './harness/tls-server.ts';
import { watchBundle } from './harness/watcher.ts';
import { createWorld } from './harness/world.ts';

const anchorFile = '/usr/local/share/ca-certificates/by-hand.crt';
const bundle = '/etc/ssl/certs/ca-certificates.crt';
let machine: Snapshot;
let ca: Cert;

beforeAll(async () => {
  [machine, ca] = await Promise.all([snapshotStore('/'), makeCert({ subject: '/O=Harness/CN=By hand' })]);
});

afterAll(async () => {
  expect(changedPaths(machine, await snapshotStore('/'))).toEqual([]);
});

describe.each(['auto', 'copy'] as const)('a world (%s)', (view) => {
  test('trusts a CA that is dropped in by hand, and the machine does not', async () => {
    await using world = await createWorld({ view });
    await using server = await startTlsServer(await makeServerCert(ca, ['registry.example']));
    const before = await world.snapshot();
    expect(await curlTrusts(world, server)).toMatchObject({ trusted: false });
    expect(await opensslTrusts(world, ca.pem, bundleFile)).toMatchObject({ trusted: false });

    await writeFile(world.path(anchorFile), ca.pem);
    expect(await world.exec('update-ca-certificates')).toMatchObject({ code: 0 });

    expect(await curlTrusts(world, server)).toMatchObject({ trusted: true });
    expect(await opensslTrusts(world, ca.pem, bundleFile)).toMatchObject({ trusted: true });
    expect(await opensslTrusts(world, ca.pem, hashedDirectory)).toMatchObject({ trusted: true });
    const changed = changedPaths(before, await world.snapshot());
    expect(changed).toEqual(expect.arrayContaining([anchorFile, bundle, `/etc/ssl/certs/${ca.subjectHash}.0`]));

    server.use(await makeServerCert(await makeCert(), ['registry.example']));
    expect(await curlTrusts(world, server)).toMatchObject({ trusted: false });
  });
});

test('worlds do not see each other, and leak no setting of the machine', async () => {
  await using one = await createWorld();
  await using two = await createWorld();
  await writeFile(one.path('/etc/only-here'), '');
  expect((await one.exec('test', ['-e', '/etc/only-here'])).code).toBe(0);
  expect((await two.exec('test', ['-e', '/etc/only-here'])).code).toBe(1);
  const sysctl = '/proc/sys/kernel/panic';
  expect((await one.exec('sh', ['-c', `cat ${sysctl} > ${sysctl}`])).code).not.toBe(0);
  const { stdout } = await one.exec('env', [], { env: { MINE: 'yes' } });
  expect(stdout).toContain('MINE=yes');
  expect(stdout).not.toMatch(/SSL_CERT|CURL_CA|PROXY/i);
});

test('a full disk is ENOSPC, until it is undone', async () => {
  await using world = await createWorld({ size: '24m' });
  const file = world.path('/etc/ssl/new');
  const bytes = Buffer.alloc(8192);
  await using limit = await world.limitSpace('/etc/ssl', 8 * 2 ** 20);
  const filled = await world.fill('/etc/ssl');
  await expect(writeFile(file, bytes)).rejects.toMatchObject({ code: 'ENOSPC' });
  await filled.undo();
  await writeFile(file, bytes);
  await limit.undo();

  const whole = await world.fill('/var/lib');
  await expect(writeFile(file, bytes)).rejects.toMatchObject({ code: 'ENOSPC' });
  await whole.undo();
  await writeFile(file, bytes);
});

test('a read-only directory is EROFS, until it is undone', async () => {
  await using world = await createWorld();
  const readOnly = await world.readOnly('/usr/local/share/ca-certificates');
  await expect(writeFile(world.path(anchorFile), '')).rejects.toMatchObject({ code: 'EROFS' });
  await readOnly.undo();
  await writeFile(world.path(anchorFile), '');
});

test('the watcher counts whole, missing, short and poisoned bundles', async () => {
  await using world = await createWorld();
  const whole = await readFile(world.path(bundle), 'utf8');
  const { fingerprints } = readBundle(whole);
  const first = [...fingerprints].slice(0, 1);
  const calm = await watchBundle(world, { floor: fingerprints.size, all: first });
  const report = await calm.stop();
  expect(report).toMatchObject({ versions: 1, firstBad: {} });
  expect(report.counts.whole).toBe(report.reads);

  await using watcher = await watchBundle(world, { floor: fingerprints.size, all: first, none: [ca.fingerprint] });
  await rm(world.path(bundle));
  await sleep(100);
  await writeFile(world.path(bundle), whole.slice(0, whole.indexOf('-----BEGIN', 1)));
  await sleep(100);
  await writeFile(world.path(bundle), whole + ca.pem);
  await sleep(100);
  await appendFile(world.path(bundle), '-----BEGIN CERTIFICATE-----\nMIIC');
  await sleep(100);
  const { counts, firstBad } = await watcher.stop();
  for (const state of ['whole', 'missing', 'short', 'excess', 'poisoned'] as const) {
    expect(counts[state], state).toBeGreaterThan(0);
  }
  expect(firstBad.poisoned).toContain('no end');
});

test('certificates of every kind are what they say', async () => {
  const parsed = async (options: CertOptions): Promise<X509Certificate> =>
    new X509Certificate((await makeCert(options)).pem);
  const notBefore = new Date('2040-01-02T03:04:05Z');
  const notAfter = new Date('2041-01-02T03:04:05Z');
  expect(await parsed({ notBefore, notAfter })).toMatchObject({
    ca: true,
    validFromDate: notBefore,
    validToDate: notAfter,
  });
  expect(await parsed({ notAfter: new Date(Date.now() - 3_600_000) })).toMatchObject({ ca: true });
  expect(await parsed({ ca: false })).toMatchObject({ ca: false });
  for (const key of ['p384', 'rsa1024', 'rsa-pss', 'ed25519'] as const) {
    const kind = { p384: 'ec', rsa1024: 'rsa', 'rsa-pss': 'rsa-pss', ed25519: 'ed25519' }[key];
    expect((await parsed({ key })).publicKey.asymmetricKeyType).toBe(kind);
  }
  const text = async (options: CertOptions): Promise<string> => {
    const { pem } = await makeCert(options);
    return (await execa('openssl', ['x509', '-noout', '-text'], { input: pem })).stdout;
  };
  expect(await text({ v1: true })).toContain('Version: 1 (0x0)');
  const bare = await text({ ca: 'absent' });
  expect(bare).toContain('Version: 3 (0x2)');
  expect(bare).not.toContain('Basic Constraints');
  expect(await text({ digest: 'sha1' })).toContain('ecdsa-with-SHA1');
  expect(await text({ digest: 'md5', key: 'rsa2048' })).toContain('md5WithRSAEncryption');
  const byEd25519 = { issuer: await makeCert({ key: 'ed25519' }), names: ['a.example', '127.0.0.1'] };
  expect(await text(byEd25519)).toContain('DNS:a.example, IP Address:127.0.0.1');
});

test('a mounted Secret changes as the kubelet does it', async () => {
  await using secret = await mountSecret({ 'a.crt': 'a', 'b.crt': 'b' });
  const held = async (): Promise<string[]> =>
    (await readdir(secret.directory)).filter((name) => !name.startsWith('..'));
  await secret.swap({ 'b.crt': 'B', 'c.crt': 'c' });
  expect((await held()).sort()).toEqual(['b.crt', 'c.crt']);
  expect(await readFile(join(secret.directory, 'b.crt'), 'utf8')).toBe('B');
  expect((await readdir(secret.directory)).filter((name) => name.startsWith('..'))).toHaveLength(2);
  await secret.vanish();
  await expect(held()).rejects.toMatchObject({ code: 'ENOENT' });
  await secret.restore();
  await secret.swap({});
  expect(await held()).toEqual([]);
});
