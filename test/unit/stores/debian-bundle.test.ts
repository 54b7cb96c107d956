import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Host } from '../../../src/host/host.ts';
import { Problem } from '../../../src/host/problem.ts';
import type { StoreContext } from '../../../src/stores/anchor-files.ts';
import { openCertificateFiles } from '../../../src/stores/certificate-files.ts';
import { concatenation } from '../../../src/stores/debian-bundle.ts';
import { bundlePath } from '../support/little-host.ts';
import { emptyHost } from '../support/directories.ts';
import { type Fixture, east, north, south, world } from '../support/fixtures.ts';

const change = {
  add: [],
  remove: [],
  clean: [],
  link: [],
  refresh: true,
  announced: [],
  present: [],
  unheard: [],
};

type Put = (path: string, text: string) => void;

/** A host whose bundle holds these, with files that the agent may not read. */
function contextOf(
  held: readonly Fixture[],
  denied: readonly string[] = [],
): { readonly context: StoreContext; readonly put: Put } {
  const inner = emptyHost();
  const put = (path: string, text: string): void => {
    mkdirSync(join(inner.root, path, '..'), { recursive: true });
    writeFileSync(join(inner.root, path), text);
  };
  put(bundlePath, held.map(({ pem }) => pem).join(''));
  const host: Host = {
    ...inner,
    read: (path) => {
      if (denied.includes(path)) throw new Problem(`cannot read ${path} on the host: permission denied`);
      return inner.read(path);
    },
  };
  const clock = { now: () => 0, steady: () => 0, sleep: () => Promise.resolve() };
  const files = openCertificateFiles(host);
  const places = { anchors: '/anchors', extension: '.crt', bundle: bundlePath } as const;
  return { put, context: { host, instance: 'default', files, clock, ...places } };
}

describe('the bundle put together without the tool', () => {
  it('keeps what programs rely on while a file is there that may not be read, and not what goes', () => {
    const { context, put } = contextOf([world, north, south], ['/anchors/theirs.crt']);
    put('/anchors/world.crt', world.pem);
    put('/anchors/theirs.crt', north.pem);
    const remove = [`node-ca-trust-default-${south.fingerprint.slice(0, 16)}.crt`];
    const paths = ['/anchors/world.crt', '/anchors/theirs.crt'];
    const text = concatenation(context, paths, { ...change, remove, required: new Set() }).toString();
    expect(text).toBe(world.pem + north.pem);
  });

  it('keeps nothing that no file carries once all can be read', () => {
    const { context, put } = contextOf([world, north]);
    put('/anchors/world.crt', world.pem);
    const text = concatenation(context, ['/anchors/world.crt'], { ...change, required: new Set() }).toString();
    expect(text).toBe(world.pem);
  });

  it('refuses more than is read back of a bundle, and names what has the most', () => {
    const { context, put } = contextOf([]);
    const paths = Array.from({ length: 11 }, (_, index) => `/anchors/${index}.crt`);
    // Each of these counts, since it may say for what it is trusted.
    const trusted = east.pem.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE');
    for (const path of paths) put(path, trusted.repeat(2 ** 20 / trusted.length));
    expect(() => concatenation(context, paths, { ...change, required: new Set() })).toThrow(
      /^the certificates on the host are more than 8388608 bytes together; remove some: \/anchors\/0\.crt has \d+$/,
    );
  });

  it('has each certificate once, also where it says in another file for what it is trusted', () => {
    const { context, put } = contextOf([]);
    const trusted = north.pem.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE');
    put('/anchors/a.crt', trusted);
    put('/anchors/b.crt', `# ours\n${north.pem}`);
    put('/anchors/c.crt', north.pem + south.pem + south.pem);
    put('/anchors/d.crt', south.pem);
    const paths = ['a', 'b', 'c', 'd'].map((name) => `/anchors/${name}.crt`);
    const text = concatenation(context, paths, { ...change, required: new Set() }).toString();
    expect(text).toBe(trusted + north.pem + south.pem);
  });

  it.each([
    ['is called otherwise', (pem: string) => pem.replaceAll('CERTIFICATE', 'X509 CERTIFICATE')],
    ['is there in both ways', (pem: string) => pem.replaceAll('CERTIFICATE', 'X509 CERTIFICATE') + pem],
    ['has lines that end as on old Macs', (pem: string) => pem.replaceAll('\n', '\r')],
    ['has a blank line in it', (pem: string) => pem.replace('\n-----END', '\n\n-----END')],
    ['has headers', (pem: string) => pem.replace('\n', '\nName: north\n\n')],
    ['begins with a mark', (pem: string) => `\xef\xbb\xbf${pem}`],
  ])('has for all programs what in the file of another %s', (_, other) => {
    const { context, put } = contextOf([]);
    put('/anchors/corp.crt', other(north.pem));
    put('/anchors/ours.crt', north.pem);
    const paths = ['/anchors/corp.crt', '/anchors/ours.crt'];
    const text = concatenation(context, paths, { ...change, required: new Set() }).toString('latin1');
    const [first, second, ...more] = text.split(north.pem);
    expect([second, more]).toEqual(['', []]);
    expect(['', north.pem.replaceAll('CERTIFICATE', 'X509 CERTIFICATE')]).toContain(first);
  });

  it('takes of a file that is blank for the most part only its certificates', () => {
    const { context, put } = contextOf([]);
    put('/anchors/padded.crt', `${east.pem}${'\n'.repeat(2 ** 20)}`);
    const text = concatenation(context, ['/anchors/padded.crt'], { ...change, required: new Set() }).toString();
    expect(text).toBe(east.pem);
  });
});
