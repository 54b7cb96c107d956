import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ItemSplitter } from '../../../src/api/items.ts';

function split(pieces: readonly string[]): { readonly items: readonly string[]; readonly rest: string } {
  const splitter = new ItemSplitter();
  const items = pieces.flatMap((piece) => splitter.push(piece));
  return { items, rest: splitter.rest };
}

/** The text in pieces that end anywhere. */
function pieces(text: string, lengths: readonly number[]): string[] {
  const found: string[] = [];
  for (let at = 0, turn = 0; at < text.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    found.push(text.slice(at, at + length));
    at += length;
  }
  return found;
}

const object = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue());
const lengths = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 });

describe('the items of a list', () => {
  it('come one by one, wherever the pieces of the text end, and however it is written', () => {
    fc.assert(
      fc.property(fc.array(object), object, lengths, fc.constantFrom(0, 2), (items, metadata, cuts, indent) => {
        const text = JSON.stringify({ kind: 'NodeList', metadata, items, after: metadata }, undefined, indent);
        const found = split(pieces(text, cuts));
        expect(found.items.map((item) => JSON.parse(item) as unknown)).toEqual(JSON.parse(JSON.stringify(items)));
        expect(JSON.parse(found.rest)).toEqual(
          JSON.parse(JSON.stringify({ kind: 'NodeList', metadata, items: items.map(() => null), after: metadata })),
        );
      }),
    );
  });

  it('are only found in an array that the object itself holds', () => {
    const text = '{"details":{"causes":[{"reason":"x"}]},"message":"[{\\"a\\":1}]\\\\"}';
    expect(split([text])).toEqual({ items: [], rest: text });
  });

  it.each(['', 'no JSON [{', '}}}][', '{"items":[{"cut', '"\\'])('are not made of what is none: %j', (text) => {
    expect(split([text]).items).toEqual([]);
    expect(() => JSON.parse(split([text]).rest) as unknown).toThrow();
  });
});
