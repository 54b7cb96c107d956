import * as z from 'zod/mini';
import { describe, expect, it } from 'vitest';
import { list, listOf, texts } from '../../../src/api/shapes.ts';
import { nodeShape, podShape } from '../../../src/commands/status-facts.ts';

const ones = Array.from({ length: 1_000 }, () => 1);
const numbers = Object.fromEntries(ones.map((one, n) => [`k${n}`, one]));

/** Each takes room: a server may send millions of things that are wrong. */
const wrongs = (shape: z.ZodMiniType, value: unknown): number => z.safeParse(shape, value).error?.issues.length ?? 0;

describe('shapes of what a server sends', () => {
  it.each([
    ['a list', listOf(z.string()), ones],
    ['a map', texts, numbers],
    ['the labels of a Node', nodeShape, { metadata: { name: 'one', labels: numbers } }],
    ['the conditions of a Node', nodeShape, { metadata: { name: 'one' }, status: { conditions: ones } }],
    [
      'the containers of a pod',
      podShape,
      { metadata: { name: 'one', namespace: 'ns' }, spec: {}, status: { containerStatuses: ones } },
    ],
  ])('stop at the first thing that is wrong with %s', (_, shape, value) => {
    expect(wrongs(shape, value)).toBe(1);
  });

  it('let a list and a map be as they are', () => {
    const map: unknown = JSON.parse('{"a":"x","__proto__":"y"}');
    expect(texts.parse(map)).toBe(map);
    expect([listOf(z.string()).parse(['a']), list.parse([1, 'b'])]).toEqual([['a'], [1, 'b']]);
  });

  it.each([[null], ['text'], [['a']], [{ a: 1 }], [{ a: null }]])('take %j for no map of texts', (value) => {
    expect(wrongs(texts, value)).toBe(1);
  });

  it.each([[null], ['text'], [{ length: 0 }]])('take %j for no list', (value) => {
    expect([wrongs(list, value), wrongs(listOf(z.unknown()), value)]).toEqual([1, 1]);
  });
});
