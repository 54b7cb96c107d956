// The harness judges everything else, so it is shown first to work, without the agent: real runtimes pull from real
// registries as facts about them say, what trusts a CA is put there by hand, and nothing is left of a machine.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdir, rm, symlink } from 'node:fs/promises';
import { describe, expect, inject, test } from 'vitest';
import { plainRun } from '../sandbox/harness/host.ts';
import { certsDirectory, configFile, containerdConfig, startContainerd } from './harness/containerd.ts';
import { createMachine } from './harness/machine.ts';
import { startCrio, startDockerd } from './harness/others.ts';
import { makeAuthority, openScene, privateImage, publicImage } from './harness/scene.ts';

const programs = inject('programs');
const bundle = '/etc/ssl/certs/ca-certificates.crt';
const unknown = { ok: false, text: expect.stringContaining('certificate signed by unknown authority') as string };

describe.each(programs.containerd)('containerd $version of $origin', (version) => {
  test('trusts a CA by a link in _default, the store alone does not do, and a registry signed anew fails', async () => {
    const authority = await makeAuthority();
    await using scene = await openScene(programs, authority);
    const { machine } = scene;
    await machine.place(version.program, '/usr/bin/containerd');
    await machine.write(configFile, containerdConfig(version, { configPath: certsDirectory }));
    const { service, pull } = await startContainerd(machine);
    const started = service.started();
    expect(await pull(privateImage)).toEqual(unknown);
    await machine.write('/usr/local/share/ca-certificates/own.crt', authority.ca.pem);
    await plainRun(machine);
    expect(await pull(privateImage)).toEqual(unknown);
    await mkdir(machine.path(`${certsDirectory}/_default`), { recursive: true });
    await symlink(bundle, machine.path(`${certsDirectory}/_default/own.crt`));
    expect(await pull(privateImage)).toMatchObject({ ok: true });
    expect(await pull(publicImage)).toMatchObject({ ok: true });
    await scene.use(await makeAuthority());
    expect(await pull(privateImage)).toEqual(unknown);
    expect(await pull(publicImage)).toEqual(unknown);
    await rm(machine.path(`${certsDirectory}/_default`), { recursive: true });
    await scene.use(authority);
    expect(await pull(publicImage)).toEqual(unknown);
    // One that starts now reads the store.
    await service.stop();
    const again = await startContainerd(machine);
    expect(again.service.started()).not.toBe(started);
    expect(await again.pull(privateImage)).toMatchObject({ ok: true });
  });
});

test.each([
  { pulls: 'as it does by itself', images: {}, ok: false },
  { pulls: 'locally', images: { discard_unpacked_layers: true }, ok: true },
])('a list of directories is read by a new containerd that pulls $pulls: $ok', async ({ images, ok }) => {
  // The one whose version is pinned: a release of Debian may have the cure tomorrow.
  const version = programs.containerd.at(-1);
  if (version === undefined) throw new Error('there is no containerd');
  const authority = await makeAuthority();
  await using scene = await openScene(programs, authority);
  const { machine } = scene;
  await machine.place(version.program, '/usr/bin/containerd');
  const configPath = `${certsDirectory}:/etc/docker/certs.d`;
  await machine.write(configFile, containerdConfig(version, { configPath, images }));
  await machine.write('/etc/docker/certs.d/_default/own.crt', authority.ca.pem);
  const { pull } = await startContainerd(machine);
  // Else it takes the list for the name of one directory (github.com/containerd/containerd/issues/12808).
  expect(await pull(privateImage)).toMatchObject({ ok });
});

test.each([
  { name: 'dockerd', start: startDockerd, directory: '/etc/docker/certs.d' },
  { name: "Podman's service as crio", start: startCrio, directory: '/etc/containers/certs.d' },
])(
  '$name trusts a CA by a file for the registry, and the store alone does not do',
  async ({ name, start, directory }) => {
    const authority = await makeAuthority();
    await using scene = await openScene(programs, authority);
    const { machine } = scene;
    const { service, pull } = await start(machine, programs);
    expect(readFileSync(machine.path(`/proc/${service.pid}/comm`), 'utf8').trim()).toBe(name.split(' ').at(-1));
    expect(await pull(privateImage)).toEqual(unknown);
    await machine.write('/usr/local/share/ca-certificates/own.crt', authority.ca.pem);
    await plainRun(machine);
    expect(await pull(privateImage)).toEqual(unknown);
    await machine.write(`${directory}/registry.test:5443/ca.crt`, authority.ca.pem);
    expect(await pull(privateImage)).toMatchObject({ ok: true });
    expect(await pull(publicImage)).toEqual(unknown);
  },
);

test('a machine has its own processes, network and settings, and none of the rest of the outside', async () => {
  await using machine = await createMachine(['registry.test']);
  const { stdout } = await machine.inside('sh', '-c', 'ip -oneline address | grep -o "inet [0-9.]*"; ls /proc');
  expect(stdout).toContain('inet 10.77.77.1');
  expect(stdout.split('\n').filter((line) => /^\d+$/.test(line)).length).toBeLessThan(5);
  // The same from outside, as the agent sees it.
  expect(readFileSync(machine.path('/proc/1/cmdline'), 'utf8')).toContain('pause');
  expect((await machine.inside('sh', '-c', 'echo 1 > /proc/sys/vm/swappiness')).stderr).toContain('Read-only');
  expect((await machine.inside('touch', '/etc/made-inside')).code).toBe(0);
  expect(existsSync(machine.path('/etc/made-inside'))).toBe(true);
  expect(existsSync('/etc/made-inside')).toBe(false);
});

test('one machine comes and goes, and another one notices nothing', async () => {
  await using machine = await createMachine([]);
  await machine.place('/usr/bin/true', '/usr/bin/placed');
  const mounts = async (): Promise<string> => (await machine.inside('cat', '/proc/self/mountinfo')).stdout;
  const before = await mounts();
  await (await createMachine([])).destroy();
  expect(await mounts()).toBe(before);
  expect((await machine.inside('/usr/bin/placed')).code).toBe(0);
  expect(existsSync(machine.path('/proc/1'))).toBe(true);
});

test('nothing that runs in a machine outlives it', async () => {
  const machine = await createMachine([]);
  const service = await machine.start(['sleep', '4321'], () => Promise.resolve());
  expect(existsSync(machine.path(`/proc/${service.pid}`))).toBe(true);
  const sleepers = (): string[] =>
    readdirSync('/proc').filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8') === 'sleep\x004321\0';
      } catch {
        return false;
      }
    });
  expect(sleepers()).toHaveLength(1);
  await machine.destroy();
  expect(sleepers()).toEqual([]);
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(machine.root);
});
