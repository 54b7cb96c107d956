import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Reading } from '../../../src/bundle/types.ts';
import { openSources } from '../../../src/sources/sources.ts';
import { temporaryDirectory } from '../support/directories.ts';
import { sleep } from '../support/sleep.ts';

const ofObject: Reading = { files: [{ source: 'secret ns/bundle:a', bytes: Buffer.from('object') }], findings: [] };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A mount with one file, and an API server that answers when it is told to. */
function opened() {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'a.crt'), 'mount');
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let reading: Reading | undefined;
  let trouble: string | undefined;
  const changed = vi.fn();
  const stop = new AbortController();
  const secret = {
    source: 'secret ns/bundle',
    reading: () => reading,
    trouble: () => trouble,
    answered: promise,
    follow: (signal: AbortSignal) =>
      new Promise<void>((end) => {
        signal.addEventListener('abort', () => {
          end();
        });
      }),
  };
  const sources = openSources([directory], { secret, sleep, changed });
  return {
    directory,
    sources,
    changed,
    stop,
    answer: (said = ofObject) => {
      reading = said;
      resolve(undefined);
    },
    fail: (line: string) => {
      trouble = line;
    },
  };
}

const texts = (readings: readonly Reading[]): readonly string[] =>
  readings.flatMap(({ files }) => files.map(({ bytes }) => String(bytes)));

describe('without a fast source', () => {
  it('the mounted paths are the bundle, at once', async () => {
    const { directory } = opened();
    const sources = openSources([directory]);
    await sources.settled(new AbortController().signal);
    expect(texts(sources.read())).toEqual(['mount']);
    expect(sources.read()[0]).not.toHaveProperty('provisional');
    expect(sources.paths()).toEqual([directory]);
    await sources.follow(new AbortController().signal);
  });
});

describe('with a fast source', () => {
  it('the mount stands in until the API server has answered, and what it holds is only added', () => {
    const { sources, directory } = opened();
    expect(texts(sources.read())).toEqual(['mount']);
    expect(sources.read()[0]?.provisional).toMatchObject({
      soon: true,
      why: 'secret ns/bundle has not been read through the API server yet: what is mounted is installed, nothing is removed',
    });
    expect(sources.paths()).toEqual([directory]);
  });

  it('the object holds when it cannot be read any more, and says so', () => {
    const { sources, answer, fail } = opened();
    answer();
    fail('secret ns/bundle cannot be read: 403');
    expect(sources.read()).toEqual([
      { ...ofObject, stale: expect.stringMatching(/^what was read .* holds, .*403$/) as string },
    ]);
  });

  it('the object holds from its first answer on, and the mount does not matter any more', () => {
    const { sources, answer, directory } = opened();
    answer();
    writeFileSync(join(directory, 'b.crt'), 'newer than the object');
    expect(sources.read()).toEqual([ofObject]);
    expect(sources.paths()).toEqual([]);
  });

  it('a Secret that does not exist holds too: no mount that lags brings it back', () => {
    const { sources, answer } = opened();
    const missing: Reading = { files: [], findings: [{ code: 'empty', severity: 'error', source: 's', message: 'm' }] };
    answer(missing);
    expect(sources.read()).toEqual([missing]);
  });

  it('the agent stops waiting after ten seconds, and looks again then', async () => {
    const { sources, changed, stop } = opened();
    const following = sources.follow(stop.signal);
    await vi.advanceTimersByTimeAsync(9_999);
    expect([sources.read()[0]?.provisional?.soon, changed.mock.calls.length]).toEqual([true, 0]);
    await vi.advanceTimersByTimeAsync(1);
    expect([sources.read()[0]?.provisional?.soon, changed.mock.calls.length]).toEqual([false, 1]);
    stop.abort();
    await following;
  });

  it('has nothing to look at again when the answer came in time', async () => {
    const { sources, changed, stop, answer } = opened();
    const following = sources.follow(stop.signal);
    answer();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(changed).not.toHaveBeenCalled();
    stop.abort();
    await following;
  });

  it('the first pass waits for the answer, and for a second at most', async () => {
    for (const isAnswered of [true, false]) {
      const { sources, stop, answer } = opened();
      let isSettled = false;
      const settling = sources.settled(stop.signal).then(() => (isSettled = true));
      await vi.advanceTimersByTimeAsync(500);
      expect(isSettled).toBe(false);
      if (isAnswered) answer();
      else await vi.advanceTimersByTimeAsync(500);
      await settling;
    }
  });

  it('ends while it waits', async () => {
    const { sources, stop, changed } = opened();
    const both = Promise.all([sources.settled(stop.signal), sources.follow(stop.signal)]);
    stop.abort();
    await both;
    expect([vi.getTimerCount(), changed.mock.calls.length]).toEqual([0, 0]);
  });
});
