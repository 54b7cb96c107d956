// Pulls through CRI by the real containerds: they fail before, and work after one pass, in the same process; with
// every kind of directory that a registry's admin can have made.
import { readFile, readdir } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { agent } from '../sandbox/harness/agent.ts';
import { makeServerCert } from '../sandbox/harness/certs.ts';
import {
  certsDirectory,
  configFile,
  containerdConfig,
  socket,
  startContainerd,
  type Containerd,
} from './harness/containerd.ts';
import { image, startRegistry, type Registry } from './harness/registry.ts';
import {
  clear,
  forget,
  makeAuthority,
  names,
  openScene,
  privateImage,
  publicImage,
  type Authority,
  type Scene,
} from './harness/scene.ts';
import { hostsWithoutCa, listing, verdict } from './harness/verdict.ts';

const programs = inject('programs');
const mirrorCa = '/etc/mirror-ca.crt';

/** Directories of registries as users have them. Nothing answers at names that end in `.gone.test`: their mirrors do. */
const directories: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  // It hides _default, though there is nothing in it.
  'empty.test:5443': {},
  // Docker's layout: a file for each CA, here of somebody else.
  'layout.test:5443': { 'other.crt': '' },
  // Without a table [host] containerd 1.x does not take the whole file.
  'server.test:5443': { 'hosts.toml': 'server = "https://registry.test:5443"\n' },
  'skip.test:5443': {
    'hosts.toml': `server = "https://skip.test:5443"

[host."https://skip.test:5443"]
  capabilities = ["pull", "resolve"]
  skip_verify = true
`,
  },
  'mirror.gone.test': {
    'hosts.toml': `# Our mirror, see the wiki.
server = "https://mirror.gone.test"   # nobody is there

[host."https://mirror.test:5443"]
  capabilities = ["pull", "resolve"]
`,
  },
  // Its CA is its own, and stays so.
  'own.gone.test': {
    'hosts.toml': `[host."https://mirror.test:5444"]
  capabilities = ["pull", "resolve"]
  ca = "${mirrorCa}"
`,
  },
  // Its CA was its own, and has been replaced by that of all.
  'moved.gone.test': {
    'hosts.toml': `[host."https://mirror.test:5443"]
  capabilities = ["pull", "resolve"]
  ca = [ # of 2024
    "${mirrorCa}",
  ]
  [host."https://mirror.test:5443".header]
    x-meta = "kept"
`,
  },
};

/** What has the same image behind it, by how it fares without the agent. */
const failing = [
  ...[privateImage, publicImage],
  ...['empty.test:5443', 'layout.test:5443', 'server.test:5443', 'mirror.gone.test', 'moved.gone.test'].map(
    (name) => `${name}/${image}`,
  ),
];
const working = ['skip.test:5443', 'own.gone.test', 'localhost:5000', '127.0.0.1:5000'].map(
  (name) => `${name}/${image}`,
);

/** The default of a cluster with Spegel: a mirror on the node is asked first for whatever registry. */
const spegel = `[host."http://127.0.0.1:5001"]
  capabilities = ["pull", "resolve"]
  dial_timeout = "200ms"
`;

describe.each(programs.containerd)('containerd $version of $origin', (version) => {
  let scene: Scene;
  let containerd: Containerd;
  let nodeMirror: Registry;

  beforeAll(async () => {
    const [first, own] = await Promise.all([makeAuthority(), makeAuthority()]);
    scene = await openScene(programs, first);
    const { machine } = scene;
    await machine.write(mirrorCa, own.ca.pem);
    await startRegistry(machine, { port: 5444, cert: await makeServerCert(own.ca, names) });
    await startRegistry(machine, { host: '127.0.0.1', port: 5000 });
    nodeMirror = await startRegistry(machine, { host: '127.0.0.1', port: 5001, empty: true });
    await machine.place(version.program, '/usr/bin/containerd');
    await machine.write(configFile, containerdConfig(version, { configPath: certsDirectory }));
    containerd = await startContainerd(machine);
    // It has read the system's CAs, and will not again.
    expect((await containerd.pull(privateImage)).ok).toBe(false);
  });

  afterAll(async () => {
    await scene[Symbol.asyncDispose]();
  });

  /** A CA that the process has never seen. */
  let authority: Authority;

  beforeEach(async () => {
    authority = await makeAuthority();
    await scene.use(authority);
    await forget(scene.machine, certsDirectory);
  });

  const before = (): Promise<string[]> => listing(scene.machine, certsDirectory, '/etc/docker', '/etc/containers');

  /** The references of which the pull does not come out as wished, with what containerd said. */
  async function unlike(ok: boolean, references: readonly string[]): Promise<string[]> {
    const wrong: string[] = [];
    for (const reference of references) {
      const pull = await containerd.pull(reference);
      if (pull.ok !== ok) wrong.push(`${reference}: ${pull.text}`);
    }
    return wrong;
  }

  async function fill(): Promise<void> {
    for (const [name, files] of Object.entries(directories)) {
      await clear(scene.machine, `${certsDirectory}/${name}`);
      for (const [file, text] of Object.entries(files)) {
        const content = file === 'other.crt' ? await readFile(scene.machine.path(mirrorCa), 'utf8') : text;
        await scene.machine.write(`${certsDirectory}/${name}/${file}`, content);
      }
    }
  }

  test('one pass makes every registry trusted, a rotation too, and remove leaves every byte as it was', async () => {
    const { machine } = scene;
    await fill();
    const untouched = await before();
    const { pid } = containerd.service;
    const started = containerd.service.started();
    expect(await unlike(false, failing)).toEqual([]);
    expect(await unlike(true, working)).toEqual([]);

    const applied = await agent(machine).apply(await scene.bundle(authority));
    expect(applied).toMatchObject({ code: 0, report: { converged: true } });
    const said = verdict(applied);
    expect(said).toMatchObject({ name: 'containerd', way: 'certs.d', state: 'trusts', pid, socket });
    expect(said.version).toContain(version.version);
    expect(said.directories).toContain(certsDirectory);
    expect(await unlike(true, [...failing, ...working])).toEqual([]);

    const rotated = await makeAuthority();
    await scene.use(rotated);
    expect(await unlike(false, failing)).toEqual([]);
    const again = await agent(machine).apply(await scene.bundle(rotated));
    expect(again).toMatchObject({ code: 0 });
    // Pulls see all; nobody can know whether the process had read the CA that has gone.
    expect(verdict(again)).toMatchObject({ state: 'revoked-after-restart', pid });
    expect(await unlike(true, [...failing, ...working])).toEqual([]);
    // What was taken off is not trusted any more: this process has never had it among the system's CAs.
    await scene.use(authority);
    expect(await unlike(false, failing)).toEqual([]);
    await scene.use(rotated);

    const removed = await agent(machine).remove();
    expect(removed).toMatchObject({ code: 0, report: { converged: true } });
    expect(await before()).toEqual(untouched);
    expect(await unlike(false, failing)).toEqual([]);
    expect(await unlike(true, working)).toEqual([]);
    expect({ pid: containerd.service.pid, started: containerd.service.started() }).toEqual({ pid, started });
    expect(await listing(machine, '/var/lib/node-ca-trust')).toEqual([]);
  });

  test('nothing but whom to trust is changed in a file of a user, and a second pass changes nothing', async () => {
    const { machine } = scene;
    await fill();
    const files = Object.entries(directories).flatMap(([name, held]) =>
      'hosts.toml' in held ? [`${certsDirectory}/${name}/hosts.toml`] : [],
    );
    const texts = (): Promise<string[]> => Promise.all(files.map((file) => readFile(machine.path(file), 'utf8')));
    const meaning = async (): Promise<unknown[]> => (await texts()).map(hostsWithoutCa);
    const untouched = await meaning();
    const bundle = await scene.bundle(authority);
    expect(await agent(machine).apply(bundle)).toMatchObject({ code: 0 });
    expect(await meaning()).toEqual(untouched);
    for (const text of await texts()) expect(text).toMatch(/ # .*node-ca-trust/);
    const once = await before();
    expect(await agent(machine).apply(bundle)).toMatchObject({ code: 0, report: { added: [], refreshed: [] } });
    expect(await before()).toEqual(once);
    // Comments, in their places.
    const kept = await readFile(machine.path(`${certsDirectory}/mirror.gone.test/hosts.toml`), 'utf8');
    expect(kept).toMatch(
      /# Our mirror, see the wiki\.\n[^]*# nobody is there\n[^]*\[host\."https:\/\/mirror\.test:5443"\]/,
    );
    expect(await agent(machine).remove()).toMatchObject({ code: 0 });
  });

  test('a mirror that _default names is asked first, and then trusted is what the registry shows', async () => {
    const { machine } = scene;
    await machine.write(`${certsDirectory}/_default/hosts.toml`, spegel);
    const untouched = await before();
    expect(await unlike(false, [privateImage, publicImage])).toEqual([]);
    expect(await agent(machine).apply(await scene.bundle(authority))).toMatchObject({ code: 0 });
    const asked = nodeMirror.requests().length;
    expect(await unlike(true, [privateImage, publicImage])).toEqual([]);
    expect(nodeMirror.requests().length).toBeGreaterThan(asked);
    expect(await agent(machine).remove()).toMatchObject({ code: 0 });
    expect(await before()).toEqual(untouched);
    expect(await unlike(false, [privateImage, publicImage])).toEqual([]);
  });

  test('what another tool takes away is put back by the next pass', async () => {
    const { machine } = scene;
    await fill();
    const bundle = await scene.bundle(authority);
    expect(await agent(machine).apply(bundle)).toMatchObject({ code: 0 });
    // As Spegel and k3s do at their start.
    await clear(machine, certsDirectory);
    await machine.write(`${certsDirectory}/_default/hosts.toml`, spegel);
    await clear(machine, `${certsDirectory}/empty.test:5443`);
    const untouched = await before();
    const references = [privateImage, publicImage, `empty.test:5443/${image}`];
    expect(await unlike(false, references)).toEqual([]);
    expect(await agent(machine).apply(bundle)).toMatchObject({ code: 0 });
    expect(await unlike(true, references)).toEqual([]);
    expect(await agent(machine).remove()).toMatchObject({ code: 0 });
    expect(await before()).toEqual(untouched);
  });

  test('the first of two instances to go leaves everything to the other', async () => {
    const { machine } = scene;
    await fill();
    const untouched = await before();
    const bundle = await scene.bundle(authority);
    expect(await agent(machine).apply(bundle)).toMatchObject({ code: 0 });
    expect(await agent(machine).apply(bundle, '--instance', 'other')).toMatchObject({ code: 0 });
    expect(await agent(machine).remove()).toMatchObject({ code: 0 });
    expect(await unlike(true, failing)).toEqual([]);
    expect(await agent(machine).remove('--instance', 'other')).toMatchObject({ code: 0 });
    expect(await before()).toEqual(untouched);
  });

  test('a running process that has read the CA among the system’s is said to trust it until its next start', async () => {
    const { machine } = scene;
    expect(await agent(machine).apply(await scene.bundle(authority))).toMatchObject({ code: 0 });
    await containerd.service.stop();
    containerd = await startContainerd(machine);
    expect(await unlike(true, [privateImage])).toEqual([]);
    const removed = await agent(machine).remove();
    expect(await readdir(machine.path(certsDirectory))).toEqual([]);
    expect(await unlike(true, [privateImage])).toEqual([]);
    expect(verdict(removed)).toMatchObject({ state: 'revoked-after-restart', pid: containerd.service.pid });
    await containerd.service.stop();
    containerd = await startContainerd(machine);
    expect(await unlike(false, [privateImage])).toEqual([]);
  });
});
