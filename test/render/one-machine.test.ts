// docs/one-machine.md, word for word: its commands on a machine with real systemd and containerd, the unit as it is shipped.
//
// npm has been run before, and sudo does nothing, since the commands are run by root. Of CRI-O there is a process of its name.
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildProduction } from '../bench/production.ts';
import { image } from '../runtimes/harness/registry.ts';
import type { SystemdNode } from '../runtimes/systemd-node.ts';
import { eventually } from '../sandbox/harness/agent.ts';
import { type Cert, makeServerCert, makeThree } from '../sandbox/harness/certs.ts';
import { bundle } from '../sandbox/harness/host.ts';
import { blocksOf, textOf } from '../unit/docs/pages.ts';
import { type Files, boot, names, namesOf, pull, registryOn } from './node.ts';

const [one, two] = await makeThree();
const [installing = '', removing = ''] = blocksOf(textOf('docs/one-machine.md'));
const withoutCloudInit: Files = { '/etc/cloud/cloud-init.disabled': '' };
const directory = await mkdtemp(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '', 'one-machine-'));
const mainPid = 'systemctl show --value --property MainPID node-ca-trust';

beforeAll(async () => {
  await buildProduction(join(directory, 'build'));
});
afterAll(() => rm(directory, { recursive: true }));

/** Runs commands of the page in a checkout. */
function follow(node: SystemdNode, commands: string): Promise<string> {
  return node.shell(`cd /run/checkout; sudo() { "$@"; }; npm() { :; }\n${commands}`);
}

/** A machine with a registry for each of these CAs. */
async function machine(files: Files, ...cas: readonly Cert[]): Promise<SystemdNode> {
  const node = await boot({ ...withoutCloudInit, ...files });
  await mkdir(node.path('/run/checkout'));
  await cp(join(directory, 'build/dist'), node.path('/run/checkout/dist'), { recursive: true });
  await node.shell('cd /run/checkout; ln -s /opt/project/node_modules /opt/project/deploy .');
  await writeFile(node.path('/run/checkout/company-ca.crt'), one.pem);
  for (const [index, ca] of cas.entries()) {
    await registryOn(node, await makeServerCert(ca, ['registry.test']), 5443 + index);
  }
  return node;
}

/** What a pull from the registry of a CA says, and a program that goes by the store; empty where they trust it. */
async function refusals(node: SystemdNode, index: number): Promise<readonly string[]> {
  const registry = `registry.test:${5443 + index}`;
  const curl = await node.shell('curl -sS "https://$1/v2/" -o /dev/null 2>&1 || true', registry);
  return [await pull(node, `${registry}/${image}`), curl];
}

async function expectTrust(node: SystemdNode, index: number): Promise<void> {
  expect(await refusals(node, index)).toEqual(['', '']);
}

async function expectDistrust(node: SystemdNode, index: number): Promise<void> {
  const [pulled, curl] = await refusals(node, index);
  expect(pulled).toContain('certificate signed by unknown authority');
  expect(curl).toContain('unable to get local issuer certificate');
}

const hosts = '/etc/containerd/certs.d/registry.test:5443/hosts.toml';
const files = String.raw`cd /etc/containerd; find . -printf '%M %U:%G %p\n' | sort; find . -type f -exec sha256sum {} + | sort`;

test.each([
  ['no registry has settings', {}],
  ['a registry has settings', { [hosts]: 'server = "https://registry.test:5443"\n' }],
])('the store, and pulls of a running containerd, trust what is in the directory, where %s', async (_, settings) => {
  const node = await machine(settings, one, two);
  const [runtime, before] = [await node.runtime(), await node.shell(files)];
  await expectDistrust(node, 0);

  await follow(node, installing);
  await expectTrust(node, 0);
  await expectDistrust(node, 1);
  await writeFile(node.path('/etc/node-ca-trust/bundle/more.crt'), two.pem);
  await eventually(() => expectTrust(node, 1));
  expect(await names(node)).toEqual(namesOf(one, two));
  await node.shell('rm /etc/node-ca-trust/bundle/more.crt');
  await eventually(() => expectDistrust(node, 1));
  await node.shell('rm /etc/node-ca-trust/bundle/company-ca.crt');
  await eventually(async () => {
    expect(await node.shell('curl -sS http://127.0.0.1:9641/readyz')).toContain('no source holds a certificate');
  });
  const writing = 'touch /etc/systemd/system/other.service /etc/passwd /usr/bin/other 2>&1';
  const said = await node.shell(`nsenter --target "$(${mainPid})" --mount sh -c '${writing}' || true`);
  expect(said.match(/Read-only file system/g)).toHaveLength(3);
  await node.shell('systemctl stop node-ca-trust');
  await expectTrust(node, 0);

  await follow(node, removing);
  await expectDistrust(node, 0);
  expect(await names(node)).toEqual([]);
  expect(await node.shell(files)).toBe(before);
  expect(await node.runtime()).toEqual(runtime);
});

const registries = '[Service]\nEnvironment=NODE_CA_TRUST_REGISTRY=registry.test:5443\n';

test('what is installed after the service is served without a restart of it', async () => {
  const node = await machine({ '/etc/systemd/system/node-ca-trust.service.d/override.conf': registries }, one);
  await node.shell(`systemctl stop containerd; rm -rf /etc/containers; mkdir /srv/packages
    mv /etc/ssl /etc/ca-certificates.conf /etc/containerd /srv/packages`);
  // It cannot be ready yet, so nobody waits for that.
  await follow(node, installing.replace(/^curl .*$/m, ''));
  await eventually(async () => {
    expect(await node.shell('curl -sS http://127.0.0.1:9641/readyz')).toContain('install the package ca-certificates');
  });
  const service = await node.shell(mainPid);

  await node.shell(`cp -a /srv/packages/containerd/. /etc/containerd; systemctl start containerd
    cp /bin/sleep /usr/local/bin/crio; systemd-run --quiet /usr/local/bin/crio infinity`);
  // From now on containerd has read the roots, and forgets none.
  expect(await pull(node, `registry.test:5443/${image}`)).toContain('certificate signed by unknown authority');
  await node.shell('cp -a /srv/packages/ssl/. /etc/ssl; cp -a /srv/packages/ca-certificates.conf /etc');
  // A change begins a pass, whenever the next retry would be.
  await writeFile(node.path('/etc/node-ca-trust/bundle/more.crt'), two.pem);
  await eventually(() => expectTrust(node, 0));
  const link = '/etc/containers/certs.d/registry.test:5443/node-ca-trust.crt';
  await eventually(async () => {
    expect(await node.shell(`readlink ${link} || true`)).toBe(`${bundle}\n`);
  });
  expect(await node.shell(mainPid)).toBe(service);
});
