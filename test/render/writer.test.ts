// An agent without any privilege beside the real units on the real systemd: it writes, they refresh, it proves. Its
// process is as deploy/privilege/writer makes it, but for the container: user 9641, no capability, no way to one.
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import type { Report } from '../../src/report/report.ts';
import type { SystemdNode } from '../runtimes/systemd-node.ts';
import { type Cert, makeThree } from '../sandbox/harness/certs.ts';
import { readBundle } from '../sandbox/harness/classify.ts';
import { anchors, bundle, state } from '../sandbox/harness/host.ts';
import { boot, names, namesOf, rendered } from './node.ts';

const [one, two, three] = await makeThree();
const path = 'node-ca-trust-refresh.path';

/** What the init container of the overlay does. */
const own = `mkdir -p ${state}; chown 9641:9641 ${anchors} ${state}`;

/** One pass of the agent on the node, as the writer. */
async function run(node: SystemdNode, command: string, ...certs: readonly Cert[]): Promise<Report> {
  await writeFile(node.path('/run/bundle.pem'), certs.map(({ pem }) => pem).join(''));
  const nobody = 'setpriv --reuid 9641 --regid 9641 --clear-groups --no-new-privs --bounding-set -all --inh-caps -all';
  const program = `/opt/node /opt/project/src/main.ts ${command} --host-root / --store-refresh unit --output json`;
  return JSON.parse(await node.shell(`${nobody} ${program} || true`)) as Report;
}

const apply = (node: SystemdNode, ...certs: readonly Cert[]) => run(node, 'apply --bundle /run/bundle.pem', ...certs);

async function trusted(node: SystemdNode, ...certs: readonly Cert[]): Promise<readonly boolean[]> {
  const { fingerprints } = readBundle(await node.shell(`cat ${bundle}`));
  return certs.map(({ fingerprint }) => fingerprints.has(fingerprint));
}

test('installs, rotates and removes by the units, and says which one is missing while there is none', async () => {
  const node = await boot({ '/etc/cloud/cloud-init.disabled': '' });
  await node.shell(own);
  const early = await apply(node, one);
  const missing = `is ${path} enabled there? Its units are printed by: node-ca-trust render systemd`;
  expect(early).toMatchObject({ converged: false, reasons: [expect.stringContaining(missing)] });
  expect(await trusted(node, one)).toEqual([false]);

  // The files are there already: the installer's own run takes them.
  await node.shell(
    `cat > /run/install <<'END_OF_INSTALLER'\n${await rendered('systemd')}END_OF_INSTALLER\nsh /run/install`,
  );
  expect(await apply(node, one)).toMatchObject({ converged: true, reasons: [] });
  expect(await trusted(node, one)).toEqual([true]);

  expect(await apply(node, one, two)).toMatchObject({ converged: true, added: [two.fingerprint] });
  expect(await apply(node, two, three)).toMatchObject({ converged: true, removed: [one.fingerprint] });
  expect(await trusted(node, one, two, three)).toEqual([false, true, true]);
  expect(await names(node)).toEqual(namesOf(two, three));

  // What somebody else undid, without touching the directory that the units watch.
  await node.shell(`rm "/etc/ssl/certs/$1.0"`, two.subjectHash);
  expect(await apply(node, two, three)).toMatchObject({ converged: true, repaired: [two.fingerprint] });

  expect(await run(node, 'remove')).toMatchObject({ converged: true });
  expect(await trusted(node, one, two, three)).toEqual([false, false, false]);
  expect(await node.shell(`ls -A ${state} ${anchors}; find -L /etc/ssl/certs -type l`)).toBe(
    `${anchors}:\n\n${state}:\n`,
  );
});
