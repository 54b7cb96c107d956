import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { Api, ApiRequest } from '../../../src/api/api.ts';
import { withPatience } from '../../../src/api/patience.ts';
import { Refusal } from '../../../src/api/refusal.ts';

const denied = new Refusal(403, 'forbidden');

/** A server that refuses so often, one request after the other, and then permits all. */
function opened(refusals: number, refusal: Error = denied) {
  const count = { asked: 0, waitedMs: 0, left: refusals };
  const answer = <T>(given: T): Promise<T> => {
    count.asked += 1;
    count.left -= 1;
    return count.left < 0 ? Promise.resolve(given) : Promise.reject(refusal);
  };
  const sleep = (ms: number, signal: AbortSignal | undefined): Promise<void> => {
    count.waitedMs += ms;
    return signal?.aborted === true ? Promise.reject(new Error('aborted')) : Promise.resolve();
  };
  const plain: Api = { ask: () => answer('yes'), follow: () => answer(Readable.from([])) };
  return { api: withPatience(plain, sleep), count };
}

const node: ApiRequest = { path: '/api/v1/nodes/one' };
const patch: ApiRequest = { ...node, method: 'PATCH' };

describe('a refusal', () => {
  it('of an API server that has just started is none', async () => {
    const { api, count } = opened(3);
    expect(await api.ask(node)).toBe('yes');
    expect(count.waitedMs).toBeGreaterThan(1_500);
  });

  it('of a watch likewise', async () => {
    const { api } = opened(3);
    const { signal } = new AbortController();
    await expect(api.follow({ path: '/x', silenceMs: 1, signal })).resolves.toBeDefined();
  });

  it('is believed after some seconds, and from then on at once, until it is permitted', async () => {
    const { api, count } = opened(9);
    await expect(api.ask(node)).rejects.toBe(denied);
    const { asked, waitedMs } = count;
    expect(waitedMs).toBeGreaterThan(3_000);
    expect(waitedMs).toBeLessThan(5_000);
    await expect(api.ask(node)).rejects.toBe(denied);
    expect(count).toMatchObject({ asked: asked + 1, waitedMs });
    // Another verb is another permission.
    count.left = 1;
    expect(await api.ask(patch)).toBe('yes');
    expect(await api.ask(node)).toBe('yes');
    count.left = 1;
    expect(await api.ask(node)).toBe('yes');
  });

  it.each([new Refusal(401, ''), new Refusal(404, ''), new Refusal(503, ''), new Error('connect ECONNREFUSED')])(
    'is no other failure: %s',
    async (failure) => {
      const { api, count } = opened(1, failure);
      await expect(api.ask(node)).rejects.toBe(failure);
      expect(count.waitedMs).toBe(0);
    },
  );

  it('is waited for no longer than one wants to', async () => {
    const { api, count } = opened(9);
    await expect(api.ask({ ...node, signal: AbortSignal.abort() })).rejects.toThrow('aborted');
    expect(count.asked).toBe(1);
  });
});
