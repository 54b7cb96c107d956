// A node provisioned by the rendered user data: it pulls from a registry behind the CA before any agent was there, and
// the agent takes over what it finds.
import { expect, test } from 'vitest';
import { image } from '../runtimes/harness/registry.ts';
import { makeServerCert, makeThree } from '../sandbox/harness/certs.ts';
import { apply, boot, names, namesOf, pull, registryOn, rendered, when } from './node.ts';

const [one, two, three] = await makeThree();
const seed = '/var/lib/cloud/seed/nocloud';

/** User data in several parts, as clouds and their tools join them. */
function joined(...parts: readonly string[]): string {
  const part = (text: string): string => `--part\nContent-Type: text/cloud-config\n\n${text}\n`;
  return `MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="part"\n\n${parts.map(part).join('')}--part--\n`;
}

const ofAnother = `#cloud-config
bootcmd:
  - echo bootcmd >> /run/others
runcmd:
  - echo runcmd >> /run/others
`;

test('after the first boot pulls trust the bundle, and the agent takes over what is there', async () => {
  const node = await boot({
    [`${seed}/meta-data`]: 'instance-id: node-1\n',
    [`${seed}/user-data`]: joined(ofAnother, await rendered('cloud-init', one, two)),
  });
  const [byOne, byThree] = await Promise.all([one, three].map((ca) => makeServerCert(ca, ['registry.test'])));
  if (byOne === undefined || byThree === undefined) throw new Error('no certificates');

  // No agent has been there.
  expect(await node.shell('cloud-init status')).toBe('status: done\n');
  expect(await node.shell('cat /run/others')).toBe('bootcmd\nruncmd\n');
  expect(await names(node)).toEqual(namesOf(one, two));
  const registry = await registryOn(node, byOne, 5443);
  await registryOn(node, byThree, 6443);
  expect(await pull(node, `registry.test:5443/${image}`)).toBe('');
  expect(await pull(node, `registry.test:6443/${image}`)).toContain('x509: certificate signed by unknown authority');
  // Not by luck: the store is there before containerd is.
  const [stored, started] = [
    await when(node, 'cloud-init.service', 'ActiveEnter'),
    await when(node, 'containerd.service', 'InactiveExit'),
  ];
  expect(stored).toBeGreaterThan(0);
  expect(started).toBeGreaterThan(stored);

  // The agent comes, finds all as it would have made it, and rotates.
  const first = await apply(node, one, two);
  expect(first).toMatchObject({ converged: true, added: [], removed: [], repaired: [] });
  expect(first.runtimes.map(({ state }) => state)).toEqual(['trusts']);
  const rotated = await apply(node, two, three);
  expect(rotated).toMatchObject({ converged: true, added: [three.fingerprint], removed: [one.fingerprint] });
  await registry.use(byThree);
  expect(await pull(node, `registry.test:5443/${image}`)).toBe('');

  // What a later boot does again brings nothing back.
  await node.shell(
    'cloud-init single --name bootcmd --frequency always; systemctl start node-ca-trust-refresh.service',
  );
  expect(await names(node)).toEqual(namesOf(two, three));
  expect(await node.shell('systemctl --failed --no-legend')).toBe('');
});
