// Starts the cluster once for all tests of this folder, with the agent's image on its nodes, and leaves nothing behind.
import { rmSync } from 'node:fs';
import { madeDirectories, render } from '../deploy/manifests.ts';
import { ensureBase } from '../image/base.ts';
import { saveImage } from '../image/image.ts';
import { builderFor, makeRunDirectory, needs, packageJson, timed } from '../image/machine.ts';
import { state } from '../sandbox/harness/host.ts';
import { bringOnPath } from './binaries.ts';
import type { ClusterNode } from './cluster.ts';
import { base } from './installed.ts';
import { kind } from './kind.ts';
import { type Machine, differences, readMachine } from './leftovers.ts';
import { provider } from './provider.ts';

/**
 * How many of the distribution's CAs the nodes trust: the less, the sooner its tool is done with them, in each pass anew. All
 * of them with NODE_CA_TRUST_FULL=1.
 */
const selected = process.env['NODE_CA_TRUST_FULL'] === '1' ? '1000' : '10';

/** A node's store is what its own tool makes of it; the machine's may have been changed by hand. */
async function makeStore(node: ClusterNode): Promise<void> {
  const script = `conf=/etc/ca-certificates.conf
    awk -v most="$1" '/^[^#!]/ && ++count > most { $0 = "!" $0 } 1' "$conf" > "$conf.new"
    mv "$conf.new" "$conf"
    update-ca-certificates --fresh`;
  const { code, stderr } = await node.exec('sh', ['-euc', script, 'sh', selected]);
  if (code !== 0) throw new Error(`${node.name} has no trust store: ${stderr}`);
}

/** The name that deploy/base gives the image, as a container runtime completes it. */
const reference = (): string => `docker.io/library/node-ca-trust:${packageJson().version}`;

/** The image from the project's own Dockerfile, in a file. */
function imageArchive(directory: string): string {
  const builder = builderFor(directory);
  timed('base', () => {
    ensureBase(builder);
  });
  return timed('image', () => saveImage(builder, reference()));
}

/** Ends the cluster. Throws when the machine is not as it was before; Docker's network for kind is Docker's to keep. */
async function tearDown(before: Machine): Promise<void> {
  await provider().down();
  if (provider() === kind) return;
  const left = differences(before, await readMachine());
  if (left.length > 0) throw new Error(`the cluster left something behind:\n${left.join('\n')}`);
}

export default async function setup(): Promise<() => Promise<void>> {
  needs('buildah', 'debootstrap', 'chroot', 'unshare', 'tar', 'npm');
  const giveBack = await provider().keep();
  const directory = makeRunDirectory();
  try {
    const archive = imageArchive(directory);
    await provider().down();
    const before = await readMachine();
    const started = performance.now();
    const cluster = await provider().up();
    console.log(`cluster: both nodes are ready after ${((performance.now() - started) / 1000).toFixed(1)} s`);
    await cluster.importImage(archive);
    await Promise.all(cluster.nodes.map(makeStore));
    // What the kubelet makes for a mount stays: it is there from the start, since the tests compare.
    await bringOnPath('kubectl');
    const lasting = madeDirectories(render(base));
    if (lasting.length > 0) await Promise.all(cluster.nodes.map((node) => node.exec('mkdir', ['-p', ...lasting])));
    // The agent closes that of its records.
    if (lasting.includes(state)) await Promise.all(cluster.nodes.map((node) => node.exec('chmod', ['700', state])));
    return async () => {
      await tearDown(before).finally(giveBack);
    };
  } catch (error) {
    // Nobody else does: there is no teardown yet. What is reported is why the start failed.
    await provider()
      .down()
      .catch(() => undefined);
    giveBack();
    throw error;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
