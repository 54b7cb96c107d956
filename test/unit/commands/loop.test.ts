import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Alarm } from '../../../src/commands/clock.ts';
import { type Loop, type PassEnd, type Pacing, openLoop, pause } from '../../../src/commands/loop.ts';
import { parseDuration } from '../../../src/commands/values.ts';

const pacing: Pacing = { foldMs: 150, resyncMs: 600_000, retryMs: 1_000, longestRetryMs: 60_000, recheckMs: 5_000 };
const idle: PassEnd = { converged: true, changed: false, failedHalfWay: false };
const changed: PassEnd = { converged: true, changed: true, failedHalfWay: false };
const failed: PassEnd = { converged: false, changed: false, failedHalfWay: false };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const advance = async (ms: number): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
};

/** The faked time of the process. */
const clock: Alarm = {
  now: () => Date.now(),
  steady: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      const end = (): void => {
        clearTimeout(timer);
        resolve();
      };
      if (signal?.aborted === true) end();
      signal?.addEventListener('abort', end);
    }),
};

interface Started {
  readonly loop: Loop;
  readonly running: Promise<void>;
  /** When each pass began, in milliseconds since the start. */
  readonly passes: readonly number[];
}

/** A running loop whose passes take no time, and end as `ends` says; without jitter. */
function start(ends: (count: number) => PassEnd | Promise<PassEnd>, random = 0.5): Started {
  const loop = openLoop(pacing, clock, () => random);
  const passes: number[] = [];
  const from = Date.now();
  const running = loop.run(async () => {
    passes.push(Date.now() - from);
    return ends(passes.length);
  });
  return { loop, running, passes };
}

/** A pass that ends when it is told to. */
function heldPass(): { pass: () => Promise<PassEnd>; end(how: PassEnd): void } {
  let finish: (how: PassEnd) => void = () => undefined;
  return {
    pass: () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
    end: (how) => {
      finish(how);
    },
  };
}

describe('the loop', () => {
  it('makes its first pass at once', async () => {
    const { passes } = start(() => idle);
    await advance(0);
    expect(passes).toEqual([0]);
  });

  it('makes one at each resync when nothing happens, and none in between', async () => {
    const { passes } = start(() => idle);
    await advance(599_999);
    expect(passes).toHaveLength(1);
    await advance(1_200_100);
    expect(passes).toEqual([0, 600_000, 1_200_000, 1_800_000]);
  });

  it('waits for nothing more when what changed came whole, unless something else came first', async () => {
    const { loop, passes } = start(() => idle);
    await advance(1_000);
    loop.trigger('whole');
    await advance(0);
    expect(passes).toEqual([0, 1_000]);
    loop.trigger('part');
    loop.trigger('whole');
    await advance(149);
    expect(passes).toHaveLength(2);
    await advance(1);
    expect(passes).toEqual([0, 1_000, 1_150]);
  });

  it('tells a pass since when something is not as the last one saw it', async () => {
    const loop = openLoop(pacing, clock, () => 0.5);
    const from = Date.now();
    const told: (number | undefined)[] = [];
    const held = heldPass();
    void loop.run((askedAt) => {
      told.push(askedAt === undefined ? undefined : askedAt - from);
      return told.length === 2 ? held.pass() : Promise.resolve(idle);
    });
    await advance(1_000);
    loop.trigger('part');
    await advance(100);
    loop.trigger('part');
    await advance(100);
    // While the second pass is under way: it has read already.
    loop.trigger('part');
    await advance(1_000);
    held.end(idle);
    await advance(1_000_000);
    expect(told.slice(0, 4)).toEqual([undefined, 1_000, 1_200, undefined]);
    void loop.stop();
    await advance(1_000);
  });

  it('folds triggers that come close together into one pass', async () => {
    const { loop, passes } = start(() => idle);
    await advance(1_000);
    for (let count = 0; count < 50; count += 1) {
      loop.trigger('part');
      await advance(2);
    }
    await advance(1_000);
    expect(passes).toEqual([0, 1_150]);
  });

  it('answers a trigger soon', async () => {
    const { loop, passes } = start(() => idle);
    await advance(300_000);
    loop.trigger('part');
    await advance(150);
    expect(passes).toEqual([0, 300_150]);
  });

  it('makes exactly one more when triggers come during a pass', async () => {
    const held = heldPass();
    let first = true;
    const { loop, passes } = start(() => {
      if (!first) return idle;
      first = false;
      return held.pass();
    });
    await advance(1_000);
    loop.trigger('part');
    loop.trigger('part');
    await advance(10_000);
    expect(passes).toHaveLength(1);
    held.end(idle);
    await advance(100_000);
    expect(passes).toEqual([0, 11_150]);
  });

  it('never makes two at a time', async () => {
    let under = 0;
    let most = 0;
    const { loop } = start(async () => {
      under += 1;
      most = Math.max(most, under);
      await new Promise((resolve) => setTimeout(resolve, 500));
      under -= 1;
      return changed;
    });
    for (let count = 0; count < 200; count += 1) {
      loop.trigger('part');
      await advance(37);
    }
    expect(most).toBe(1);
  });

  it('tries again after a failure, ever less often', async () => {
    const { passes } = start(() => failed);
    await advance(400_000);
    const gaps = passes.slice(1).map((at, index) => at - (passes[index] ?? 0));
    expect(gaps.slice(0, 9)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  it('begins anew with its patience after a success', async () => {
    const ends = [failed, failed, failed, idle, failed, failed];
    const { loop, passes } = start((count) => ends[count - 1] ?? idle);
    await advance(8_000);
    expect(passes).toEqual([0, 1_000, 3_000, 7_000]);
    loop.trigger('part');
    await advance(5_000);
    expect(passes.slice(4)).toEqual([8_150, 9_150, 11_150]);
  });

  it('answers a trigger while it waits after a failure', async () => {
    const { loop, passes } = start((count) => (count < 8 ? failed : idle));
    await advance(64_000);
    loop.trigger('part');
    await advance(150);
    expect(passes.at(-1)).toBe(64_150);
  });

  it('answers drift at once after any other failure', async () => {
    const { loop, passes } = start((count) => (count < 8 ? failed : idle));
    await advance(64_000);
    loop.trigger('drift');
    await advance(150);
    expect(passes.at(-1)).toBe(64_150);
  });

  it('keeps its patience when a pass failed half-way, as its own writes look like drift', async () => {
    let retrigger = (): void => undefined;
    const { loop, passes } = start(() => {
      retrigger();
      return { converged: false, changed: true, failedHalfWay: true };
    });
    retrigger = () => {
      loop.trigger('drift');
    };
    for (let count = 0; count < 300; count += 1) {
      loop.trigger('drift');
      await advance(100);
    }
    expect(passes).toEqual([0, 1_000, 3_000, 7_000, 15_000]);
    loop.trigger('part');
    await advance(150);
    expect(passes.at(-1)).toBe(30_150);
  });

  it('looks again a little after a change', async () => {
    const { passes } = start((count) => (count === 1 ? changed : idle));
    await advance(100_000);
    expect(passes).toEqual([0, 5_000]);
  });

  it('looks again a little after a change, whatever its own writes bring before', async () => {
    const { loop, passes } = start((count) => (count === 1 ? changed : idle));
    loop.trigger('part');
    await advance(1_000);
    loop.trigger('part');
    await advance(100_000);
    expect(passes).toEqual([0, 150, 1_150, 5_000]);
  });

  it('looks again a little after the last of several changes', async () => {
    const { loop, passes } = start((count) => (count < 3 ? changed : idle));
    await advance(2_000);
    loop.trigger('part');
    await advance(100_000);
    expect(passes).toEqual([0, 2_150, 7_150]);
  });

  it('looks again a little after a change, though passes fail meanwhile', async () => {
    const { loop, passes } = start((count) => (count === 1 ? changed : failed));
    loop.trigger('part');
    await advance(9_000);
    expect(passes).toEqual([0, 150, 1_150, 3_150, 5_000]);
  });

  it('stops at once while it waits', async () => {
    const { loop, running, passes } = start(() => idle);
    await advance(1_000);
    await loop.stop();
    await running;
    await advance(2_000_000);
    expect(passes).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lets the pass under way end, and makes no other', async () => {
    const held = heldPass();
    const { loop, running, passes } = start(() => held.pass());
    await advance(0);
    let stopped = false;
    const stopping = loop.stop().then(() => {
      stopped = true;
    });
    loop.trigger('part');
    await advance(100_000);
    expect(stopped).toBe(false);
    held.end(changed);
    await advance(1_000);
    await Promise.all([stopping, running]);
    expect(passes).toHaveLength(1);
  });

  it('stops before its first pass', async () => {
    const loop = openLoop(pacing, clock, () => 0.5);
    await loop.stop();
    const pass = vi.fn(() => Promise.resolve(idle));
    await loop.run(pass);
    expect(pass).not.toHaveBeenCalled();
  });

  it('answers a trigger that came before it ran with its first pass', async () => {
    const loop = openLoop(pacing, clock, () => 0.5);
    loop.trigger('part');
    const pass = vi.fn(() => Promise.resolve(idle));
    void loop.run(pass);
    await advance(10_000);
    expect(pass).toHaveBeenCalledOnce();
  });
});

describe('pause', () => {
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  it('keeps within a tenth of the interval, so that nodes do not march in step', () => {
    fc.assert(
      fc.property(random, (value) => {
        const wait = pause(pacing, idle, 0, () => value);
        expect(wait).toBeGreaterThanOrEqual(540_000);
        expect(wait).toBeLessThanOrEqual(660_000);
      }),
    );
    expect(pause(pacing, idle, 0, () => 0)).not.toBe(pause(pacing, idle, 0, () => 0.9));
  });

  it('keeps to a resync that is shorter than the wait after a change', () => {
    expect(pause({ ...pacing, resyncMs: 1_000 }, changed, 0, () => 0.5)).toBe(1_000);
  });

  it('never waits longer than a timer can, which would then not wait at all', () => {
    const longest = Array.from({ length: 40 }, (_, days) => `${days + 1}d`).filter((text) => {
      try {
        return parseDuration(text) > 0;
      } catch {
        return false;
      }
    });
    const resyncMs = parseDuration(longest.at(-1) ?? '');
    expect(pause({ ...pacing, resyncMs }, idle, 0, () => 0.999)).toBeLessThan(2 ** 31);
  });

  it('never waits longer than a tenth above its cap, nor less than its first retry less a tenth', () => {
    fc.assert(
      fc.property(random, fc.integer({ min: 1, max: 1_000_000 }), (value, failures) => {
        const wait = pause(pacing, failed, failures, () => value);
        expect(wait).toBeGreaterThanOrEqual(900);
        expect(wait).toBeLessThanOrEqual(66_000);
      }),
    );
  });
});
