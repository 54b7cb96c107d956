// deploy/overlays/configmap-example and trust-bundle-example: CAs that are mounted alone, by an object that trust-manager
// and its like write.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { base, overlays } from './installed.ts';
import { namespace, shows, useScene } from './scene.ts';
import { type Authority, makeAuthority, serveOn, trusts } from './witness.ts';

const scene = await useScene(() => Promise.resolve());
const [old, next] = [await makeAuthority(), await makeAuthority()];

interface Kind {
  readonly overlay: string;
  /** The object with these CAs. */
  readonly object: (...authorities: readonly Authority[]) => unknown;
  /** Its kind and name, as kubectl takes them. */
  readonly named: readonly string[];
  /** What the agent says when it is gone. */
  readonly gone: RegExp;
}

const kinds: readonly Kind[] = [
  {
    overlay: 'configmap-example',
    object: (...authorities) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'company-cas', namespace },
      data: { 'ca-bundle.pem': authorities.map(({ ca }) => ca.pem).join('') },
      // As trust-manager writes it, beside the key that is mounted: a Java key store, as far as anybody can tell.
      binaryData: { 'ca-bundle.jks': Buffer.from('feedfeed00000002', 'hex').toString('base64') },
    }),
    named: ['-n', namespace, 'configmap/company-cas'],
    gone: /^empty: bundle: no source holds a certificate/,
  },
  {
    overlay: 'trust-bundle-example',
    object: (...authorities) => ({
      apiVersion: 'certificates.k8s.io/v1beta1',
      kind: 'ClusterTrustBundle',
      metadata: { name: 'company-cas' },
      spec: { trustBundle: authorities.map(({ ca }) => ca.pem).join('') },
    }),
    named: ['clustertrustbundle/company-cas'],
    gone: /^not-a-certificate: .*company-cas\.pem: the file is empty/,
  },
];

beforeAll(async () => {
  await scene.reset();
  // Each overlay stands in the place of the base.
  await scene.kubectl('delete', '-k', base);
});

afterAll(() => scene.reset());

describe.each(kinds)('deploy/overlays/$overlay', ({ overlay, object, named, gone }) => {
  const directory = join(overlays, overlay);
  const ready = async (): Promise<boolean> => (await scene.readiness(scene.node)).ready;
  const remove = (): Promise<string> => scene.kubectl('delete', '--ignore-not-found', ...named);

  beforeAll(async () => {
    await scene.kubectl('apply', '-k', directory);
  });

  afterAll(async () => {
    await scene.kubectl('label', 'node', '--all', 'node-ca-trust.io/enabled-');
    await scene.gone();
    await remove();
    await scene.kubectl('delete', '-k', directory);
  });

  test('brings its CAs to the node, and each change; a deleted one removes nothing', async () => {
    const [before, after] = [await serveOn(scene.node, old), await serveOn(scene.node, next)];
    const trusted = async (): Promise<readonly boolean[]> => [
      await trusts(scene.node, before),
      await trusts(scene.node, after),
    ];
    await scene.label(scene.node);
    await scene.nudged('the agent waits for it', scene.node, async () =>
      gone.test((await scene.readiness(scene.node)).text),
    );
    await scene.apply(object(old));
    await scene.nudged('the agent is ready', scene.node, ready);
    expect(await trusted()).toEqual([true, false]);
    await scene.apply(object(old, next));
    await scene.nudged('the node trusts both', scene.node, async () => (await trusted()).every(Boolean));
    await scene.apply(object(next));
    await scene.nudged('the old CA is gone', scene.node, async () => !(await trusts(scene.node, before)));
    expect(await trusted()).toEqual([false, true]);
    await remove();
    await scene.nudged('the agent is not ready', scene.node, async () => !(await ready()));
    expect((await scene.readiness(scene.node)).text).toMatch(gone);
    await shows(new RegExp(`"removed":\\[\\],"heldBack":\\["${next.ca.fingerprint}"\\]`), () => scene.logs(scene.node));
    expect(await trusted()).toEqual([false, true]);
    await scene.apply(object(next));
    await scene.nudged('the agent is ready again', scene.node, ready);
    expect(await trusted()).toEqual([false, true]);
    await scene.unlabel(scene.node);
    await scene.gone();
    expect(await trusted()).toEqual([false, false]);
  });
});
