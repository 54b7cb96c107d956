import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Host } from '../../../src/host/host.ts';
import { type Chain, writeChain } from '../../../src/stores/hash-links.ts';

/** A directory in memory: look-ups are held against it after every step. */
function directory(links: Map<string, string>, afterStep: () => void): Host {
  const step = <T>(value: T): T => {
    afterStep();
    return value;
  };
  return {
    makeLink: (path: string, target: string) => {
      step(links.set(path, target));
    },
    remove: (path: string) => step(links.delete(path)),
  } as Partial<Host> as Host;
}

/** What a look-up finds: all up to the first that is missing. */
function found(links: ReadonlyMap<string, string>, files: ReadonlySet<number>): readonly string[] {
  const names: string[] = [];
  for (let suffix = 0; ; suffix += 1) {
    const target = links.get(`h.${suffix}`);
    if (target !== undefined) names.push(target);
    else if (!files.has(suffix)) return names;
  }
}

describe('writeChain', () => {
  it('loses no look-up at any step: what was found and stays is found all the time', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.constantFrom<string>('a', 'b', 'c', 'd', 'e', 'f'), { maxLength: 6 }),
        fc.uniqueArray(fc.constantFrom<string>('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'), { maxLength: 8 }),
        (before, after) => {
          // New ones come last, as when a certificate is added.
          const targets = [
            ...before.filter((name) => after.includes(name)),
            ...after.filter((name) => !before.includes(name)),
          ];
          const links = new Map(before.map((name, suffix) => [`h.${suffix}`, name]));
          const chain: Chain = new Map(before.map((name, suffix) => [suffix, name]));
          const staying = before.filter((name) => after.includes(name));
          const host = directory(links, () => {
            expect(found(links, new Set())).toEqual(expect.arrayContaining(staying));
          });
          writeChain(host, 'h', chain, targets);
          expect([...links].sort()).toEqual(targets.map((name, suffix) => [`h.${suffix}`, name]));
        },
      ),
    );
  });

  it('closes a gap, and leaves a file alone that is no link', () => {
    const links = new Map([
      ['h.0', 'a'],
      ['h.3', 'b'],
    ]);
    const host = directory(links, () => undefined);
    const chain: Chain = new Map<number, string | undefined>([
      [0, 'a'],
      [1, undefined],
      [3, 'b'],
    ]);
    writeChain(host, 'h', chain, ['a', 'b']);
    expect([...links].sort()).toEqual([
      ['h.0', 'a'],
      ['h.2', 'b'],
    ]);
    expect(found(links, new Set([1]))).toEqual(['a', 'b']);
  });

  it('brings no gap before a file that is no link: what was found behind is found', () => {
    const links = new Map(['a', 'b', 'c'].map((name, suffix) => [`h.${suffix}`, name]));
    const chain: Chain = new Map<number, string | undefined>([
      [0, 'a'],
      [1, 'b'],
      [2, 'c'],
      [3, undefined],
      [4, 'd'],
    ]);
    links.set('h.4', 'd');
    const host = directory(links, () => {
      expect(found(links, new Set([3]))).toContain('c');
      expect([0, 1, 2].every((suffix) => links.has(`h.${suffix}`))).toBe(true);
    });
    writeChain(host, 'h', chain, ['c']);
    expect([...links].sort()).toEqual([
      ['h.0', 'c'],
      ['h.1', 'h.3'],
      ['h.2', 'h.3'],
    ]);
  });
});
