import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { readBundle } from '../../../src/bundle/bundle.ts';
import type { Host } from '../../../src/host/host.ts';
import { Problem } from '../../../src/host/problem.ts';
import { debianFamily } from '../../../src/stores/debian.ts';
import { flatcarFamily } from '../../../src/stores/flatcar.ts';
import { hiddenEnd } from '../../../src/stores/hidden.ts';
import { rhelFamily } from '../../../src/stores/rhel.ts';
import { emptyHost } from '../support/directories.ts';
import { north, world } from '../support/fixtures.ts';

const link = '/usr/local/share/ca-certificates/corp.crt';

function endOf(target: string, there: readonly string[] = []): string | undefined {
  const host = emptyHost();
  for (const path of [link, ...there]) mkdirSync(join(host.root, dirname(path)), { recursive: true });
  for (const path of there.filter((one) => !one.endsWith('/'))) writeFileSync(join(host.root, path), '');
  symlinkSync(target, join(host.root, link));
  return hiddenEnd(host, link);
}

it.each<[string, string, readonly string[], string | undefined]>([
  ['out of what is mounted', '/opt/corp/ca.pem', [], '/opt/corp/ca.pem'],
  ['out of it by a relative way', '../../../../opt/corp/ca.pem', [], '/opt/corp/ca.pem'],
  [
    'beside a mount, on the way to it',
    '/var/lib/corp.pem',
    ['/var/lib/node-ca-trust/default.json'],
    '/var/lib/corp.pem',
  ],
  ['into the root itself', '/corp.pem', ['/var/lib/dpkg/status'], '/corp.pem'],
  ['to what is gone from where something else is', '/etc/corp/ca.pem', ['/etc/corp/other.pem'], undefined],
  ['to what is gone from a directory that is mounted', '/usr/share/corp/ca.pem', [], undefined],
  ['to what is gone where the root is seen as a whole', '/var/corp/ca.pem', ['/var/lib/dpkg/status'], undefined],
  ['to itself', 'corp.crt', [], undefined],
])('a link %s', (_, target, there, end) => {
  expect(endOf(target, there)).toBe(end);
});

const certs = '/etc/ssl/certs';

/** A host with a link of another's among the certificates, at whose end no look succeeds, and all that was looked at. */
function hostWithLink(target: string, isSeenWhole: boolean): { readonly host: Host; readonly asked: Set<string> } {
  const inner = emptyHost();
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(inner.root, path)), { recursive: true });
    writeFileSync(join(inner.root, path), text);
  };
  put(`${certs}/ca-certificates.crt`, world.pem);
  put('/usr/local/share/ca-certificates/world.crt', world.pem);
  mkdirSync(join(inner.root, 'mnt'));
  if (isSeenWhole) put('/var/lib/dpkg/status', '');
  for (const name of ['theirs.pem', `${north.subjectHash}.0`]) symlinkSync(target, join(inner.root, certs, name));
  const asked = new Set<string>();
  const look: Host['target'] = (path) => {
    asked.add(path);
    if (inner.link(path) === target) throw new Problem(`cannot look at ${path} on the host: permission denied`);
    return inner.target(path);
  };
  const run = (): Promise<never> => Promise.reject(new Error('the tool must not be run'));
  return { host: { ...inner, target: look, run }, asked };
}

const clock = { now: () => Date.now(), steady: () => 0, sleep: () => Promise.resolve() };

it.each([false, true])(
  'a link that cannot be looked through ends no pass (host seen whole: %s)',
  async (isSeenWhole) => {
    const { host } = hostWithLink('/etc/letsencrypt/live/chain.pem', isSeenWhole);
    const store = debianFamily.open(host, 'default', clock);
    const rules = { now: new Date(), allowLeaf: false, allowEmpty: false, maxCertificates: 9 };
    const { anchors } = readBundle([{ files: [{ source: 'a', bytes: Buffer.from(north.pem) }], findings: [] }], rules);
    const { notes } = store.observe(anchors);
    const end = 'it leads to /etc/letsencrypt/live/chain.pem, and the agent sees nothing of the host there';
    for (const name of ['theirs.pem', `${north.subjectHash}.0`])
      expect(notes).toContainEqual(expect.stringContaining(`${certs}/${name} on the host, not ours: ${end}`));

    const required = new Set([north.fingerprint]);
    const [told, present] = [{ announced: [], unheard: [] }, [store.nameOf(north.fingerprint)]];
    const change = { add: anchors, remove: [], clean: [], link: anchors, refresh: true, required, present, ...told };
    await store.change(change, { descriptor: -1, release: () => undefined });
    const { trusted, unlinked } = store.observe(anchors);
    expect([[...trusted].sort(), [...unlinked]]).toEqual([[north.fingerprint, world.fingerprint].sort(), []]);
    expect(host.link(`${certs}/theirs.pem`)).toBe('/etc/letsencrypt/live/chain.pem');
  },
);

it.each([
  ['out of the directories that every agent has', '/mnt/nfs/ca.pem', undefined],
  ['to where the root itself has nothing', '/opt/corp/ca.pem', '/opt/corp/ca.pem'],
])('a link %s is not looked through where the host is seen as a whole', (_, target, end) => {
  const { host, asked } = hostWithLink(target, true);
  const { notes } = debianFamily.open(host, 'default', clock).observe([]);
  expect(asked).not.toContain(`${certs}/theirs.pem`);
  expect(
    notes.filter((note) => note.startsWith(`${certs}/theirs.pem`)).map((note) => /to (\S+),/.exec(note)?.[1]),
  ).toEqual(end === undefined ? [] : [end]);
});

it.each([rhelFamily, flatcarFamily])('a bundle that cannot be looked through ends no pass: $name', (family) => {
  const { host } = hostWithLink('/mnt/nfs/ca.pem', true);
  symlinkSync('/usr/local/share/ca-certificates/world.crt', join(host.root, certs, 'world.pem'));
  const look: Host['target'] = (path) => {
    if (path === `${certs}/ca-certificates.crt`) throw new Problem('its file system does not answer');
    return host.target(path);
  };
  expect([...family.open({ ...host, target: look }, 'default', clock).observe([]).trusted]).toEqual([]);
});
