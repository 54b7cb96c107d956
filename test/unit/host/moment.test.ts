import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { later, momentOf, readMoment } from '../../../src/host/moment.ts';
import { emptyHost } from '../support/directories.ts';
import { setUptime } from '../support/runtime.ts';

describe('a moment', () => {
  it('is the boot and the seconds since', () => {
    const host = emptyHost();
    setUptime(host.root, 4242.17, 'e36cd8ca-0f4e-4a83-bd5c-0f7bd4d0e35f');
    expect(readMoment(host)).toEqual({ boot: 'e36cd8ca-0f4e-4a83-bd5c-0f7bd4d0e35f', seconds: 4242.17 });
  });

  it('is not to be had where /proc is not to be seen', () => {
    const host = emptyHost();
    expect(readMoment(host)).toBeUndefined();
    mkdirSync(join(host.root, 'proc'));
    expect(readMoment(host)).toBeUndefined();
  });

  it('comes of the time of a file, never earlier than that can have been', () => {
    const now = { boot: 'this', seconds: 100 };
    const at = (ageMs: number): number => momentOf(now, 1_800_000_000_000, 1_800_000_000_000 - ageMs).seconds;
    expect(at(40_000)).toBeCloseTo(60.02);
    expect([at(0), at(-1), at(Number.NEGATIVE_INFINITY)]).toEqual([100, 100, 100]);
    expect([at(100_030), at(1e12)]).toEqual([0, 0]);
  });

  it('is later than another of the same run of the machine, or counts for nothing', () => {
    const [early, late] = [
      { boot: 'this', seconds: 1 },
      { boot: 'this', seconds: 2 },
    ];
    expect([later(early, late), later(late, early)]).toEqual([late, late]);
    expect([later(undefined, early), later({ boot: 'that', seconds: 3 }, early)]).toEqual([early, early]);
  });
});
