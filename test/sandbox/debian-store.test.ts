// What goes wrong with Debian's trust store, one test for each way (the tool checks nothing, has no lock and exits 0).
import {
  appendFile,
  chmod,
  lstat,
  mkdir,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { agent, eventually } from './harness/agent.ts';
import { makeCert, makeServerCert, makeThree, type Cert } from './harness/certs.ts';
import { readBundle } from './harness/classify.ts';
import {
  anchors,
  bundle,
  certs,
  danglingLinks,
  everywhere,
  fileOf,
  inBundle,
  installHook,
  nameOf,
  nowhere,
  ourFiles,
  plainRun,
  plainTemporary,
  scene,
  smallWorld,
  state,
  trust,
} from './harness/host.ts';
import { leaveOut } from './harness/leave-out.ts';
import { mountSecret } from './harness/secret-mount.ts';
import { changedPaths } from './harness/snapshot.ts';
import { curlTrusts, startTlsServer } from './harness/tls-server.ts';
import type { World } from './harness/world.ts';

const [one, two, three] = await makeThree();

/** Whether the host's curl accepts a server whose certificate this CA issued. */
async function curlAccepts(world: World, ca: Cert): Promise<boolean> {
  await using server = await startTlsServer(await makeServerCert(ca, ['registry.example']));
  return (await curlTrusts(world, server)).trusted;
}

/** As trust(), asked about a certificate that the CA issued: that names its issuer's key, not only its subject. */
async function issuedIsTrusted(world: World, ca: Cert): ReturnType<typeof trust> {
  return trust(world, await makeServerCert(ca, ['registry.example']));
}

/** The paths below these directories whose content matches, files only. */
async function filesWith(world: World, pattern: string, ...directories: string[]): Promise<string> {
  return (await world.exec('grep', ['-rlIs', '--', pattern, ...directories])).stdout;
}

const truncated = (cert: Cert): string => cert.pem.slice(0, cert.pem.length / 2);

describe('what an admin may hand in', () => {
  test('every form of input becomes one canonical file for each certificate, which every reader trusts', async () => {
    await using world = await smallWorld();
    const cas = await Promise.all(Array.from({ length: 7 }, () => makeCert()));
    const [bom, crlf, bare, prose, first, second, der] = cas as [Cert, Cert, Cert, Cert, Cert, Cert, Cert];
    const text = await world.exec('openssl', ['x509', '-text'], { input: prose.pem });
    await using secret = await mountSecret({
      'bom.pem': `\uFEFF${bom.pem}`,
      'crlf.cer': crlf.pem.replaceAll('\n', '\r\n'),
      'no newline (1).crt': bare.pem.trimEnd(),
      preamble: text.stdout,
      'two.pem': `first:\n${first.pem}second:\n${second.pem}`,
      'binary.CRT': der.der,
    });

    const { code, report } = await agent(world).apply(secret.directory);

    expect({ code, ...report }).toMatchObject({ code: 0, converged: true, findings: [], notes: [], reasons: [] });
    expect([...report.added].sort()).toEqual(cas.map(({ fingerprint }) => fingerprint).sort());
    expect(await ourFiles(world)).toEqual(cas.map((ca) => nameOf(ca)).sort());
    for (const ca of cas) {
      expect(await readFile(world.path(fileOf(ca)), 'utf8')).toBe(ca.pem);
      expect((await lstat(world.path(fileOf(ca)))).mode & 0o777).toBe(0o644);
      expect(await readlink(world.path(`${certs}/${nameOf(ca, '.pem')}`))).toBe(fileOf(ca));
      expect(await trust(world, ca)).toEqual(everywhere);
    }
    expect(await curlAccepts(world, bom)).toBe(true);
    expect(await curlAccepts(world, second)).toBe(true);
  });

  test('CAs with the same subject are both found by their hash', async () => {
    await using world = await smallWorld();
    const [old, renewed] = await Promise.all([
      makeCert({ subject: '/CN=Rolled over' }),
      makeCert({ subject: '/CN=Rolled over' }),
    ]);
    await using secret = await mountSecret({ 'ca.crt': old.pem + renewed.pem });
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    for (const ca of [old, renewed]) {
      expect(await issuedIsTrusted(world, ca)).toEqual(everywhere);
      expect(await curlAccepts(world, ca)).toBe(true);
    }
  });

  test('a private key reaches no file of the host, nor does the certificate beside it', async () => {
    const { world, secret } = await scene({ 'good.crt': one.pem, 'server.pem': two.pem + two.key });

    const { code, report, stderr } = await agent(world).apply(secret.directory);

    expect(code).toBe(1);
    expect(report.findings).toMatchObject([{ code: 'private-key', source: `${secret.directory}/server.pem` }]);
    expect(stderr).toContain('private-key');
    expect(await filesWith(world, 'PRIVATE KEY', '/etc/ssl/certs', anchors, '/var/lib/node-ca-trust')).toBe('');
    expect(await trust(world, one)).toEqual(everywhere);
    expect(await trust(world, two)).toEqual(nowhere);
  });

  test('a truncated certificate breaks nobody', async () => {
    await using world = await smallWorld();
    const before = await inBundle(world);
    await using secret = await mountSecret({ 'a.crt': truncated(two), 'b.crt': one.pem });

    const { code, report } = await agent(world).apply(secret.directory);

    expect(code).toBe(1);
    expect(report.findings).toMatchObject([{ code: 'not-a-certificate', source: `${secret.directory}/a.crt` }]);
    expect(await inBundle(world)).toEqual(new Set([...before, one.fingerprint]));
    expect(await trust(world, one)).toEqual(everywhere);
    expect(await curlAccepts(world, one)).toBe(true);
  });
});

describe("somebody else's file in the anchor directory", () => {
  const theirs = `${anchors}/theirs.crt`;
  const broken = {
    'truncated PEM': () => truncated(three),
    'a private key': () => three.key,
    'a certificate with its private key': () => three.key + three.pem,
    DER: () => three.der,
    nothing: () => '',
    'larger than any file of certificates': () => `${'#'.repeat(17 * 2 ** 20)}\n${three.pem}`,
  };

  test.each(Object.entries(broken))(
    'that is %s is named, left as it is, and breaks no reader',
    async (_, contentOf) => {
      await using world = await smallWorld();
      const content = Buffer.from(contentOf());
      await writeFile(world.path(theirs), content, { mode: 0o600 });
      await writeFile(world.path(`${anchors}/zz-good.crt`), two.pem);
      // Some of these make the tool itself give up, others poison the bundle.
      await world.exec('update-ca-certificates');
      const distribution = await world.exec('sh', ['-c', 'grep -c . /etc/ca-certificates.conf']);
      await using secret = await mountSecret({ 'ca.crt': one.pem });

      for (const pass of ['first', 'second']) {
        const { code, report } = await agent(world).apply(secret.directory);
        expect({ pass, code, reasons: report.reasons }).toEqual({ pass, code: 0, reasons: [] });
        expect(report.notes.filter((note) => note.includes(theirs))).toHaveLength(1);
      }
      const held = await inBundle(world);
      expect([...held]).toEqual(expect.arrayContaining([one.fingerprint, two.fingerprint]));
      expect(held.size).toBeGreaterThanOrEqual(Number(distribution.stdout) + 2);
      expect(await filesWith(world, 'PRIVATE KEY', bundle)).toBe('');
      expect(await curlAccepts(world, one)).toBe(true);
      expect(await curlAccepts(world, two)).toBe(true);
      expect((await readFile(world.path(theirs))).equals(content)).toBe(true);
      expect((await lstat(world.path(theirs))).mode & 0o777).toBe(0o600);

      await agent(world).remove();
      expect((await readFile(world.path(theirs))).equals(content)).toBe(true);
      expect(await curlAccepts(world, two)).toBe(true);
    },
  );

  test('that begins with a BOM was trusted before and stays so, also beside a broken one', async () => {
    await using world = await smallWorld();
    await writeFile(world.path(theirs), `\uFEFF${three.pem}`);
    await plainRun(world);
    expect(await trust(world, three)).toEqual(everywhere);
    await using secret = await mountSecret({ 'ca.crt': one.pem });
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    for (const ca of [one, three]) expect(await trust(world, ca)).toEqual(everywhere);

    await writeFile(world.path(`${anchors}/broken.crt`), truncated(two));
    await plainRun(world);
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    for (const ca of [one, three]) expect(await trust(world, ca)).toEqual(everywhere);
  });

  test('with a blank line, at which OpenSSL gives up all of the bundle, is mended in it and named', async () => {
    const { world, secret } = await scene({ 'ca.crt': one.pem });
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    await writeFile(world.path(theirs), three.pem.replace('\n-----END', '\n\n-----END'));
    await plainRun(world);
    expect(await curlAccepts(world, one)).toBe(false);
    const { code, report } = await agent(world).apply(secret.directory);
    expect([code, report.notes.join()]).toEqual([0, expect.stringMatching(/theirs\.crt .* has a blank line/)]);
    for (const ca of [one, three]) expect(await curlAccepts(world, ca)).toBe(true);
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [] } });
  });

  test('that says for what its CA is not trusted is not trusted for it afterwards', async () => {
    await using world = await smallWorld();
    const refuse = await world.exec('openssl', ['x509', '-addreject', 'serverAuth', '-trustout'], { input: three.pem });
    expect(refuse.stdout).toContain('BEGIN TRUSTED CERTIFICATE');
    await writeFile(world.path(theirs), refuse.stdout);
    await plainRun(world);
    expect(await curlAccepts(world, three)).toBe(false);
    await writeFile(world.path(`${anchors}/broken.crt`), truncated(two));
    await using secret = await mountSecret({ 'ca.crt': one.pem });
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await curlAccepts(world, one)).toBe(true);
    expect(await curlAccepts(world, three)).toBe(false);
  });

  test.each(['new\nline.crt', 'back\\slash.crt'])(
    'whose name makes the tool give up keeps no CA from being trusted, nor from being removed: %j',
    async (name) => {
      await using world = await smallWorld();
      await writeFile(world.path(`${anchors}/${name}`), three.pem);
      expect(await world.exec('update-ca-certificates')).toMatchObject({ code: 2 });
      await using secret = await mountSecret({ 'ca.crt': one.pem });
      expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
      for (const ca of [one, three]) expect(await curlAccepts(world, ca)).toBe(true);
      expect(await agent(world).remove()).toMatchObject({ code: 0 });
      expect([await curlAccepts(world, one), await curlAccepts(world, three)]).toEqual([false, true]);
    },
  );

  test('whose name would colour a terminal is shown without that, and what is in it is trusted', async () => {
    await using world = await smallWorld();
    const name = '\u001B[31mred.crt';
    await writeFile(world.path(`${anchors}/${name}`), three.pem + truncated(two));
    await using secret = await mountSecret({ 'ca.crt': one.pem });
    const options = ['--host-root', world.root, '--bundle', secret.directory, '--runtime-refresh', 'off'];
    const { code, stdout, stderr } = await agent(world).cli('apply', ...options);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`${anchors}/\\u{1b}[31mred.crt on the host, not ours, is broken`);
    expect(stdout).not.toContain('\u001B');
    for (const ca of [one, three]) expect((await trust(world, ca)).bundle).toBe(true);
  });
});

describe("another run's temporary bundle", () => {
  const minutes = 60_000;

  /** What a plain run leaves that was killed when `removed` was still to be trusted. */
  async function leave(world: World, removed: Cert, ageMs: number): Promise<void> {
    const held = await readFile(world.path(bundle), 'utf8');
    await writeFile(world.path(plainTemporary), removed.pem + held.slice(0, held.length / 2));
    const then = new Date(Date.now() - ageMs);
    await utimes(world.path(plainTemporary), then, then);
  }

  test('left behind is removed and not added to: no removed CA comes back', async () => {
    const { world, secret } = await scene({ 'ca.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await leave(world, two, 2 * minutes);
    await secret.swap({ 'ca.crt': three.pem });

    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { stillTrusted: [] } });
    expect(await lstat(world.path(plainTemporary)).catch(() => 'gone')).toBe('gone');
    await plainRun(world);

    expect(await trust(world, three)).toEqual(everywhere);
    for (const ca of [one, two]) expect(await trust(world, ca)).toEqual(nowhere);
    expect(await filesWith(world, two.pem.split('\n')[2] ?? '', certs)).toBe('');
  });

  test('left behind is removed even when there is nothing else to do', async () => {
    const { world, secret } = await scene({ 'ca.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await leave(world, two, 2 * minutes);
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [] } });
    expect(await lstat(world.path(plainTemporary)).catch(() => 'gone')).toBe('gone');
  });

  test('of a run that is alive is left alone and waited for, and what it undoes is done again', async () => {
    await using world = await smallWorld();
    const stale = await readFile(world.path(bundle));
    await using secret = await mountSecret({ 'ca.crt': one.pem });
    await writeFile(world.path(plainTemporary), stale);
    const pass = { ended: false };
    const applied = agent(world)
      .apply(secret.directory)
      .finally(() => (pass.ended = true));
    await eventually(async () => {
      expect(await inBundle(world)).toContain(one.fingerprint);
    });
    expect(pass.ended).toBe(false);
    expect((await readFile(world.path(plainTemporary))).equals(stale)).toBe(true);

    await rename(world.path(plainTemporary), world.path(bundle));

    expect(await applied).toMatchObject({ code: 0, report: { converged: true } });
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test('of a run that is alive brings a removed CA back, and that is not the end of it', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await writeFile(world.path(plainTemporary), await readFile(world.path(bundle)));
    await secret.swap({ 'b.crt': two.pem });
    const applied = apply(secret.directory);
    await eventually(async () => {
      expect(await inBundle(world)).not.toContain(one.fingerprint);
    });
    await rename(world.path(plainTemporary), world.path(bundle));
    expect(await applied).toMatchObject({ code: 0, report: { converged: true, removed: [one.fingerprint] } });
    expect(await trust(world, one)).toEqual(nowhere);
    expect(await trust(world, two)).toEqual(everywhere);
  });
});

describe('what somebody undid is found and mended', () => {
  const damages: Record<string, (world: World, ca: Cert) => Promise<void>> = {
    'the hash link': (world, ca) => rm(world.path(`${certs}/${ca.subjectHash}.0`)),
    'the link to our file': (world, ca) => rm(world.path(`${certs}/${nameOf(ca, '.pem')}`)),
    'both links': async (world, ca) => {
      await rm(world.path(`${certs}/${ca.subjectHash}.0`));
      await rm(world.path(`${certs}/${nameOf(ca, '.pem')}`));
    },
    "all links by hash, the distribution's too": async (world) => {
      const names = (await readdir(world.path(certs))).filter((name) => /^[0-9a-f]{8}\.\d+$/.test(name));
      for (const name of names) await rm(world.path(`${certs}/${name}`));
    },
    'our file': (world, ca) => rm(world.path(fileOf(ca))),
    'our file, and the tool has run since': async (world, ca) => {
      await rm(world.path(fileOf(ca)));
      await plainRun(world);
    },
    "the host's bundle": (world) => rm(world.path(bundle)),
    "the host's bundle, cut short": (world) => writeFile(world.path(bundle), two.pem),
    "the host's bundle, without ours": async (world, ca) => {
      const text = await readFile(world.path(bundle), 'utf8');
      await writeFile(world.path(bundle), text.replace(ca.pem, ''));
    },
    'the content of our file': (world, ca) => writeFile(world.path(fileOf(ca)), two.pem),
    'the content of our file, and the tool has run since': async (world, ca) => {
      await writeFile(world.path(fileOf(ca)), two.pem);
      await plainRun(world);
    },
    'the content of our file, now broken, and the tool has run since': async (world, ca) => {
      await writeFile(world.path(fileOf(ca)), truncated(ca));
      await plainRun(world);
    },
    'the mode of our file': (world, ca) => chmod(world.path(fileOf(ca)), 0o600),
  };

  test.each(Object.entries(damages).filter(([what]) => what !== 'the mode of our file'))('%s', async (_, damage) => {
    const { world, secret } = await scene({ 'ca.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    const before = await world.snapshot();
    const held = await inBundle(world);

    await damage(world, one);
    const { code, report } = await apply(secret.directory);

    expect({ code, reasons: report.reasons }).toEqual({ code: 0, reasons: [] });
    expect(report.refreshed).not.toEqual([]);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
    expect(await inBundle(world)).toEqual(held);
    expect(await trust(world, one)).toEqual(everywhere);
    expect(await trust(world, two)).toEqual(nowhere);
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [] } });
  });

  test('the link to our file, while another’s copy is found by the hash', async () => {
    const { world, secret } = await scene({ 'ca.crt': one.pem });
    await writeFile(world.path(`${anchors}/copy.crt`), one.pem);
    await plainRun(world);
    const { apply } = agent(world);
    await apply(secret.directory);
    const link = world.path(`${certs}/${nameOf(one, '.pem')}`);
    await rm(link);
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { repaired: [one.fingerprint] } });
    expect(await readlink(link)).toBe(fileOf(one));
  });

  const ends: Record<string, (path: string) => Promise<unknown>> = {
    'a broken file': (path) => writeFile(path, truncated(one)),
    'a file whose second block is broken': (path) => writeFile(path, three.pem + truncated(two)),
    'a directory': (path) => mkdir(path),
  };

  test.each(Object.entries(ends))('a look-up that ends before ours, at another’s: %s', async (_, make) => {
    const { world, secret } = await scene({ 'ca.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await make(world.path(`${certs}/theirs.pem`));
    const chain = [0, 1].map((suffix) => world.path(`${certs}/${one.subjectHash}.${suffix}`)) as [string, string];
    await rename(...chain);
    await symlink('theirs.pem', chain[0]);
    expect(await trust(world, one)).toEqual({ bundle: true, hashed: false });
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { repaired: [one.fingerprint] } });
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test('the link without a name that the tool makes when a program of its own is killed', async () => {
    const { world, secret } = await scene({ 'ca.crt': one.pem });
    const theirs = `${anchors}/theirs.crt`;
    await writeFile(world.path(theirs), three.pem);
    await plainRun(world);
    await rename(world.path(`${certs}/theirs.pem`), world.path(`${certs}/.pem`));
    await rm(world.path(`${certs}/${three.subjectHash}.0`));
    await symlink('.pem', world.path(`${certs}/${three.subjectHash}.0`));
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await readdir(world.path(certs))).not.toContain('.pem');
    expect(await danglingLinks(world)).toEqual([]);
    for (const ca of [one, three]) expect(await trust(world, ca)).toEqual(everywhere);
  });

  test('links of others that a pass had under way when it was killed', async () => {
    const { world, secret } = await scene({ 'ca.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    const before = await world.snapshot();
    const links = (await readdir(world.path(certs))).filter((name) => /^[0-9a-f]{8}\.\d+$/.test(name));
    for (const name of links) if (!name.startsWith(one.subjectHash)) await rm(world.path(`${certs}/${name}`));
    await mkdir(world.path('/etc/ssl/.node-ca-trust-default'));
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [expect.any(String)] } });
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });

  test('both links, while another’s file has a name of ours that no certificate has', async () => {
    const { world, secret } = await scene({ 'ca.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await writeFile(world.path(`${anchors}/node-ca-trust-default-${'0'.repeat(16)}.crt`), three.pem);
    await rm(world.path(`${certs}/${one.subjectHash}.0`));
    await rm(world.path(`${certs}/${nameOf(one, '.pem')}`));
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    for (const ca of [one, three]) expect(await trust(world, ca)).toEqual(everywhere);
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [] } });
  });

  test('the first of two hash links of one subject', async () => {
    await using world = await smallWorld();
    const pair = await Promise.all([
      makeCert({ subject: '/CN=Rolled over' }),
      makeCert({ subject: '/CN=Rolled over' }),
    ]);
    await using secret = await mountSecret({ 'ca.crt': pair[0].pem + pair[1].pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await rm(world.path(`${certs}/${pair[0].subjectHash}.0`));
    const { code, report } = await apply(secret.directory);
    expect(code).toBe(0);
    expect([...report.repaired].sort()).toEqual(pair.map(({ fingerprint }) => fingerprint).sort());
    for (const ca of pair) expect(await issuedIsTrusted(world, ca)).toEqual(everywhere);
  });
});

describe('removal', () => {
  test('takes the CA from the bundle and the hashed directory, and leaves no link behind', async () => {
    const { world, secret } = await scene({ 'one.crt': one.pem, 'two.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await secret.swap({ 'two.crt': two.pem });

    const { code, report } = await apply(secret.directory);

    expect({ code, removed: report.removed, added: report.added }).toEqual({
      code: 0,
      removed: [one.fingerprint],
      added: [],
    });
    expect(await ourFiles(world)).toEqual([nameOf(two)]);
    expect(await trust(world, one)).toEqual(nowhere);
    expect(await trust(world, two)).toEqual(everywhere);
    expect(await danglingLinks(world)).toEqual([]);
    expect((await readdir(world.path(certs))).filter((name) => name.startsWith(one.subjectHash))).toEqual([]);
    expect(await curlAccepts(world, one)).toBe(false);
  });

  test('of a CA whose file somebody deleted already leaves no link behind either', async () => {
    const { world, secret } = await scene({ 'one.crt': one.pem, 'two.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await rm(world.path(fileOf(one)));
    await secret.swap({ 'two.crt': two.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { removed: [one.fingerprint] } });
    expect(await trust(world, one)).toEqual(nowhere);
    expect(await danglingLinks(world)).toEqual([]);
  });

  test('leaves no link by hash behind that a run of another made meanwhile', async () => {
    const { world, secret } = await scene({ 'one.crt': one.pem, 'two.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await secret.swap({ 'two.crt': two.pem });
    await apply(secret.directory);
    await symlink(nameOf(one, '.pem'), world.path(`${certs}/${one.subjectHash}.0`));
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await danglingLinks(world)).toEqual([]);
  });
});

test('a directory in the place of a link of ours keeps that CA out, and no other in or out', async () => {
  const { world, secret } = await scene({ 'three.crt': three.pem });
  const { apply } = agent(world);
  await apply(secret.directory);
  await mkdir(world.path(`${certs}/${nameOf(one, '.pem')}`));
  await secret.swap({ 'one.crt': one.pem, 'two.crt': two.pem });
  const { code, report } = await apply(secret.directory);
  expect([code, report.reasons]).toEqual([1, [expect.stringMatching(/is not found by its hash link$/)]]);
  expect(await trust(world, two)).toEqual(everywhere);
  expect(await trust(world, three)).toEqual(nowhere);
});

describe("the host's own selection", () => {
  const selection = '/etc/ca-certificates.conf';
  const corporate = '/usr/share/ca-certificates/corp/root.crt';

  /** The host selects a CA of its own by this line, and its own tool has run since. */
  async function selecting(line: string): Promise<World> {
    const world = await smallWorld();
    await mkdir(world.path('/usr/share/ca-certificates/corp'));
    await writeFile(world.path(corporate), three.pem);
    await appendFile(world.path(selection), line);
    await plainRun(world);
    return world;
  }

  test('without an end of its last line: the tool leaves that out, and others come and go', async () => {
    await using world = await selecting('corp/root.crt');
    const before = await inBundle(world);
    expect(before.has(three.fingerprint)).toBe(false);
    await using secret = await mountSecret({ 'ca.crt': one.pem });
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await trust(world, one)).toEqual(everywhere);
    expect(await agent(world).remove()).toMatchObject({ code: 0 });
    expect(await inBundle(world)).toEqual(before);
  });

  test('with blanks around a name: the tool takes it, and it stays when it was ours as well', async () => {
    await using world = await selecting('\t corp/root.crt \t\n');
    expect(await trust(world, three)).toEqual(everywhere);
    await using secret = await mountSecret({ 'ca.crt': three.pem });
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    const { code, report } = await agent(world).remove();
    expect([code, report.stillTrusted]).toEqual([0, [{ fingerprint: three.fingerprint, file: corporate }]]);
    expect(await trust(world, three)).toEqual(everywhere);
  });

  test('that was lost takes no trust away, until the own tool was run without it', async () => {
    await using world = await smallWorld();
    const before = await inBundle(world);
    await writeFile(world.path(selection), '');
    await using secret = await mountSecret({ 'ca.crt': one.pem });
    const { code, report } = await agent(world).apply(secret.directory);
    expect([code, report.reasons]).toEqual([
      1,
      [expect.stringMatching(new RegExp(`holds ${before.size} certificates of others .* what selects them`)) as string],
    ]);
    expect(await inBundle(world)).toEqual(before);
    await plainRun(world);
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await inBundle(world)).toEqual(new Set([one.fingerprint]));
  });
});

describe('the hooks of the host (Java keeps a key store of its own)', () => {
  const line = (sign: string, cert: Cert): string => `${sign}${certs}/${nameOf(cert, '.pem')}`;

  test('hear of every addition and removal, once, when the new bundle is there', async () => {
    await using world = await smallWorld();
    const hook = await installHook(world);
    await using secret = await mountSecret({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply, remove } = agent(world);

    await apply(secret.directory);
    await secret.swap({ 'b.crt': two.pem, 'c.crt': three.pem });
    await apply(secret.directory);
    await apply(secret.directory);
    await remove();

    const calls = await hook.calls();
    expect(calls.map(({ lines }) => [...lines].sort())).toEqual([
      [line('+', one), line('+', two)].sort(),
      [line('+', three), line('-', one)].sort(),
      [line('-', two), line('-', three)].sort(),
    ]);
    const seen = calls.map(({ held }) => [one, two, three].map(({ fingerprint }) => held.has(fingerprint)));
    expect(seen).toEqual([
      [true, true, false],
      [false, true, true],
      [false, false, false],
    ]);
  });

  test('hear of additions before removals', async () => {
    await using world = await smallWorld();
    const hook = await installHook(world);
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await secret.swap({ 'b.crt': two.pem });
    await apply(secret.directory);
    expect((await hook.calls()).at(-1)?.lines).toEqual([line('+', two), line('-', one)]);
  });

  test('are those that the host’s own tool runs, and no others', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const directory = '/etc/ca-certificates/update.d';
    await mkdir(world.path(`${directory}/directory`), { recursive: true });
    for (const [name, mode] of [
      ...['zz', 'B-1', 'a_2', 'old.dpkg-old', '.dot', 'a~', 'ä'].map((it) => [it, 0o755] as const),
      ['plain', 0o644] as const,
    ]) {
      await writeFile(world.path(`${directory}/${name}`), `#!/bin/sh\necho "$0" >> /tmp/ran\n`);
      await chmod(world.path(`${directory}/${name}`), mode);
    }
    await symlink('zz', world.path(`${directory}/link`));
    await symlink('/nowhere', world.path(`${directory}/dangling`));
    const { stdout } = await world.exec('run-parts', ['--test', '--', directory]);
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await readFile(world.path('/tmp/ran'), 'utf8')).toBe(stdout);
    expect(stdout.split('\n')).toHaveLength(5);
  });

  test('hear of a removal also when the ledger was lost before it', async () => {
    await using world = await smallWorld();
    const hook = await installHook(world);
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const { apply, remove } = agent(world);
    await apply(secret.directory);
    await rm(world.path('/var/lib/node-ca-trust'), { recursive: true });
    await remove();
    expect((await hook.calls()).at(-1)?.lines).toEqual([line('-', one)]);
  });

  test('hear of what another added by hand, when our run is the first to install it', async () => {
    await using world = await smallWorld();
    const hook = await installHook(world);
    await writeFile(world.path(`${anchors}/by hand.crt`), two.pem);
    await using secret = await mountSecret({ 'a.crt': one.pem });
    await agent(world).apply(secret.directory);
    const [call] = await hook.calls();
    expect([...(call?.lines ?? [])].sort()).toEqual([`+${certs}/by_hand.pem`, line('+', one)].sort());
  });

  test('hear of what another added by hand, also when the pass that installed it could not publish', async () => {
    await using world = await smallWorld();
    const hook = await installHook(world);
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await writeFile(world.path(`${anchors}/by hand.crt`), two.pem);
    await secret.swap({ 'b.crt': three.pem });
    const mounted = await world.readOnly(bundle);
    for (const pass of ['first', 'second']) {
      expect({ pass, code: (await apply(secret.directory)).code }).toEqual({ pass, code: 1 });
    }
    await mounted.undo();
    expect(await hook.calls()).toHaveLength(1);

    expect((await apply(secret.directory)).code).toBe(0);

    const calls = (await hook.calls()).slice(1);
    const news = [`+${certs}/by_hand.pem`, line('+', three), line('-', one)].sort();
    expect(calls.map(({ lines }) => [...lines].sort())).toEqual([news]);
    expect(await readdir(world.path(state))).toEqual(['default.json']);
  });

  test('that fail are a note, and keep nothing from being trusted', async () => {
    await using world = await smallWorld();
    await installHook(world, 7);
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const { code, report } = await agent(world).apply(secret.directory);
    expect(code).toBe(0);
    expect(report.notes).toEqual([
      '/etc/ca-certificates/update.d/recorder on the host ended with exit code 7: the recorder ends with 7',
    ]);
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test('that failed are told again, the later word on each, until all have heard', async () => {
    await using world = await smallWorld();
    const hook = await installHook(world, 7);
    const recorder = world.path('/etc/ca-certificates/update.d/recorder');
    await using secret = await mountSecret({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await secret.swap({ 'b.crt': two.pem });
    await apply(secret.directory);
    await writeFile(recorder, (await readFile(recorder, 'utf8')).replace('exit 7', 'exit 0'));
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { notes: [], refreshed: [] } });
    await apply(secret.directory);
    const calls = await hook.calls();
    expect(calls.map(({ lines }) => [...lines].sort())).toEqual([
      [line('+', one), line('+', two)].sort(),
      [line('+', two), line('-', one)].sort(),
      [line('+', two), line('-', one)].sort(),
    ]);
  });
});

test('a directory of certificates that did not exist is made, and gone after the removal', async (context) => {
  await using world = await smallWorld();
  if (world.view === 'copy') leaveOut(context, 'there it is a mount, which cannot be removed');
  await rm(world.path(anchors), { recursive: true });
  const before = await world.snapshot();
  await using secret = await mountSecret({ 'a.crt': one.pem });
  expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
  expect(await trust(world, one)).toEqual(everywhere);
  expect(await agent(world).remove()).toMatchObject({ code: 0 });
  expect(changedPaths(before, await world.snapshot())).toEqual([]);
});

test('files of ours in subdirectories, or under other names, are somebody else’s', async () => {
  await using world = await smallWorld();
  const copy = `${anchors}/copies/${nameOf(one)}`;
  await mkdir(world.path(`${anchors}/copies`));
  await writeFile(world.path(copy), one.pem);
  await using secret = await mountSecret({ 'a.crt': one.pem });
  const { apply, remove } = agent(world);
  await apply(secret.directory);
  const { report } = await remove();
  expect(report.stillTrusted).toEqual([{ fingerprint: one.fingerprint, file: copy }]);
  expect(await readFile(world.path(copy), 'utf8')).toBe(one.pem);
  expect(readBundle(await readFile(world.path(bundle), 'utf8')).fingerprints).toContain(one.fingerprint);
  expect(await trust(world, one)).toEqual(everywhere);
});
