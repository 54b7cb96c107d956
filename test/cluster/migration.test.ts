// docs/migration.md, word for word: the agent takes the place of a shell loop.
import { expect, test } from 'vitest';
import { blocksOf, textOf } from '../unit/docs/pages.ts';
import { digestIn, openCheckout } from './checkout.ts';
import { useScene } from './scene.ts';
import { expectNoFailure, keepAsking, makeAuthority, onNode, serveOn, storeOf } from './witness.ts';

const scene = await useScene();
const authority = await makeAuthority();
const [finding = '', checking = '', waiting = '', removing = ''] = blocksOf(textOf('docs/migration.md'));
const name = 'company-cas';
const filled = (commands: string): string =>
  commands.replaceAll('NAMESPACE', 'default').replaceAll('NAME', name).replaceAll('FILE-OF-THE-LOOP', name);

test("takes a loop's place, and the nodes never stop to trust its CA", async () => {
  const before = await storeOf(scene.node);
  const data = { [`${name}.crt`]: authority.ca.pem };
  const metadata = { name, namespace: 'default' };
  // What it does on a node is done here: it has no image.
  const template = {
    metadata: { labels: { name } },
    spec: { containers: [{ name, image: name }], nodeSelector: { name } },
  };
  await scene.apply(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data },
    { apiVersion: 'v1', kind: 'Secret', metadata, stringData: data },
    { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec: { selector: { matchLabels: { name } }, template } },
  );
  const copy = `printf %s "$1" > /usr/local/share/ca-certificates/${name}.crt; update-ca-certificates`;
  await onNode(scene.node, copy, authority.ca.pem);
  const asking = await keepAsking(scene.node, await serveOn(scene.node, authority));
  await using checkout = await openCheckout(scene);

  expect(await checkout.run(filled(finding))).toMatch(new RegExp(`^default +${name} [^]*image: ${name}$`, 'm'));
  const digest = digestIn(await checkout.run(filled(checking)));
  await scene.install(data);
  await checkout.run(waiting.replace('DIGEST', digest));
  await scene.kubectl('-n', 'default', 'delete', `daemonset/${name}`, `configmap/${name}`, `secret/${name}`);
  await onNode(scene.node, filled(removing));
  await expectNoFailure(asking);

  // The agent alone has it now.
  await scene.unlabel(scene.node);
  await scene.gone();
  expect(await storeOf(scene.node)).toBe(before);
});
