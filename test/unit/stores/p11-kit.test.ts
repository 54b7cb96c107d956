// A store that p11-kit makes, on a host whose trust(1) and refresh command are stood in for by two functions.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { readBundle } from '../../../src/bundle/bundle.ts';
import type { Host } from '../../../src/host/host.ts';
import { Problem } from '../../../src/host/problem.ts';
import { rhelFamily } from '../../../src/stores/rhel.ts';
import type { StoreChange } from '../../../src/stores/store.ts';
import { emptyHost } from '../support/directories.ts';
import { north, south, world } from '../support/fixtures.ts';

const anchors = '/etc/pki/ca-trust/source/anchors';
const bundle = '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem';
const hashed = '/etc/pki/tls/certs';
const deadLink = '/mnt/dead/corp.pem';
const clock = { now: () => Date.now(), steady: () => 0, sleep: () => Promise.resolve() };
const lock = { descriptor: -1, release: () => undefined };
const unchanged = { add: [], remove: [], clean: [], link: [], announced: [], present: [], unheard: [] };

interface Scene {
  readonly host: Host;
  readonly store: ReturnType<typeof rhelFamily.open>;
  /** How often the refresh command has run. */
  readonly runs: () => number;
  readonly read: (path: string) => string;
}

/**
 * A host with these certificates in its bundle.
 * @param extracted what trust(1) finds
 * @param code with which the refresh command ends, which publishes that
 */
function scene(published: string, extracted: string, code = 0): Scene {
  const inner = emptyHost();
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(inner.root, path)), { recursive: true });
    writeFileSync(join(inner.root, path), text);
  };
  put('/usr/bin/update-ca-trust', 'trust extract --format=pem-directory-hash x; ln /etc/pki/tls/certs\n');
  put(bundle, published);
  for (const path of [anchors, hashed]) mkdirSync(join(inner.root, path), { recursive: true });
  let runs = 0;
  const run: Host['run'] = (command, args) => {
    const to = args.at(-1) ?? '';
    if (command !== 'env') runs += 1;
    if (command !== 'env') inner.write(bundle, extracted);
    else if (args.includes('--format=pem-bundle')) put(to, extracted);
    else mkdirSync(join(inner.root, to), { recursive: true });
    return Promise.resolve({ code: command === 'env' ? 0 : code, output: '', timedOut: false });
  };
  const target: Host['target'] = (path) => {
    if (inner.link(path) === deadLink) throw new Problem(`cannot look at ${path} on the host: permission denied`);
    return inner.target(path);
  };
  const host: Host = { ...inner, target, run };
  const read = (path: string): string => readFileSync(join(inner.root, path), 'utf8');
  return { host, store: rhelFamily.open(host, 'default', clock), runs: () => runs, read };
}

const change = (parts: Partial<StoreChange>): StoreChange => ({
  ...unchanged,
  refresh: true,
  required: new Set(),
  ...parts,
});

it("another's link onto a mount that is dead ends no pass and no removal, and is named", async () => {
  const { host, store, read } = scene(world.pem + north.pem, world.pem);
  const name = store.nameOf(north.fingerprint);
  host.write(`${anchors}/${name}`, north.pem);
  for (const path of [`${anchors}/corp.pem`, `${hashed}/12345678.0`]) symlinkSync(deadLink, join(host.root, path));
  const { own, notes } = store.observe([]);
  expect(own).toEqual([expect.objectContaining({ name, content: 'intact' })]);
  expect(notes).toEqual([expect.stringContaining(`${anchors}/corp.pem on the host, not ours, is broken`)]);
  await store.change(change({ remove: [name] }), lock);
  expect(read(bundle)).toBe(world.pem);
});

it('a bundle that somebody broke is made anew also while one anchor is on the blocklist', async () => {
  const broken = '-----BEGIN CERTIFICATE-----\nMIIB\n';
  const { store, read, runs } = scene(world.pem + broken, world.pem);
  const blocked = store.change(change({ required: new Set([north.fingerprint]) }), lock);
  await expect(blocked).rejects.toThrow(/leaves out 1 anchors/);
  expect([read(bundle), runs()]).toEqual([world.pem, 1]);
  // Not again in each pass.
  await expect(store.change(change({ required: new Set([north.fingerprint]) }), lock)).rejects.toThrow(/leaves out/);
  expect(runs()).toBe(1);
});

it('missing links by hash are made anew also while another anchor is on the blocklist', async () => {
  const { store, runs } = scene(world.pem + south.pem, world.pem + south.pem);
  const files = [{ source: 'a', bytes: Buffer.from(south.pem + north.pem) }];
  const rules = { now: new Date(), allowLeaf: false, allowEmpty: false, maxCertificates: 9 };
  const link = readBundle([{ files, findings: [] }], rules).anchors;
  const required = new Set(link.map(({ fingerprint }) => fingerprint));
  await expect(store.change(change({ link, required }), lock)).rejects.toThrow(/leaves out 1 anchors/);
  expect(runs()).toBe(1);
});

it('a refresh command that failed beside the bundle is run again when hooks are told again', async () => {
  const { store, runs } = scene(world.pem, world.pem + north.pem, 1);
  const { notes, unheard } = await store.change(change({ required: new Set([north.fingerprint]) }), lock);
  expect(notes).toEqual([expect.stringContaining('ended with exit code 1')]);
  expect(await store.change(change({ refresh: false }), lock)).toEqual({ notes: [], unheard: [] });
  expect(runs()).toBe(1);
  await store.change(change({ refresh: false, unheard }), lock);
  expect(runs()).toBe(2);
});
