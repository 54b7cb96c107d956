// deploy/overlays/restricted: what it takes away is away. That it does the work all the same is what the other tests say
// with NODE_CA_TRUST_OVERLAY=restricted.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { agentOf, madeDirectories, render } from '../deploy/manifests.ts';
import { state } from '../sandbox/harness/host.ts';
import { base, overlays } from './installed.ts';
import { namespace, useScene } from './scene.ts';
import { makeAuthority, onNode } from './witness.ts';

const restricted = join(overlays, 'restricted');
const made = madeDirectories(render(restricted));
const authority = await makeAuthority();
const scene = await useScene(() => Promise.resolve());

/** One of the node's own: it hears what changed, and then wants to write where the agent does not mount anything. */
const hook = '/etc/ca-certificates/update.d/zz-test';
const heard = ['/etc/ssl/heard', '/var/lib/heard'] as const;

beforeAll(async () => {
  await scene.reset();
  await scene.kubectl('apply', '-k', restricted);
  // As on a node that has no Docker and no CRI-O, and never had an agent.
  await onNode(scene.node, 'rmdir "$@" /etc/docker /etc/containers 2> /dev/null; ! ls "$@" 2> /dev/null', ...made);
  await onNode(scene.node, 'printf "#!/bin/sh\ncat > $2\ntouch $3\n" > "$1"; chmod +x "$1"', hook, ...heard);
  await scene.install({ 'company-ca.crt': authority.ca.pem });
});

afterAll(async () => {
  await onNode(scene.node, 'rm "$@"', hook, heard[0]);
  await scene.unlabel(scene.node);
  await scene.gone();
  await scene.kubectl('apply', '-k', base);
});

/** A file of /proc of the agent's process, as the node sees it. */
function ofAgent(file: string): Promise<string> {
  const script = `for p in /proc/[0-9]*; do
    tr "\\0" " " < "$p/cmdline" 2> /dev/null | grep -q "^node .*/app/node-ca-trust.cjs" && cat "$p/$1"; done; true`;
  return onNode(scene.node, script, file);
}

test('the agent may chroot and nothing else, cannot come by more, and is filtered', async () => {
  const status = await ofAgent('status');
  const value = (name: string): string | undefined => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1];
  // CAP_SYS_CHROOT is number 18.
  const chroot = (1n << 18n).toString(16).padStart(16, '0');
  expect([value('CapEff'), value('CapPrm'), value('CapBnd'), value('CapAmb')]).toEqual([
    ...[chroot, chroot, chroot],
    '0'.repeat(16),
  ]);
  expect([value('NoNewPrivs'), value('Seccomp')]).toEqual(['1', '2']);
});

test('it sees of the node what the manifest mounts, and writes where it says so', async () => {
  const lines = (await ofAgent('mountinfo')).split('\n').map((line) => line.split(' '));
  const mounted = lines
    .filter(([, , , , point = '']) => point.startsWith('/host'))
    .map(([, , , , point = '', options = '']) => `${point} ${options.split(',')[0] ?? ''}`);
  const { agent } = agentOf(render(restricted));
  const mounts = agent.volumeMounts.filter(({ mountPath }) => mountPath.startsWith('/host'));
  const expected = mounts.map(({ mountPath, readOnly }) => `${mountPath} ${readOnly === true ? 'ro' : 'rw'}`);
  // The tests' nodes have mounts below these, as few others do.
  const ownMounts = /^\/host\/(proc\/.*|usr\/local\/bin\/.*) /;
  expect(mounted.filter((line) => !ownMounts.test(line)).sort()).toEqual(expected.sort());
});

test.each([
  '/host/etc/cron.d/x',
  '/host/usr/bin/x',
  '/host/usr/local/share/x',
  '/host/proc/sys/kernel/core_pattern',
  '/host/etc/ssl/openssl.cnf',
  '/host/etc/containerd/config.toml',
  '/host/x',
])('it cannot write %s', async (path) => {
  const program = `require('node:fs').writeFileSync(${JSON.stringify(path)}, '')`;
  const pod = (await scene.pod(scene.node))?.metadata.name ?? '';
  const { code, stderr } = await scene.cluster.kubectl(['-n', namespace, 'exec', pod, '--', 'node', '-e', program]);
  expect([code, /Error: (\w+)/.exec(stderr)?.[1]]).toEqual([1, 'EROFS']);
});

test("the node's hooks hear of a change, and one that writes elsewhere is named", async () => {
  expect(await onNode(scene.node, 'cat "$1"', heard[0])).toMatch(/^\+\/etc\/ssl\/certs\/node-ca-trust-default-/m);
  const said = `${hook} on the host ended with exit code 1: touch: cannot touch '${heard[1]}': Read-only file system`;
  expect(await scene.logs(scene.node)).toContain(said);
  expect((await scene.readiness(scene.node)).ready).toBe(true);
});

test('what the kubelet made for the mounts stays: directories of root, empty once the agent is gone', async () => {
  const pulling = await onNode(scene.node, 'ls /etc/containerd/certs.d/_default');
  expect(pulling).toBe('node-ca-trust.crt\n');
  await scene.unlabel(scene.node);
  await scene.gone();
  const found = await onNode(scene.node, 'stat -c "%a %U:%G %n" "$@"; find "$@" -mindepth 1', ...made);
  // Whoever can open that of the records could lock it.
  const mode = (path: string): string => (path === state ? '700' : '755');
  expect(found.trimEnd().split('\n')).toEqual(made.map((path) => `${mode(path)} root:root ${path}`));
});
