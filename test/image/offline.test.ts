// What the agent says to the network, seen by strace from outside: nothing but to whom it was told to speak.
import { execa } from 'execa';
import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { makeCert } from '../sandbox/harness/certs.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { bundleFile, opensslTrusts } from '../sandbox/harness/tls-server.ts';
import { createWorld } from '../sandbox/harness/world.ts';
import { createContainer, nameAndValue, type Mounts } from './container.ts';

const image = inject('image');

const bundle = '/etc/node-ca-trust/bundle';
const onHost = ['--bundle', bundle, '--host-root', '/host'];

describe('in a network without any interface', () => {
  test('apply, check and remove do their work, and ask nobody', async () => {
    const { pem } = await makeCert();
    await using world = await createWorld();
    await using secret = await mountSecret({ 'ca.crt': pem });
    const mounts = { host: world.root, bundle: secret.directory };
    const trusted = async () => (await opensslTrusts(world, pem, bundleFile)).trusted;
    for (const [args, after] of [
      [['check', bundle], false],
      [['apply', ...onHost], true],
      [['remove', '--host-root', '/host'], false],
    ] as const) {
      const agent = await start(mounts, args);
      const { exitCode, all } = await agent.child;
      expect(exitCode, all).toBe(0);
      expect(await trusted()).toBe(after);
      expect(await agent.destinations(), args[0]).toEqual([]);
    }
  });

  test('apply asks the server that it is told to probe, and nobody else', async () => {
    const { pem } = await makeCert();
    await using world = await createWorld();
    await using secret = await mountSecret({ 'ca.crt': pem });
    const args = ['apply', ...onHost, '--probe', '192.0.2.2:8443'];
    const agent = await start({ host: world.root, bundle: secret.directory }, args);
    const { exitCode, all } = await agent.child;
    expect(exitCode, all).toBe(0);
    expect(await agent.destinations()).toEqual(['AF_INET 192.0.2.2:8443']);
  });
});

describe('with loopback alone', () => {
  test('the daemon makes the host trust the mounted Secret, and asks the API server that it is told of alone', async () => {
    const { pem } = await makeCert();
    await using world = await createWorld();
    await using secret = await mountSecret({ 'ca.crt': pem });
    await using account = await mountSecret({ token: 'not one', 'ca.crt': pem, namespace: 'node-ca-trust' });
    const mounts = { host: world.root, bundle: secret.directory, account: account.directory };
    const args = ['run', ...onHost, '--secret', 'node-ca-trust/node-ca-trust', '--node-name', 'node-1'];
    const env = { KUBERNETES_SERVICE_HOST: '192.0.2.1', KUBERNETES_SERVICE_PORT: '6443' };
    const agent = await start(mounts, args, { loopback: true, env });
    const trusted = async () => (await opensslTrusts(world, pem, bundleFile)).trusted;
    try {
      await expect.poll(trusted, { timeout: 120_000, interval: 500 }).toBe(true);
      await expect.poll(agent.destinations, { timeout: 120_000, interval: 500 }).not.toEqual([]);
    } finally {
      agent.child.kill('SIGTERM');
    }
    expect(await agent.child).toMatchObject({ exitCode: 0 });
    expect(await trusted()).toBe(true);
    expect(await agent.destinations()).toEqual(['AF_INET 192.0.2.1:6443']);
  });
});

/** Where the connections went of which the kernel heard, by whichever call: `AF_INET 192.0.2.1:443`, `AF_UNIX /path`. */
async function destinations(trace: string): Promise<string[]> {
  const calls = (await readFile(trace, 'utf8')).split('\n').filter((line) => /\b(connect|send\w+)\(/.test(line));
  const addresses = calls.flatMap((line) => {
    const unix = /sa_family=AF_UNIX, sun_path=@?"([^"]*)"/.exec(line);
    if (unix !== null) return [`AF_UNIX ${unix[1] ?? ''}`];
    const inet = /sa_family=(AF_INET6?), .*?port=htons\((\d+)\).*?"([^"]+)"/.exec(line);
    return inet === null ? [] : [`${inet[1] ?? ''} ${inet[3] ?? ''}:${inet[2] ?? ''}`];
  });
  return [...new Set(addresses)].sort();
}

/** Starts the image's entrypoint in a network that has no interface but loopback, and that one only when `loopback`. */
async function start(mounts: Mounts, args: readonly string[], { loopback = false, env = {} } = {}) {
  const { root } = await createContainer(image, mounts);
  const trace = join(await mkdtemp(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '', 'trace-')), 'trace');
  // Beside the agent and not above it, so that it gets the signals itself.
  const strace = ['strace', '-D', '-f', '-qq', '-e', 'trace=connect,sendto,sendmsg,sendmmsg', '-o', trace];
  const up = loopback ? 'ip link set lo up; ' : '';
  const child = execa(
    'unshare',
    [
      '--net',
      'sh',
      '-c',
      `${up}exec "$@"`,
      'sh',
      ...strace,
      'chroot',
      root,
      ...(image.config.Entrypoint ?? []),
      ...args,
    ],
    {
      env: { ...Object.fromEntries((image.config.Env ?? []).map(nameAndValue)), ...env },
      extendEnv: false,
      reject: false,
      all: true,
    },
  );
  return { child, destinations: () => destinations(trace) };
}
