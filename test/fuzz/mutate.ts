/**
 * Broken inputs for the bundle's readers: from a seed, always the same ones.
 */
import { toPem } from '../../src/bundle/pem.ts';

/** Numbers from 0 to below `limit` (mulberry32). */
export type Random = (limit: number) => number;

export function randomFrom(seed: number): Random {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}

export const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)] as T;

const noise = (random: Random, length: number): Buffer => Buffer.from(Array.from({ length }, () => random(256)));

/** An element of DER that can be changed and written again with the lengths that then hold. */
interface Tree {
  tag: number;
  children?: Tree[];
  value: Buffer;
}

function parse(bytes: Buffer, depth = 0): Tree[] | undefined {
  const trees: Tree[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at] ?? 0;
    let length = bytes[at + 1] ?? 0x80;
    let start = at + 2;
    if (length > 0x80 && length < 0x84) {
      const octets = length & 0x7f;
      length = bytes.subarray(start, start + octets).reduce((sum, octet) => sum * 256 + octet, 0);
      start += octets;
    } else if (length >= 0x80) return undefined;
    if (start + length > bytes.length) return undefined;
    const value = bytes.subarray(start, start + length);
    // Octet strings hold extensions, bit strings keys.
    const inner = tag === 0x03 ? undefined : tag & 0x20 || tag === 0x04 ? parse(value, depth + 1) : undefined;
    trees.push({ tag, value, ...(inner && { children: inner }) });
    at = start + length;
  }
  return trees;
}

function write(tree: Tree): Buffer {
  const value = tree.children ? Buffer.concat(tree.children.map(write)) : tree.value;
  const size: number[] = [];
  for (let rest = value.length; rest > 0; rest >>= 8) size.unshift(rest & 0xff);
  const length = value.length < 0x80 ? [value.length] : [0x80 | size.length, ...size];
  return Buffer.concat([Buffer.from([tree.tag, ...length]), value]);
}

function parents(tree: Tree): Tree[] {
  return tree.children ? [tree, ...tree.children.flatMap(parents)] : [];
}

const copy = (tree: Tree): Tree => ({ ...tree, ...(tree.children && { children: tree.children.map(copy) }) });

const universalTags = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1a, 0x1c, 0x1e, 0x30, 0x31,
  0x80, 0x81, 0x82, 0xa0, 0xa1, 0xa3, 0x86,
];

function changeValue(random: Random, value: Buffer): Buffer {
  const at = random(value.length + 1);
  const octets = [0x00, 0xff, 0x80, 0x7f, 0x2e, 0x25, 0x40, 0x3a, 0x20, 0x5b];
  switch (random(4)) {
    case 0:
      return Buffer.concat([value.subarray(0, at), noise(random, 1 + random(3)), value.subarray(at)]);
    case 1:
      return Buffer.concat([value.subarray(0, at), value.subarray(at + 1 + random(3))]);
    case 2:
      return Buffer.concat([value.subarray(0, at), Buffer.from([pick(random, octets)]), value.subarray(at + 1)]);
    default:
      return noise(random, random(6));
  }
}

/** Changes the structure of a certificate: elements deleted, doubled, exchanged, retagged or refilled. */
export function restructure(random: Random, der: Buffer, others: readonly Buffer[]): Buffer {
  const [root] = parse(der) ?? [];
  if (root === undefined) return der;
  for (let round = 1 + random(2); round > 0; round -= 1) {
    const { children = [] } = pick(random, parents(root));
    const at = random(children.length);
    const child = children[at];
    if (child === undefined) continue;
    const [stranger] = parse(pick(random, others)) ?? [];
    switch (random(6)) {
      case 0:
        children.splice(at, 1);
        break;
      case 1:
        children.splice(at, 0, copy(child));
        break;
      case 2:
        child.tag = pick(random, universalTags);
        break;
      case 3:
        if (stranger) children[at] = copy(pick(random, pick(random, parents(stranger)).children ?? [stranger]));
        break;
      default:
        if (child.children === undefined) child.value = changeValue(random, child.value);
        else children.reverse();
    }
  }
  return write(root);
}

/** Changes single octets or cuts the end off. */
export function damage(random: Random, bytes: Buffer): Buffer {
  const damaged = Buffer.from(bytes);
  if (random(4) === 0) return damaged.subarray(0, random(damaged.length + 1));
  for (let round = 1 + random(3); round > 0; round -= 1) {
    const at = random(damaged.length);
    damaged[at] = random(2) === 0 ? (damaged[at] ?? 0) ^ (1 << random(8)) : random(256);
  }
  return damaged;
}

const glue = [
  '',
  '\n',
  '\r\n',
  '# a comment\n',
  '\xef\xbb\xbf',
  '-----BEGIN ',
  'x',
  '\0',
  '----------BEGIN CERTIFICATE-----\n',
];

/** One input: mostly a certificate that is nearly right, at times a whole file. */
export function mutant(random: Random, certificates: readonly Buffer[], files: readonly Buffer[]): Buffer {
  const der = pick(random, certificates);
  switch (random(10)) {
    case 0:
      return damage(random, der);
    case 1:
      return damage(random, Buffer.from(toPem(der)));
    case 2: {
      const parts = Array.from({ length: 1 + random(4) }, () => [
        pick(random, glue),
        toPem(pick(random, certificates)),
      ]);
      return damage(random, Buffer.from(parts.flat().join(''), 'latin1'));
    }
    case 3:
      return damage(random, pick(random, files));
    case 4:
      return restructure(random, pick(random, files), certificates);
    case 5:
      return Buffer.concat([Buffer.from([0x30, 0x82]), noise(random, random(300))]);
    default:
      return restructure(random, der, certificates);
  }
}
