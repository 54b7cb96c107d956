// How much is tried: all of it by NODE_CA_TRUST_FULL=1, else a sample that the seed chooses.

export const isFull = process.env['NODE_CA_TRUST_FULL'] === '1';

/** So many of them, in their order. */
export function sample<T>(all: readonly T[], count: number, random: () => number): readonly T[] {
  const places = all.map((_, index) => ({ index, draw: random() })).sort((a, b) => a.draw - b.draw);
  const chosen = new Set(places.slice(0, count).map(({ index }) => index));
  return all.filter((_, index) => chosen.has(index));
}

/** All faults in a full run; else so many kills and so many errors. */
export function choose<T>(
  all: readonly T[],
  isKill: (one: T) => boolean,
  count: number,
  random: () => number,
): readonly T[] {
  if (isFull) return all;
  const errors = all.filter((one) => !isKill(one));
  return [...sample(all.filter(isKill), count, random), ...sample(errors, count, random)];
}

export function anyOf<T>(all: readonly [T, ...T[]], random: () => number): T {
  return all[Math.floor(random() * all.length)] ?? all[0];
}
