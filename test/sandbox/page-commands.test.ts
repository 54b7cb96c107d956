// What pages have people type on a machine, word for word, on a view of one: README.md, docs/migration.md, docs/aks.md.
//
// There is no systemd: systemctl only writes down what it is told.
import { lstat, mkdir, readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { blocksOf, project, section, textOf } from '../unit/docs/pages.ts';
import { agent, eventually } from './harness/agent.ts';
import { type Cert, makeCert, makeServerCert } from './harness/certs.ts';
import {
  anchors,
  certs,
  everywhere,
  fileOf,
  installHook,
  nameOf,
  nowhere,
  plainRun,
  scene,
  smallWorld,
  trust as trustOf,
} from './harness/host.ts';
import { shell } from './harness/shell.ts';
import { changedPaths } from './harness/snapshot.ts';
import { watchBundle } from './harness/watcher.ts';
import type { World } from './harness/world.ts';

/** A CA, and one of the same name with another key that is to follow it: both are looked up by one hash. */
const [old, next, other] = await Promise.all([
  makeCert({ subject: '/CN=Company Root' }),
  makeCert({ subject: '/CN=Company Root' }),
  makeCert(),
]);

/** Whether the host trusts what a CA has issued: issuers of one name are told apart by their keys. */
async function trust(world: World, ca: Cert): Promise<unknown> {
  return trustOf(world, await makeServerCert(ca, ['server.example']));
}

/** What was printed. Throws when a command fails. */
async function type(world: World, script: string): Promise<string> {
  const { code, stdout, stderr } = await world.exec('sh', ['-euc', script]);
  if (code !== 0) throw new Error(`${script}\nended with ${code}: ${stdout}${stderr}`);
  return stdout;
}

async function put(world: World, path: string, text: string): Promise<void> {
  await mkdir(dirname(world.path(path)), { recursive: true });
  await writeFile(world.path(path), text);
}

/** Where the hash links of CAs lead, each place once, in order. */
async function linked(world: World, ...cas: readonly Cert[]): Promise<readonly string[]> {
  const hashes = cas.map(({ subjectHash }) => subjectHash);
  const names = (await readdir(world.path(certs))).filter((name) => hashes.includes(name.replace(/\.\d+$/, '')));
  const targets = await Promise.all(names.map((name) => readlink(world.path(`${certs}/${name}`))));
  return [...new Set(targets)].sort();
}

const look = `
reads=0
until [ -e /tmp/enough ]; do
  for link in "$@"; do read -r line < "$link" || echo "$link"; done
  reads=$((reads + 1))
  : > /tmp/looking
done
echo "reads $reads"
`;

/** Reads the bundle, and the CAs by their hash links, on and on; what it gives tells what was missing meanwhile. */
async function keepReading(world: World, ...cas: readonly Cert[]): Promise<() => Promise<unknown>> {
  const watcher = await watchBundle(world, { all: cas.map(({ fingerprint }) => fingerprint) });
  onTestFinished(() => watcher[Symbol.asyncDispose]());
  const suffix = (index: number): number =>
    cas.slice(0, index).filter(({ subjectHash }) => subjectHash === cas[index]?.subjectHash).length;
  const links = cas.map(({ subjectHash }, index) => `${certs}/${subjectHash}.${suffix(index)}`);
  const looking = world.exec('sh', ['-c', look, 'sh', ...links]);
  await eventually(() => readFile(world.path('/tmp/looking')));
  return async () => {
    await writeFile(world.path('/tmp/enough'), '');
    const { stdout } = await looking;
    const reads = Number(/^reads (\d+)\n$/m.exec(stdout)?.[1]);
    expect(reads).toBeGreaterThan(20);
    const { firstBad } = await watcher.stop();
    const missing = stdout.split('\n').filter((line) => line.startsWith('/'));
    return { bundle: firstBad, hashed: [...new Set(missing)] };
  };
}

const migration = blocksOf(textOf('docs/migration.md')).find((block) => block.includes('FILE-OF-THE-LOOP')) ?? '';
const [watching = '', byHand = ''] = blocksOf(section('docs/aks.md', '## What AKS left on the nodes')).slice(-2);

/** The page's commands for these files of a loop. */
const forFiles = (...files: readonly string[]): string =>
  migration.replace(/^rm [^]*$/m, (lines) => files.map((file) => lines.replaceAll('FILE-OF-THE-LOOP', file)).join(''));

const told = '/tmp/told-systemd';

describe('taking the copies of another away, so that trust never lapses', () => {
  test.each([
    {
      page: 'docs/migration.md',
      copies: (name: string) => [`${anchors}/${name}.crt`],
      commands: forFiles('ca1', 'ca2', 'ca3'),
      toSystemd: '',
    },
    {
      page: 'docs/aks.md',
      copies: (name: string) => [`${anchors}/certs/aks-custom-${name}.crt`, `/opt/certs/${name}.crt`],
      commands: byHand,
      toSystemd: 'stop update_certs.path\nstart update_certs.path\n',
    },
  ])('as $page says', async ({ copies, commands, toSystemd }) => {
    const { world, secret } = await scene({ 'ca1.crt': old.pem, 'ca2.crt': next.pem });
    const cas = { ca1: old, ca2: next, ca3: other };
    for (const [name, ca] of Object.entries(cas)) for (const path of copies(name)) await put(world, path, ca.pem);
    await put(world, told, '');
    await plainRun(world);
    const hook = await installHook(world);
    await using daemon = agent(world).run(secret.directory, '--runtime-refresh', 'off');
    await daemon.ready(old, next);
    const theirs = Object.keys(cas).map((name) => `${basename(copies(name)[0] ?? '', '.crt')}.pem`);
    expect(await linked(world, old, next, other)).toEqual(expect.arrayContaining(theirs));
    expect(await trust(world, other)).toEqual(everywhere);

    const missed = await keepReading(world, old, next);
    await type(world, `systemctl() { echo "$@" >> ${told}; }\n${commands}`);
    expect(await missed()).toEqual({ bundle: {}, hashed: [] });
    expect(await linked(world, old, next)).toEqual([old, next].map((ca) => nameOf(ca, '.pem')).sort());
    for (const path of [...Object.keys(cas).flatMap(copies), ...theirs.map((name) => `${certs}/${name}`)])
      await expect(lstat(world.path(path))).rejects.toThrow('ENOENT');
    const heard = (await hook.calls()).flatMap(({ lines }) => lines);
    expect(heard).toEqual(
      expect.arrayContaining(theirs.map((name) => expect.stringMatching(`^-.*/${name}$`) as string)),
    );
    // That one is in no Secret.
    expect([await trust(world, next), await trust(world, other)]).toEqual([everywhere, nowhere]);
    expect(await readFile(world.path(told), 'utf8')).toBe(toSystemd);
    // The agent alone has them now.
    await secret.swap({ 'ca2.crt': next.pem });
    await daemon.ready(next);
    expect([await trust(world, old), await trust(world, next)]).toEqual([nowhere, everywhere]);
  });

  test('docs/aks.md first shows what there is', async () => {
    const { world, secret } = await scene({ 'ca1.crt': old.pem, 'ca2.crt': next.pem });
    for (const path of ['/opt/certs/ca1.crt', `${anchors}/certs/aks-custom-ca1.crt`]) await put(world, path, old.pem);
    await plainRun(world);
    expect(await agent(world).apply(secret.directory, '--runtime-refresh', 'off')).toMatchObject({ code: 0 });
    const shown = await type(world, watching);
    for (const name of ['ca1.crt', 'aks-custom-ca1.crt', `${certs}/aks-custom-ca1.pem`, fileOf(old), fileOf(next)])
      expect(shown).toContain(name);
  });

  test("on a node without the agent's CAs nothing but the copies goes", async () => {
    const { world } = await scene();
    const before = await world.snapshot();
    await put(world, `${anchors}/ca1.crt`, old.pem);
    await plainRun(world);
    await type(world, forFiles('ca1'));
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });
});

describe('README.md, one machine', () => {
  test('says what is a CA, tries, installs, and takes off again', async () => {
    const [block = ''] = blocksOf(section('README.md', '## Quick start: one machine'));
    const [check = '', dryRun = '', install = '', remove = '', ...more] = block.trim().split('\n');
    expect(more).toEqual([]);
    const world = await smallWorld();
    onTestFinished(() => world.destroy());
    // A checkout; in it npm need not be found.
    await mkdir(world.path('/mnt/checkout'));
    await shell('mount --bind "$1" "$2"', project, world.path('/mnt/checkout'));
    const typed = (line: string): Promise<string> =>
      type(
        world,
        `cd /mnt/checkout; sudo() { "$@"; }; npm() { shift 4; node_modules/.bin/node src/main.ts "$@"; }
         ${line.replaceAll('company-ca.crt', '/tmp/company-ca.crt')}`,
      );
    await writeFile(world.path('/tmp/company-ca.crt'), old.pem);
    const before = await world.snapshot();
    expect(await typed(check)).toContain(old.fingerprint.slice(0, 16));
    await typed(dryRun);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
    await typed(install);
    expect(await trust(world, old)).toEqual(everywhere);
    await typed(remove);
    expect(await trust(world, old)).toEqual(nowhere);
    expect(changedPaths(before, await world.snapshot())).toEqual([]);
  });
});
