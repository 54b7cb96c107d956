import { describe, expect, it } from 'vitest';
import { type Lag, openLag } from '../../../src/report/lag.ts';

const proven = (digest: string) => ({ digest, converged: true });
const failed = (digest: string) => ({ digest, converged: false });

/** An agent that has started with the bundle `a`. */
function started(): Lag {
  const lag = openLag();
  expect(lag(proven('a'), undefined, 50)).toBeUndefined();
  return lag;
}

describe('the lag of a changed bundle', () => {
  it('is from its arrival to its proof, once', () => {
    const lag = started();
    expect(lag(proven('b'), 1_000, 3_500)).toBe(2_500);
    expect(lag(proven('b'), 4_000, 5_000)).toBeUndefined();
  });

  it('goes on while the host is not proven, whatever brings the passes', () => {
    const lag = started();
    expect(lag(failed('b'), 1_000, 2_000)).toBeUndefined();
    expect(lag(failed('b'), 2_500, 3_000)).toBeUndefined();
    expect(lag(proven('b'), undefined, 9_000)).toBe(8_000);
  });

  it('begins anew with a bundle that overtakes it', () => {
    const lag = started();
    lag(failed('b'), 1_000, 2_000);
    expect(lag(proven('c'), 5_000, 6_000)).toBe(1_000);
  });

  it('is not known of a change that nobody told of, nor of what an agent starts with', () => {
    const lag = started();
    expect(lag(proven('b'), undefined, 2_000)).toBeUndefined();
    expect(openLag()(proven('a'), 10, 20)).toBeUndefined();
  });
});
