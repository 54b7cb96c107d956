// deploy/overlays/configmap-example and trust-bundle-example: CAs that are mounted alone, by an object that trust-manager
// and its like write.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blocksOf, section } from '../unit/docs/pages.ts';
import { type Checkout, openCheckout } from './checkout.ts';
import { base } from './installed.ts';
import { eventually, namespace, shows, useScene } from './scene.ts';
import { type Authority, makeAuthority, serveOn, trusts } from './witness.ts';

const scene = await useScene(() => Promise.resolve());
const [copying = ''] = blocksOf(section('docs/operations.md', '## From a ConfigMap or a ClusterTrustBundle'));
const [, , hurrying = ''] = blocksOf(section('docs/operations.md', '## Rotate'));
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
  let checkout: Checkout;
  const ready = async (): Promise<boolean> => (await scene.readiness(scene.node)).ready;
  const remove = (): Promise<string> => scene.kubectl('delete', '--ignore-not-found', ...named);

  beforeAll(async () => {
    checkout = await openCheckout(scene);
    await checkout.run(copying.replace('configmap-example', overlay));
  });

  afterAll(async () => {
    await scene.kubectl('label', 'node', '--all', 'node-ca-trust.io/enabled-');
    await scene.gone();
    await remove();
    await checkout.run('kubectl delete -k deploy/overlays/company');
    await checkout[Symbol.asyncDispose]();
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
    // The kubelet may be told before it knows of the change.
    await eventually('the node trusts both', async () => {
      expect(await checkout.run(hurrying)).toMatch(/^pod\/\S+ annotated$/m);
      return (await trusted()).every(Boolean);
    });
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
