// The units at work: in an image that they were baked into, and on a node that Ignition made.
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { run, shell } from '../cluster/process.ts';
import { image } from '../runtimes/harness/registry.ts';
import type { SystemdNode } from '../runtimes/systemd-node.ts';
import { eventually } from '../sandbox/harness/agent.ts';
import { type Cert, makeServerCert, makeThree } from '../sandbox/harness/certs.ts';
import { readBundle } from '../sandbox/harness/classify.ts';
import { bundle, fileOf, state } from '../sandbox/harness/host.ts';
import { type Files, boot, inRoot, makeLayer, names, namesOf, pull, registryOn, rendered, when } from './node.ts';

const [one, two, three] = await makeThree();
const service = 'node-ca-trust-refresh.service';
const withoutCloudInit: Files = { '/etc/cloud/cloud-init.disabled': '' };

/** Whether the store held all that was due before containerd was started at this boot. */
async function expectOrder(node: SystemdNode): Promise<void> {
  const [stored, started] = [
    await when(node, service, 'InactiveEnter'),
    await when(node, 'containerd.service', 'InactiveExit'),
  ];
  expect(stored).toBeGreaterThan(0);
  expect(started).toBeGreaterThan(stored);
}

async function trusted(node: SystemdNode): Promise<(cert: Cert) => boolean> {
  const { fingerprints, broken } = readBundle(await node.shell(`cat ${bundle}`));
  expect(broken).toBeUndefined();
  return ({ fingerprint }) => fingerprints.has(fingerprint);
}

/** Runs the installer in the root that an image is made of, as a build of an image does: nothing runs in there. */
async function bake(...certs: readonly Cert[]): Promise<string> {
  const layer = await makeLayer();
  await inRoot(layer, async (root) => {
    await run('chroot', [root, 'sh'], { input: await rendered('systemd', ...certs) });
    await run('chroot', [root, 'systemd-analyze', 'verify', service, service.replace('.service', '.path')]);
  });
  return layer;
}

test('an image that they were baked into trusts from its first boot on, and follows its anchor directory and requests', async () => {
  const node = await boot(withoutCloudInit, await bake(one));

  await expectOrder(node);
  expect(await names(node)).toEqual(namesOf(one));
  await registryOn(node, await makeServerCert(one, ['registry.test']), 5443);
  expect(await pull(node, `registry.test:5443/${image}`)).toBe('');

  // Whoever may write there, a pod without any privilege say, changes what the node trusts.
  await writeFile(node.path(fileOf(two)), two.pem);
  await eventually(async () => {
    expect((await trusted(node))(two)).toBe(true);
  });
  await node.shell('rm "$1"', fileOf(one));
  await eventually(async () => {
    const trusts = await trusted(node);
    expect([trusts(one), trusts(two)]).toEqual([false, true]);
  });
  expect(await node.shell(`cd /etc/ssl/certs; ls ${one.subjectHash}.* 2> /dev/null || true`)).toBe('');

  // Each asks while the run before it may be under way, as an agent does that changes its mind.
  const asking = `for file in "$1" "$2" "$3"; do
      echo "$4" > "$1"; echo "$5" > "$2"; echo "$6" > "$3"
      mkdir -p ${state}; : > ${state}/_refresh
    done`;
  await node.shell(asking, ...[one, two, three].map((cert) => fileOf(cert)), one.pem, two.pem, three.pem);
  const idle = async (): Promise<void> => {
    expect(await node.shell('systemctl is-active "$1" || true', service)).toBe('inactive\n');
  };
  await eventually(async () => {
    expect([one, two, three].map(await trusted(node))).toEqual([true, true, true]);
    expect(await node.shell(`ls ${state}`)).toBe('');
    await idle();
  });
  // The one thing that is never seen by watching the directory: a link that somebody took.
  await node.shell(`rm "/etc/ssl/certs/$1.0"; : > ${state}/_refresh`, one.subjectHash);
  await eventually(() => node.shell('test -e "/etc/ssl/certs/$1.0"', one.subjectHash));
  await eventually(idle);
  // A broken neighbour makes a run fail, and the next ones come nevertheless.
  await writeFile(node.path('/usr/local/share/ca-certificates/half.crt'), one.pem.slice(0, 300));
  await eventually(async () => {
    expect(await node.shell('journalctl --unit "$1" --output cat', service)).toContain(
      '/usr/local/share/ca-certificates/half.crt is broken: mend or remove it',
    );
  });
  await eventually(() => node.shell('systemctl is-failed "$1"', service));
  await node.shell('rm /usr/local/share/ca-certificates/half.crt "$1"', fileOf(three));
  await eventually(async () => {
    expect([one, two, three].map(await trusted(node))).toEqual([true, true, false]);
  });
});

interface Ignition {
  readonly storage: {
    readonly files: readonly { readonly path: string; readonly contents: { readonly source: string } }[];
  };
  readonly systemd: {
    readonly units: readonly { readonly name: string; readonly enabled: boolean; readonly contents: string }[];
  };
}

test('a node that Ignition made trusts at its first boot', async () => {
  // In Ignition's place, which no Debian has, the test writes what is written there, and enables what is to be enabled.
  const { storage, systemd } = JSON.parse(await rendered('ignition', one, two)) as Ignition;
  const layer = await makeLayer();
  const files = Object.fromEntries([
    ...(await Promise.all(
      storage.files.map(async ({ path, contents }) => [path, await (await fetch(contents.source)).text()] as const),
    )),
    ...systemd.units.map(({ name, contents }) => [`/etc/systemd/system/${name}`, contents] as const),
  ]);
  for (const { name, contents } of systemd.units) {
    const [, wanting = ''] = /^WantedBy=(.+)$/m.exec(contents) ?? [];
    await shell(
      'mkdir -p "$1"; ln -s "$2" "$1/"',
      `${layer}/etc/systemd/system/${wanting}.wants`,
      `/etc/systemd/system/${name}`,
    );
  }

  const node = await boot({ ...withoutCloudInit, ...files }, layer);

  await expectOrder(node);
  expect(await names(node)).toEqual(namesOf(one, two));
  expect([one, two].map(await trusted(node))).toEqual([true, true]);
  expect(await node.shell('ls /etc/node-ca-trust/anchors')).toBe('');
});
