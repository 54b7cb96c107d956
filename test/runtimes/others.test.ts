// dockerd, and Podman's service in the place of CRI-O: they have no directory for every registry, so the agent is told
// the names, and says what it cannot do.
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { agent } from '../sandbox/harness/agent.ts';
import { crioSocket, dockerSocket, startCrio, startDockerd, type Runtime } from './harness/others.ts';
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
import { listing, verdict } from './harness/verdict.ts';

const programs = inject('programs');

const runtimes = [
  { what: 'dockerd', name: 'docker', start: startDockerd, socket: dockerSocket, directories: ['/etc/docker/certs.d'] },
  {
    what: "Podman's service as crio",
    name: 'cri-o',
    start: startCrio,
    socket: crioSocket,
    directories: ['/etc/containers/certs.d', '/etc/docker/certs.d'],
  },
] as const;

describe.each(runtimes)('$what', ({ name, start, socket, directories }) => {
  const [directory] = directories;
  let scene: Scene;
  let runtime: Runtime;

  beforeAll(async () => {
    scene = await openScene(programs, await makeAuthority());
    runtime = await start(scene.machine, programs);
    // It has read the system's CAs, and will not again.
    expect((await runtime.pull(privateImage)).ok).toBe(false);
  });

  afterAll(async () => {
    await scene[Symbol.asyncDispose]();
  });

  let authority: Authority;

  beforeEach(async () => {
    authority = await makeAuthority();
    await scene.use(authority);
    await forget(scene.machine, ...directories);
  });

  const isPulled = async (reference: string): Promise<boolean> => (await runtime.pull(reference)).ok;
  const another = `empty.test:5443/${image}`;

  test('a registry that is named, or has a directory, is trusted by one pass and after a rotation; remove undoes it', async () => {
    const { machine } = scene;
    await clear(machine, `${directory}/empty.test:5443`);
    const untouched = await listing(machine, directory);
    const { pid } = runtime.service;
    const started = runtime.service.started();
    expect([await isPulled(privateImage), await isPulled(another)]).toEqual([false, false]);
    for (const current of [authority, await makeAuthority()]) {
      await scene.use(current);
      expect([await isPulled(privateImage), await isPulled(another)]).toEqual([false, false]);
      const outcome = await agent(machine).apply(await scene.bundle(current), '--registry', 'registry.test:5443');
      expect(outcome).toMatchObject({ code: 0, report: { converged: true } });
      const said = verdict(outcome);
      expect(said).toMatchObject({ name, way: 'certs.d', directories, pid });
      expect(said.state).toBe(current === authority ? 'trusts' : 'revoked-after-restart');
      expect(said.socket.replace('/var/run/', '/run/')).toBe(socket);
      expect([await isPulled(privateImage), await isPulled(another)]).toEqual([true, true]);
    }
    expect(await agent(machine).remove()).toMatchObject({ code: 0 });
    expect(await listing(machine, directory)).toEqual(untouched);
    expect([await isPulled(privateImage), await isPulled(another)]).toEqual([false, false]);
    expect({ pid: runtime.service.pid, started: runtime.service.started() }).toEqual({ pid, started });
  });

  test("what a registry's directory holds of others counts as before", async () => {
    const { machine } = scene;
    const root = directories.at(-1) ?? '';
    await machine.write(`${root}/registry.test:5443/theirs.crt`, authority.ca.pem);
    expect(await isPulled(privateImage)).toBe(true);
    const bundle = await scene.bundle(await makeAuthority());
    expect(await agent(machine).apply(bundle, '--registry', 'registry.test:5443')).toMatchObject({ code: 0 });
    expect(await isPulled(privateImage)).toBe(true);
    expect(await agent(machine).remove()).toMatchObject({ code: 0 });
  });

  test('without a name, it is said that a restart is needed, and that names help', async () => {
    const { machine } = scene;
    const outcome = await agent(machine).apply(await scene.bundle(authority));
    expect(outcome).toMatchObject({ code: 0 });
    expect(verdict(outcome)).toMatchObject({ name, state: 'restart-needed' });
    expect(verdict(outcome).message).toContain('--registry');
    expect(await isPulled(privateImage)).toBe(false);
    expect(await agent(machine).remove()).toMatchObject({ code: 0 });
  });

  test('Docker Hub: what is said is what happens', async () => {
    const { machine } = scene;
    const outcome = await agent(machine).apply(await scene.bundle(authority), '--registry', 'docker.io');
    // CRI-O has a directory for it; dockerd has none, and that is not hidden.
    expect(await isPulled(publicImage)).toBe(name === 'cri-o');
    expect(JSON.stringify(outcome.report).includes('Docker Hub')).toBe(name === 'docker');
    expect(await agent(machine).remove()).toMatchObject({ code: 0 });
  });
});
