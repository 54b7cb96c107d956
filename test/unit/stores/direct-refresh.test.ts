import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readBundle } from '../../../src/bundle/bundle.ts';
import type { Anchor } from '../../../src/bundle/types.ts';
import type { Host } from '../../../src/host/host.ts';
import { alpineFamily } from '../../../src/stores/alpine.ts';
import { flatcarFamily } from '../../../src/stores/flatcar.ts';
import type { StoreChange } from '../../../src/stores/store.ts';
import { makeCert } from '../../sandbox/harness/certs.ts';
import { emptyHost } from '../support/directories.ts';

const rules = { now: new Date(), allowLeaf: false, allowEmpty: false, maxCertificates: 10 };
const clock = { now: () => Date.now(), steady: () => 0, sleep: () => Promise.resolve() };
const lock = { descriptor: -1, release: () => undefined };

async function makeAnchor(subject: string): Promise<Anchor> {
  const { pem } = await makeCert({ subject });
  const [anchor] = readBundle([{ files: [{ source: 'a', bytes: Buffer.from(pem) }], findings: [] }], rules).anchors;
  if (anchor === undefined) throw new Error('no anchor');
  return anchor;
}

/** The same host, looked at after every step that changes it. */
function observed(host: Host, look: () => void): Host {
  const seen = <T>(result: T): T => {
    look();
    return result;
  };
  return {
    ...host,
    write: (path, content, options) => {
      host.write(path, content, options);
      look();
    },
    publish: (from, to) => {
      host.publish(from, to);
      look();
    },
    makeLink: (path, target) => {
      host.makeLink(path, target);
      look();
    },
    remove: (path) => seen(host.remove(path)),
    removeDirectory: (path) => seen(host.removeDirectory(path)),
  };
}

describe.each([alpineFamily, flatcarFamily])('a change without the program of $name', (family) => {
  it('of a CA that was renewed under its name leaves it trusted and found by its hash at every step', async () => {
    const [old, renewed, world] = (await Promise.all(
      ['/CN=Renewed', '/CN=Renewed', '/CN=World'].map((subject) => makeAnchor(subject)),
    )) as [Anchor, Anchor, Anchor];
    const inner = emptyHost();
    for (const path of ['etc/ssl/certs', 'usr/share/ca-certificates']) {
      mkdirSync(join(inner.root, path), { recursive: true });
    }
    for (const path of ['etc/ssl/certs/world.pem', 'usr/share/ca-certificates/world.crt']) {
      writeFileSync(join(inner.root, path), world.pem);
    }
    writeFileSync(join(inner.root, 'etc/ca-certificates.conf'), 'world.crt\n');
    writeFileSync(join(inner.root, 'etc/ssl/certs/ca-certificates.crt'), world.pem);

    const staying = new Set<Anchor>();
    const judge = family.open(inner, 'default', clock);
    const lost: string[] = [];
    const host = observed(inner, () => {
      const { trusted, unlinked } = judge.observe([...staying]);
      for (const { fingerprint } of staying) {
        if (!trusted.has(fingerprint) || unlinked.has(fingerprint)) lost.push(fingerprint);
      }
      if (!trusted.has(world.fingerprint)) lost.push('world');
    });
    const store = family.open(host, 'default', clock);
    const change = async (add: readonly Anchor[], remove: readonly Anchor[], linked: readonly Anchor[]) => {
      const request: StoreChange = {
        add,
        remove: remove.map(({ fingerprint }) => store.nameOf(fingerprint)),
        clean: [],
        link: add,
        refresh: true,
        required: new Set(linked.map(({ fingerprint }) => fingerprint)),
        announced: [],
        unheard: [],
        present: linked.map(({ fingerprint }) => store.nameOf(fingerprint)),
      };
      await store.change(request, lock);
      for (const anchor of linked) staying.add(anchor);
    };

    await change([old], [], [old]);
    await change([renewed], [], [old, renewed]);
    staying.delete(old);
    await change([], [old], [renewed]);

    expect(lost).toEqual([]);
    const { trusted, unlinked, own } = judge.observe([old, renewed]);
    expect([...trusted].sort()).toEqual([renewed.fingerprint, world.fingerprint].sort());
    expect([...unlinked]).toEqual([old.fingerprint]);
    expect(own.map(({ fingerprint }) => fingerprint)).toEqual([renewed.fingerprint]);
  });
});
