// The rules of the design, on a real store: what may be added, what may be removed, what is ours, what costs nothing.
import { execa } from 'execa';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { appendFile, mkdir, readFile, rm, rmdir, symlink, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { agent, digestOf, eventually } from './harness/agent.ts';
import { makeCert, makeThree, type Cert } from './harness/certs.ts';
import {
  anchors,
  bundle,
  certs,
  danglingLinks,
  everywhere,
  fileOf,
  holdLock,
  inBundle,
  ledger,
  nameOf,
  nowhere,
  ourFiles,
  plainRun,
  scene,
  smallWorld,
  state,
  trust,
} from './harness/host.ts';
import { leaveOut } from './harness/leave-out.ts';
import { mountSecret, type SecretFiles } from './harness/secret-mount.ts';
import { changedPaths } from './harness/snapshot.ts';
import { createWorld, type World } from './harness/world.ts';

const [one, two, three] = await makeThree();

const prints = (...list: readonly Cert[]): string[] => list.map(({ fingerprint }) => fingerprint).sort();

describe('adding trust needs a valid certificate, removing trust a valid bundle', () => {
  test('a good certificate is installed beside a broken one, and what is missing stays', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await secret.swap({ 'a.crt': three.pem, 'b.crt': 'not a certificate' });

    const { code, report, stderr } = await apply(secret.directory);

    expect(code).toBe(1);
    expect(report).toMatchObject({ converged: false, added: prints(three), removed: [] });
    expect([...report.heldBack].sort()).toEqual(prints(one, two));
    expect(report.findings).toMatchObject([{ code: 'not-a-certificate', severity: 'error' }]);
    expect(stderr).toMatch(/^node-ca-trust: not-a-certificate: .*b\.crt[^\n]*; removals held back[^\n]*\n$/);
    for (const ca of [one, two, three]) expect(await trust(world, ca)).toEqual(everywhere);

    await secret.swap({ 'a.crt': three.pem });
    const healed = await apply(secret.directory);
    expect(healed.report).toMatchObject({ converged: true, heldBack: [] });
    expect([...healed.report.removed].sort()).toEqual(prints(one, two));
    for (const ca of [one, two]) expect(await trust(world, ca)).toEqual(nowhere);
  });

  const invalid: Record<string, { files: () => SecretFiles; code: string }> = {
    'holds a private key': { files: () => ({ 'a.crt': one.pem + one.key }), code: 'private-key' },
    'is empty': { files: () => ({}), code: 'empty' },
    'holds only text': { files: () => ({ 'a.crt': 'hello' }), code: 'not-a-certificate' },
    'is too large': { files: () => ({ 'a.crt': Buffer.alloc(2 ** 20 + 1, '\n') }), code: 'too-large' },
    'holds a leaf': { files: () => ({ 'a.crt': leaf.pem }), code: 'not-a-ca' },
  };
  let leaf: Cert;

  beforeAll(async () => {
    leaf = await makeCert({ ca: false, issuer: one });
  });

  test.each(Object.entries(invalid))('nothing is removed while the bundle %s', async (_, { files, code }) => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    const before = await world.snapshot();
    await secret.swap(files());
    const outcome = await apply(secret.directory);
    expect(outcome.code).toBe(1);
    expect(outcome.report).toMatchObject({ converged: false, removed: [], heldBack: prints(one) });
    expect(outcome.report.findings.map((finding) => finding.code)).toEqual([code]);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test('nothing is removed while a file of the bundle cannot be read', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await secret.swap({ 'b.crt': two.pem });
    await execa('mkfifo', [`${secret.directory}/..data/pipe.crt`]);
    const { code, report } = await apply(secret.directory);
    expect(code).toBe(1);
    expect(report).toMatchObject({ added: prints(two), removed: [], heldBack: prints(one) });
    expect(report.findings).toMatchObject([{ code: 'unreadable' }]);
  });

  test('more certificates than allowed refuse the whole bundle', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await secret.swap({ 'a.crt': two.pem + three.pem });
    const { code, report } = await apply(secret.directory, '--max-certificates', '1');
    expect(code).toBe(1);
    expect(report).toMatchObject({ added: [], removed: [], heldBack: prints(one), findings: [{ code: 'too-many' }] });
    expect(await ourFiles(world)).toEqual([nameOf(one)]);
  });

  test('--strict: any error refuses all of the bundle, and keeps what is there', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory, '--strict');
    await secret.swap({ 'a.crt': two.pem, 'b.crt': 'not a certificate' });
    const before = await world.snapshot();
    const { code, report } = await apply(secret.directory, '--strict');
    expect(code).toBe(1);
    expect(report).toMatchObject({ added: [], removed: [], heldBack: prints(one) });
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
    await secret.swap({ 'a.crt': two.pem });
    expect(await apply(secret.directory, '--strict')).toMatchObject({ code: 0, report: { removed: prints(one) } });
  });

  test('--allow-empty: an empty bundle removes', async () => {
    await using world = await smallWorld();
    const before = await world.snapshot();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await secret.swap({});
    const { code, report } = await apply(secret.directory, '--allow-empty');
    expect({ code, findings: report.findings, removed: report.removed }).toEqual({
      code: 0,
      findings: [],
      removed: prints(one),
    });
    expect(await trust(world, one)).toEqual(nowhere);
    const left = changedPaths(before, await world.snapshot()).filter((path) => !path.startsWith(state));
    expect(left).toEqual([]);
  });

  test('--allow-empty removes nothing when the empty bundle could not be read', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await secret.swap({ 'a.crt': 'rubbish' });
    expect(await apply(secret.directory, '--allow-empty')).toMatchObject({ code: 1, report: { removed: [] } });
    expect(await trust(world, one)).toEqual(everywhere);
  });
});

describe('it touches only what it wrote', () => {
  test('`remove` needs no bundle and leaves the host as it was before the first install', async () => {
    // The machine's whole store, as its distribution laid it out.
    await using world = await createWorld();
    await writeFile(world.path(`${anchors}/by-hand.crt`), three.pem);
    await plainRun(world);
    const before = await world.snapshot();
    await using secret = await mountSecret({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply, remove } = agent(world);
    await apply(secret.directory);
    await secret.swap({ 'a.crt': one.pem });
    await apply(secret.directory);
    await secret.vanish();

    const { code, report } = await remove();

    expect({ code, removed: report.removed, reasons: report.reasons }).toEqual({
      code: 0,
      removed: prints(one),
      reasons: [],
    });
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
    expect(await trust(world, three)).toEqual(everywhere);
    expect(await remove()).toMatchObject({ code: 0, report: { converged: true, removed: [], refreshed: [] } });
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });

  test('`remove` on a host that it never touched changes nothing', async () => {
    await using world = await smallWorld();
    const before = await world.snapshot();
    expect(await agent(world).remove()).toMatchObject({ code: 0, report: { removed: [], refreshed: [] } });
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });

  test('a strange key of the Secret never reaches a path', async () => {
    await using world = await smallWorld();
    const before = await world.snapshot();
    await using secret = await mountSecret({
      '-rf': one.pem,
      '.hidden $(touch x);`y`': two.pem,
      '\u202Eevil\n.crt': three.pem,
      [`node-ca-trust-default-${'0'.repeat(16)}.crt`]: (await makeCert()).pem,
    });
    const { code, report } = await agent(world).apply(secret.directory);
    expect(code).toBe(0);
    const names = report.anchors.map((fingerprint) => nameOf({ fingerprint }));
    expect(await ourFiles(world)).toEqual([...names].sort());
    const links = (await world.exec('sh', ['-c', `cd ${certs}; ls -d *.[0-9]`])).stdout.split('\n');
    const unexpected = changedPaths(before, await world.snapshot())
      .map((path) => path.slice(path.lastIndexOf('/') + 1))
      .filter((name) => ![...names, ...links].includes(name) && !names.includes(name.replace(/\.pem$/, '.crt')));
    expect(unexpected.sort()).toEqual(['ca-certificates.crt', 'default.json', 'node-ca-trust']);
  });

  /** A file of somebody else under the name that our `one` would have. */
  async function squat(world: World): Promise<void> {
    await writeFile(world.path(fileOf(one)), two.pem);
    await plainRun(world);
  }

  test('a stranger under our name is neither adopted nor deleted; it is named, and the others are installed', async () => {
    await using world = await smallWorld();
    await squat(world);
    await using secret = await mountSecret({ 'a.crt': one.pem, 'b.crt': three.pem });
    const { apply, remove } = agent(world);
    for (const pass of ['first', 'second', 'third']) {
      const { code, report, stderr } = await apply(secret.directory);
      expect({ pass, code }).toEqual({ pass, code: 1 });
      expect(report.reasons.join('\n')).toContain(nameOf(one));
      expect(stderr).toContain(nameOf(one));
      expect(await readFile(world.path(fileOf(one)), 'utf8')).toBe(two.pem);
      expect(await trust(world, three)).toEqual(everywhere);
      expect(await trust(world, two)).toEqual(everywhere);
    }
    await remove();
    expect(await readFile(world.path(fileOf(one)), 'utf8')).toBe(two.pem);
    expect(await trust(world, two)).toEqual(everywhere);
    expect(await trust(world, three)).toEqual(nowhere);
  });

  test.each(['mkdir', 'mkfifo', 'ln -s /no/such'])(
    'what `%s` made under our name is left alone and named, and the others are installed',
    async (make) => {
      await using world = await smallWorld();
      await world.exec('sh', ['-c', `${make} ${fileOf(one)}`]);
      const kind = async (): Promise<string> => (await world.exec('stat', ['-c', '%i %F', fileOf(one)])).stdout;
      const before = await kind();
      await using secret = await mountSecret({ 'a.crt': one.pem, 'b.crt': three.pem });
      const { apply } = agent(world);
      for (const pass of ['first', 'second']) {
        const { code, report } = await apply(secret.directory);
        expect({ pass, code }).toEqual({ pass, code: 1 });
        expect(report.reasons).toEqual([
          `${nameOf(one)} on the host is not ours, though it bears our name; move it away`,
        ]);
        expect(await kind()).toBe(before);
        expect(await trust(world, three)).toEqual(everywhere);
      }
      await world.exec('rm', ['-r', fileOf(one)]);
      expect((await apply(secret.directory)).code).toBe(0);
      expect(await trust(world, one)).toEqual(everywhere);
    },
  );

  test('a directory in the place of a file of ours is left alone, and named', async () => {
    await using world = await smallWorld();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const { apply } = agent(world);
    expect((await apply(secret.directory)).code).toBe(0);
    await rm(world.path(fileOf(one)));
    await mkdir(world.path(fileOf(one)));
    const { code, report } = await apply(secret.directory);
    expect([code, report.reasons]).toEqual([
      1,
      [`${nameOf(one)} on the host is not ours, though it bears our name; move it away`],
    ]);
    await rmdir(world.path(fileOf(one)));
    expect((await apply(secret.directory)).code).toBe(0);
  });

  test('a directory in the place of a file of ours that goes does not keep its removal from being proven', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    expect((await apply(secret.directory)).code).toBe(0);
    await rm(world.path(fileOf(one)));
    await mkdir(world.path(fileOf(one)));
    await secret.swap({ 'b.crt': two.pem });
    const gone = await apply(secret.directory);
    expect([gone.code, gone.report.removed]).toEqual([0, [one.fingerprint]]);
    expect(await trust(world, one)).toEqual(nowhere);
    const { code, report } = await apply(secret.directory);
    expect([code, report.removed, report.notes]).toEqual([
      0,
      [],
      [`${nameOf(one)} on the host bears our name but is not ours; it is left alone`],
    ]);
  });

  test('a stranger under our name that nobody asks for is left alone, and named', async () => {
    await using world = await smallWorld();
    await squat(world);
    await using secret = await mountSecret({ 'b.crt': three.pem });
    const { code, report } = await agent(world).apply(secret.directory);
    expect(code).toBe(0);
    expect(report.notes.join('\n')).toContain(nameOf(one));
    expect(await readFile(world.path(fileOf(one)), 'utf8')).toBe(two.pem);
    expect(await trust(world, two)).toEqual(everywhere);
  });

  test('a file of ours that somebody broke is put right, and not called another’s', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const { apply } = agent(world);
    expect((await apply(secret.directory)).code).toBe(0);
    await writeFile(world.path(fileOf(one)), one.pem.slice(0, one.pem.length / 2));
    const { code, report } = await apply(secret.directory);
    expect([code, report.repaired, report.notes]).toEqual([0, [one.fingerprint], []]);
    expect(await readFile(world.path(fileOf(one)), 'utf8')).toBe(one.pem);
  });

  const losses: Record<string, (world: World) => Promise<void>> = {
    'was lost': (world) => rm(world.path(ledger)),
    'was lost with its directory': (world) => rm(world.path(state), { recursive: true }),
    'is cut short': async (world) => {
      const text = await readFile(world.path(ledger), 'utf8');
      await writeFile(world.path(ledger), text.slice(0, text.length / 2));
    },
    'is of another version': (world) => writeFile(world.path(ledger), '{"version":99,"files":"?"}'),
    'is empty': (world) => writeFile(world.path(ledger), ''),
  };

  test.each(Object.entries(losses))('a ledger that %s is rebuilt, and nothing is forgotten', async (_, lose) => {
    await using world = await smallWorld();
    const before = await world.snapshot();
    await using secret = await mountSecret({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply, remove } = agent(world);
    await apply(secret.directory);
    const kept = await readFile(world.path(ledger), 'utf8');

    await lose(world);
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    // Nobody knows any more since when it is trusted, and which directories were made.
    const { added, made, ...known } = JSON.parse(kept) as Record<string, unknown>;
    expect([added, made]).toEqual([expect.anything(), expect.anything()]);
    expect(JSON.parse(await readFile(world.path(ledger), 'utf8'))).toMatchObject(known);

    await lose(world);
    await secret.swap({ 'a.crt': one.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { removed: prints(two) } });
    expect(await trust(world, two)).toEqual(nowhere);

    await lose(world);
    expect(await remove()).toMatchObject({ code: 0, report: { removed: prints(one) } });
    expect(await trust(world, one)).toEqual(nowhere);
    expect(await danglingLinks(world)).toEqual([]);
    expect(changedPaths(before, await world.snapshot()).filter((path) => path !== state)).toEqual([]);
  });

  test('a link of ours is taken away when its file and the ledger are gone', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    await apply(secret.directory);
    await secret.swap({ 'b.crt': two.pem });
    await apply(secret.directory);
    await symlink(fileOf(one), world.path(`${certs}/${nameOf(one, '.pem')}`));
    await symlink(nameOf(one, '.pem'), world.path(`${certs}/${one.subjectHash}.0`));
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await danglingLinks(world)).toEqual([]);
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [] } });
  });

  test('an instance does not touch what another of a similar name wrote', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const { apply, remove } = agent(world);
    await apply(secret.directory, '--instance', 'a');
    await apply(secret.directory, '--instance', 'a-a');
    await remove('--instance', 'a');
    expect(await ourFiles(world)).toEqual([nameOf(one, '.crt', 'a-a')]);
    expect(await trust(world, one)).toEqual(everywhere);
    expect(await apply(secret.directory, '--instance', 'a-a')).toMatchObject({ code: 0, report: { refreshed: [] } });
  });
});

describe('a removed CA that another still carries', () => {
  test('stays trusted through the other instance, whose file is named', async () => {
    await using world = await smallWorld();
    const before = await world.snapshot();
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const { apply, remove } = agent(world);
    for (const instance of ['blue', 'green']) {
      expect(await apply(secret.directory, '--instance', instance)).toMatchObject({ code: 0 });
    }

    const { code, report } = await remove('--instance', 'blue');

    expect({ code, stillTrusted: report.stillTrusted }).toEqual({
      code: 0,
      stillTrusted: [{ fingerprint: one.fingerprint, file: fileOf(one, 'green') }],
    });
    expect(await trust(world, one)).toEqual(everywhere);
    expect(await danglingLinks(world)).toEqual([]);
    expect(await apply(secret.directory, '--instance', 'green')).toMatchObject({ code: 0, report: { refreshed: [] } });

    expect(await remove('--instance', 'green')).toMatchObject({ code: 0, report: { stillTrusted: [] } });
    expect(await trust(world, one)).toEqual(nowhere);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });

  test('stays trusted through a file put there by hand, which is named', async () => {
    await using world = await smallWorld();
    const file = `${anchors}/by-hand.crt`;
    await writeFile(world.path(file), two.pem + one.pem);
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const { apply, remove } = agent(world);
    await apply(secret.directory);
    const { code, report } = await remove();
    expect({ code, stillTrusted: report.stillTrusted }).toEqual({
      code: 0,
      stillTrusted: [{ fingerprint: one.fingerprint, file }],
    });
    expect((await inBundle(world)).has(one.fingerprint)).toBe(true);
    expect(await readFile(world.path(file), 'utf8')).toBe(two.pem + one.pem);
  });

  test('stays trusted through a stray file in the certificate directory, which Go programs read and which is named', async () => {
    await using world = await smallWorld();
    const file = `${certs}/.stray.tmp`;
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const { apply, remove } = agent(world);
    await apply(secret.directory);
    await writeFile(world.path(file), one.pem);
    const { report } = await remove();
    expect(report.stillTrusted).toEqual([{ fingerprint: one.fingerprint, file }]);
    expect(await trust(world, one)).toEqual(nowhere);
  });

  test('of the distribution itself stays trusted, and its own links are as before', async () => {
    await using world = await smallWorld();
    const before = await world.snapshot();
    const [first = ''] = (await readFile(world.path('/etc/ca-certificates.conf'), 'utf8')).split('\n');
    const file = `/usr/share/ca-certificates/${first}`;
    await using secret = await mountSecret({ 'a.crt': await readFile(world.path(file)) });
    const { apply, remove } = agent(world);
    const applied = await apply(secret.directory);
    expect(applied.code).toBe(0);
    const { report } = await remove();
    expect(report.stillTrusted).toEqual([{ fingerprint: applied.report.anchors[0], file }]);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });
});

describe('a pass with nothing to do', () => {
  /** The command lines of the processes that this one starts meanwhile. */
  async function started(action: () => Promise<void>): Promise<string[]> {
    const commands: string[] = [];
    const note = (message: unknown): void => {
      commands.push((message as { process: { spawnargs?: string[] } }).process.spawnargs?.join(' ') ?? '?');
    };
    subscribe('child_process', note);
    try {
      await action();
    } finally {
      unsubscribe('child_process', note);
    }
    return commands;
  }

  test('starts no process, waits for no lock and writes nothing', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const { apply } = agent(world);
    const busy = await started(async () => {
      await apply(secret.directory);
    });
    expect(busy.length).toBeGreaterThan(0);
    const before = await world.snapshot();
    await using lock = await holdLock(world);
    const idle = await started(async () => {
      expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { converged: true, refreshed: [] } });
    });
    await lock.undo();
    expect(idle).toEqual([]);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });

  test('of a daemon starts no process and writes nothing either, however often it is made', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await using daemon = agent(world).run(secret.directory, '--resync', '1s');
    const morePasses = async (more: number): Promise<void> => {
      const passes = (): Promise<number> => daemon.metric('node_ca_trust_passes_total', 'result="converged"');
      const then = await passes();
      await eventually(async () => {
        expect(await passes()).toBeGreaterThanOrEqual(then + more);
      });
    };
    await daemon.ready(one);
    // The look after a change, 5 s later, is over then.
    await morePasses(7);
    const before = await world.snapshot();
    expect(await started(() => morePasses(3))).toEqual([]);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });

  test('is what follows the same certificates in other files, forms and order', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem, 'b.crt': two.pem });
    const { apply } = agent(world);
    const first = await apply(secret.directory);
    await secret.swap({ x: two.der, y: `text\n${one.pem}`, z: one.pem.replaceAll('\n', '\r\n') });
    const { code, report } = await apply(secret.directory);
    expect(code).toBe(0);
    expect(report).toMatchObject({ refreshed: [], added: [], removed: [], findings: [{ code: 'duplicate' }] });
    expect([first.report.digest, report.digest]).toEqual([digestOf([one, two]), digestOf([one, two])]);
  });
});

describe('--dry-run', () => {
  test('says what would change, and changes nothing', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    const { apply, remove } = agent(world);
    const untouched = await world.snapshot();
    const first = await apply(secret.directory, '--dry-run');
    expect(first).toMatchObject({ code: 0, report: { dryRun: true, added: prints(one), removed: [] } });
    expect(changedPaths(untouched, await world.snapshot())).toEqual([]);

    await apply(secret.directory);
    await appendFile(world.path(bundle), two.pem);
    const before = await world.snapshot();
    await secret.swap({ 'a.crt': two.pem });
    const rotation = await apply(secret.directory, '--dry-run');
    expect(rotation).toMatchObject({ code: 0, report: { added: prints(two), removed: prints(one) } });
    expect(await remove('--dry-run')).toMatchObject({ code: 0, report: { removed: prints(one) } });
    await secret.swap({ 'a.crt': two.pem, 'b.crt': 'rubbish' });
    const refused = await apply(secret.directory, '--dry-run');
    expect(refused).toMatchObject({ code: 1, report: { added: prints(two), removed: [], heldBack: prints(one) } });
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });
});

test('a certificate directory that is a link is followed, inside the host root only', async (context) => {
  await using world = await smallWorld();
  if (world.view === 'copy') leaveOut(context, 'there it is a mount, which cannot be moved');
  const move = `mkdir /usr/local/share/elsewhere; rmdir ${anchors}; ln -s /usr/local/share/elsewhere ${anchors}`;
  expect(await world.exec('sh', ['-ec', move])).toMatchObject({ code: 0 });
  await using secret = await mountSecret({ 'a.crt': one.pem });
  expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
  expect(await readFile(world.path(`/usr/local/share/elsewhere/${nameOf(one)}`), 'utf8')).toBe(one.pem);
  expect(await trust(world, one)).toEqual(everywhere);
  expect(await agent(world).remove()).toMatchObject({ code: 0 });
  expect(await trust(world, one)).toEqual(nowhere);
});
