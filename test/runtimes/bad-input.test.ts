// What stands in the way on a host whose runtime is set up strangely: it is said in one line with what to do, what is
// said is what happens, and the trust store is right all the same.
import { mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { agent, type PassOutcome } from '../sandbox/harness/agent.ts';
import { everywhere, nowhere, trust } from '../sandbox/harness/host.ts';
import { shell } from '../sandbox/harness/shell.ts';
import {
  certsDirectory,
  configFile,
  containerdConfig,
  startContainerd,
  type Containerd,
  type Settings,
} from './harness/containerd.ts';
import { image } from './harness/registry.ts';
import {
  clear,
  forget,
  makeAuthority,
  openScene,
  privateImage,
  publicImage,
  type Authority,
  type Scene,
} from './harness/scene.ts';
import { listing, verdict, verdicts, type Verdict } from './harness/verdict.ts';

const programs = inject('programs');
const oldest = programs.containerd[0];
const newest = programs.containerd.at(-1);
if (oldest === undefined || newest === undefined) throw new Error('there is no containerd');

describe.each([oldest, newest])('containerd $version', (version) => {
  let scene: Scene;
  let authority: Authority;
  let bundle: string;
  let containerd: Containerd | undefined;

  beforeAll(async () => {
    scene = await openScene(programs, await makeAuthority());
    await scene.machine.place(version.program, '/usr/bin/containerd');
  });

  afterAll(async () => {
    await scene[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    authority = await makeAuthority();
    bundle = await scene.bundle(authority);
    await scene.use(authority);
    await forget(scene.machine, '/etc/containerd', '/srv/elsewhere');
  });

  afterEach(async () => {
    await containerd?.service.stop('KILL');
    containerd = undefined;
  });

  /** Starts it, with the system's CAs read. */
  async function start(settings: Settings = { configPath: certsDirectory }): Promise<Containerd> {
    await scene.machine.write(configFile, containerdConfig(version, settings));
    containerd = await startContainerd(scene.machine);
    await containerd.pull(privateImage);
    return containerd;
  }

  const everything = (): Promise<string[]> => listing(scene.machine, '/etc/containerd', '/srv/elsewhere');

  /** A pass: the store is right, and each line of what is said is one line. */
  async function pass(): Promise<PassOutcome> {
    const outcome = await agent(scene.machine).apply(bundle);
    expect(await trust(scene.machine, authority.ca)).toEqual(everywhere);
    expect(outcome.report).toMatchObject({ anchors: [authority.ca.fingerprint], store: { family: 'debian' } });
    const lines = [
      ...verdicts(outcome).map(({ message }) => message),
      ...outcome.report.reasons,
      ...outcome.report.notes,
    ];
    for (const line of lines) expect(line).not.toMatch(/\p{Cc}/u);
    return outcome;
  }

  /**
   * Whether the agent says this of the runtime, and pulls of all these references do what it says: what is said could also
   * be true of a runtime that it serves no more.
   */
  async function agrees(
    outcome: PassOutcome,
    expected: Verdict['state'],
    ...references: readonly string[]
  ): Promise<void> {
    const pulls = await Promise.all(references.map(async (reference) => (await containerd?.pull(reference))?.ok));
    const { state, message } = verdict(outcome);
    const trusts = expected === 'trusts';
    expect({ state, works: pulls.every(Boolean), message }).toEqual({ state: expected, works: trusts, message });
  }

  /** It comes off the host, and leaves what was there. */
  async function expectRemoved(untouched: readonly string[]): Promise<void> {
    await agent(scene.machine).remove();
    expect(await trust(scene.machine, authority.ca)).toEqual(nowhere);
    expect(await everything()).toEqual(untouched);
  }

  test('a config.toml that does not parse', async () => {
    await start();
    // It will not start again like this; the process that runs has read another.
    await writeFile(scene.machine.path(configFile), 'version = 2\n[plugins."io.containerd');
    const untouched = await everything();
    const outcome = await pass();
    expect(verdict(outcome)).toMatchObject({ name: 'containerd', state: 'restart-needed' });
    expect(verdict(outcome).message).toContain(configFile);
    await expectRemoved(untouched);
  });

  test('a config_path that does not exist', async () => {
    await start({ configPath: '/srv/elsewhere/not/there' });
    const untouched = await everything();
    const outcome = await pass();
    await agrees(outcome, 'trusts', privateImage, publicImage);
    await expectRemoved(untouched);
  });

  test('a config_path on a read-only file system', async () => {
    await start();
    await clear(scene.machine, certsDirectory);
    const untouched = await everything();
    {
      await using readOnly = await scene.machine.readOnly(certsDirectory);
      const outcome = await pass();
      await agrees(outcome, 'incomplete', privateImage);
      expect(verdict(outcome).message).toContain(certsDirectory);
      await readOnly.undo();
    }
    await agrees(await pass(), 'trusts', privateImage);
    await expectRemoved(untouched);
  });

  test('a certs.d that is a link', async () => {
    await start();
    await symlink('/srv/elsewhere', scene.machine.path(certsDirectory));
    await mkdir(scene.machine.path('/srv/elsewhere/empty.test:5443'));
    const untouched = await everything();
    await agrees(await pass(), 'trusts', privateImage, publicImage, `empty.test:5443/${image}`);
    await expectRemoved(untouched);
  });

  test('a certs.d that is a mount', async () => {
    await start();
    await clear(scene.machine, certsDirectory);
    await using mounted = await scene.machine.limitSpace(certsDirectory, 1_000_000);
    const untouched = await everything();
    await agrees(await pass(), 'trusts', privateImage, publicImage);
    await expectRemoved(untouched);
    await mounted.undo();
  });

  test('registry directories with strange names, and files and links that are none', async () => {
    await start();
    const names = [' ', 'a b', '-rf', '...', '*', 'a\nb', '\u001b[31mred', "it's", '"', '%s', 'é', 'x'.repeat(255)];
    for (const name of names) await clear(scene.machine, join(certsDirectory, name));
    await writeFile(scene.machine.path(`${certsDirectory}/a-file`), 'not a directory');
    await symlink('/nowhere', scene.machine.path(`${certsDirectory}/dangling`));
    await symlink('/srv/elsewhere', scene.machine.path(`${certsDirectory}/layout.test:5443`));
    const untouched = await everything();
    await pass();
    for (const name of ['registry.test:5443', 'docker.io', 'layout.test:5443']) {
      expect(await containerd?.pull(`${name}/${image}`), name).toMatchObject({ ok: true });
    }
    await expectRemoved(untouched);
  });

  test('a link in certs.d that leads to itself', async () => {
    await start();
    await mkdir(scene.machine.path(certsDirectory), { recursive: true });
    await symlink('loop', scene.machine.path(`${certsDirectory}/loop`));
    const untouched = await everything();
    await pass();
    expect(await containerd?.pull(privateImage)).toMatchObject({ ok: true });
    await expectRemoved(untouched);
  });

  test("a registry's hosts.toml that does not parse", async () => {
    await start();
    const file = `${certsDirectory}/registry.test:5443/hosts.toml`;
    const text = 'server = "https://registry.test:5443"\n[host."https://half';
    await scene.machine.write(file, text);
    const untouched = await everything();
    const outcome = await pass();
    expect(verdict(outcome)).toMatchObject({ state: 'incomplete' });
    expect(verdict(outcome).message).toContain(file);
    expect(await readFile(scene.machine.path(file), 'utf8')).toBe(text);
    expect(await containerd?.pull(publicImage)).toMatchObject({ ok: true });
    await expectRemoved(untouched);
  });

  test('a hosts.toml in a form that nobody writes: what is said is what happens, and no byte is lost', async () => {
    await start();
    const text = 'host."https://registry.test:5443" = { capabilities = ["pull", "resolve"] } # so\r\n';
    await scene.machine.write(`${certsDirectory}/registry.test:5443/hosts.toml`, text);
    const untouched = await everything();
    await agrees(await pass(), 'incomplete', privateImage, publicImage);
    await expectRemoved(untouched);
  });

  test('a _default with a link to nothing, which breaks every pull', async () => {
    await start();
    await mkdir(scene.machine.path(`${certsDirectory}/_default`), { recursive: true });
    await symlink('/nowhere', scene.machine.path(`${certsDirectory}/_default/other.crt`));
    const untouched = await everything();
    await agrees(await pass(), 'incomplete', privateImage, publicImage);
    await expectRemoved(untouched);
  });

  test('a runtime that is down', async () => {
    await (await start()).service.stop();
    containerd = undefined;
    const untouched = await everything();
    const outcome = await pass();
    expect(outcome.code).toBe(0);
    expect(verdicts(outcome)).toEqual([]);
    await expectRemoved(untouched);
  });

  test('a runtime that does not answer', async () => {
    const { service } = await start();
    const untouched = await everything();
    await service.signal('STOP');
    const outcome = await pass();
    expect(outcome.report.milliseconds).toBeLessThan(20_000);
    await service.signal('CONT');
    // One that goes on then trusts, if the agent has said so.
    await agrees(outcome, 'trusts', privateImage);
    await expectRemoved(untouched);
  });

  test('a program of the same name that is no runtime', async () => {
    const impostor = scene.machine.path('/srv/elsewhere/containerd');
    await shell('cp /usr/bin/sleep "$1"', impostor);
    const service = await scene.machine.start(['/srv/elsewhere/containerd', '4321'], () => Promise.resolve());
    expect((await pass()).code).toBe(0);
    await service.stop();
    await rename(impostor, `${impostor}.done`);
    await agent(scene.machine).remove();
    expect(await trust(scene.machine, authority.ca)).toEqual(nowhere);
  });
});
