// The command lines of deploy/ in the image, against a host.
import { execa } from 'execa';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, inject, test } from 'vitest';
import { agentOf, optionVariables, render } from '../deploy/manifests.ts';
import { makeCert } from '../sandbox/harness/certs.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { shell } from '../sandbox/harness/shell.ts';
import { bundleFile, opensslTrusts } from '../sandbox/harness/tls-server.ts';
import { createWorld } from '../sandbox/harness/world.ts';
import { createContainer, nameAndValue, type Process } from './container.ts';

const { agent } = agentOf(render('deploy/base'));

describe('the command line of the DaemonSet', () => {
  const image = inject('image');

  test('has only options that the program knows, with the defaults it says they have', async () => {
    const { code, output } = await (await createContainer(image)).program('run', '--help');
    expect(code).toBe(0);
    const [command, ...options] = agent.args;
    expect(command).toBe('run');
    const help = output.replace(/\s+/g, ' ');
    for (const [name, value] of options.map(nameAndValue)) {
      expect(help).toContain(`${name} `);
      if (!['--bundle', '--secret'].includes(name)) expect(help).toContain(value);
    }
    for (const name of optionVariables(agent)) {
      expect(help).toContain(`${name.replace('NODE_CA_TRUST_', '--').toLowerCase().replaceAll('_', '-')} `);
    }
  });

  test('makes a node trust the Secret, says so to the kubelet, follows a rotation and ends at SIGTERM', async () => {
    const [first, second] = await Promise.all([makeCert(), makeCert()]);
    await using world = await createWorld();
    await using secret = await mountSecret({ 'ca.crt': first.pem });
    const container = await createContainer(image, { host: world.root, bundle: secret.directory });
    const port = await freePort();
    const trusts = async (pem: string) => (await opensslTrusts(world, pem, bundleFile)).trusted;
    // The last of an option counts: this machine's port 9641 may be taken. No API server is here, so the mount is all.
    const mounted = agent.args.filter((arg) => !arg.startsWith('--secret='));
    const args = [...mounted, `--listen=127.0.0.1:${port}`];
    await using daemon = container.start(args, { NODE_CA_TRUST_NODE_NAME: 'node-1' });
    await answers(daemon, port, agent.startupProbe.httpGet.path);
    await answers(daemon, port, agent.readinessProbe.httpGet.path);
    expect(await trusts(first.pem)).toBe(true);

    await secret.swap({ 'ca.crt': second.pem });
    await expect.poll(() => trusts(second.pem), { timeout: 30_000, interval: 200 }).toBe(true);
    await expect.poll(() => trusts(first.pem), { timeout: 30_000, interval: 200 }).toBe(false);
    await answers(daemon, port, agent.readinessProbe.httpGet.path);

    await daemon.terminate();
    expect(await daemon.ended).toMatchObject({ code: 0 });
    // Nothing answered whether the node is still labelled, so its trust stays.
    expect(await trusts(second.pem)).toBe(true);
  });
});

describe('the pod of helm test', () => {
  test('checks the Secret as a user without any right', async () => {
    const image = inject('image');
    const { pem } = await makeCert({ subject: '/CN=Checked' });
    await using secret = await mountSecret({ 'ca.crt': pem });
    // What the kubelet does for the pod's fsGroup.
    await shell('chgrp -R 65532 "$1"; chmod -R g+rX "$1"', secret.directory);
    const { root } = await createContainer(image, { bundle: secret.directory });
    const program = [...(image.config.Entrypoint ?? []), 'check', '/etc/node-ca-trust/bundle'];
    const env = Object.fromEntries((image.config.Env ?? []).map(nameAndValue));
    const options = { env, extendEnv: false, reject: false, all: true } as const;
    const { exitCode, all } = await execa('chroot', ['--userspec=65532:65532', root, ...program], options);
    expect(all).toContain('Checked');
    expect(exitCode).toBe(0);
  });
});

/** Waits until a path answers 200, as the kubelet asks for it. */
async function answers(daemon: Process, port: number, path: string): Promise<void> {
  const ended = daemon.ended.then(({ code, output }) => {
    throw new Error(`the daemon ended with exit code ${code ?? 'none'}:\n${output}`);
  });
  // It ends by and by in every test; that matters only while somebody waits here.
  ended.catch(() => undefined);
  let last = 'none';
  for (let attempt = 0; attempt < 300; attempt += 1) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
    if (answer?.status === 200) return;
    if (answer !== undefined) last = `${answer.status} ${await answer.text()}`;
    await Promise.race([sleep(200), ended]);
  }
  throw new Error(`${path} did not become 200; the last answer was: ${last}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<number>();
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    server.close(() => {
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  return promise;
}
