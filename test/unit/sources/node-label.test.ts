import { afterEach, describe, expect, it, vi } from 'vitest';
import { Refusal } from '../../../src/api/refusal.ts';
import { readEnabled, readLabels } from '../../../src/sources/node-label.ts';

const label = { key: 'node-ca-trust.io/enabled', value: 'true' };
const wanted = 'node-ca-trust.io/enabled=true';

const noTime = (): Promise<void> => Promise.resolve();
const asking = (read: (name: string) => Promise<Readonly<Record<string, string>>>, labels = [label]) =>
  readEnabled('node-1', labels, read, noTime);
const withLabels = (labels: Readonly<Record<string, string>>) => asking(() => Promise.resolve(labels));
const failing = (error: unknown) =>
  asking(() => {
    throw error;
  });
const brokenOff = (code: string): Error => Object.assign(new Error(`connect ${code}`), { code });

afterEach(() => {
  vi.useRealTimers();
});

describe('readEnabled', () => {
  it('asks for the own Node', async () => {
    const read = vi.fn(() => Promise.resolve({}));
    await asking(read);
    expect(read.mock.calls).toEqual([['node-1']]);
  });

  it('says yes when the Node bears the label', async () => {
    expect(await withLabels({ [label.key]: 'true', other: 'x' })).toEqual({
      enabled: true,
      why: `the Node bears ${wanted}`,
    });
  });

  it.each([
    ['has no label', {}],
    ['bears another value', { [label.key]: 'false' }],
    ['bears an empty value', { [label.key]: '' }],
    ['bears another key', { 'node-ca-trust.io/other': 'true' }],
  ])('says no when the Node %s', async (_, labels) => {
    expect(await withLabels(labels)).toEqual({
      enabled: false,
      why: `the Node does not bear ${wanted} any more`,
    });
  });

  it('says yes while the Node bears one of several labels, and names all when it bears none', async () => {
    const labels = [{ key: 'example.com/pool', value: 'a' }, label];
    const bears = (borne: Readonly<Record<string, string>>) => asking(() => Promise.resolve(borne), labels);
    expect(await bears({ [label.key]: 'true' })).toMatchObject({ enabled: true });
    expect(await bears({ 'example.com/pool': 'b' })).toEqual({
      enabled: false,
      why: `the Node does not bear example.com/pool=a or ${wanted} any more`,
    });
  });

  it.each([401, 403, 404, 500, 503])('keeps what is installed when the API server answers %i', async (code) => {
    const answer = await failing(new Refusal(code, ''));
    expect(answer).toEqual({
      enabled: true,
      why: `whether the Node bears ${wanted} is unknown: the API server answered ${code}`,
    });
  });

  it.each([
    ['the network is down', brokenOff('ECONNREFUSED'), /ECONNREFUSED/],
    ['there is no service account', new Error('ENOENT: token'), /token/],
    ['something else was thrown', 'odd', /odd/],
  ])('keeps what is installed when %s', async (_, error, why) => {
    expect(await failing(error)).toEqual({ enabled: true, why: expect.stringMatching(why) as unknown });
  });

  it.each([
    ['a connection that is broken off', brokenOff('ECONNRESET')],
    ['a server that has too much to do', new Refusal(429, '')],
    ['a server that is being replaced', new Refusal(503, '')],
  ])('asks again after %s: the next answer counts', async (_, error) => {
    const read = vi.fn(() => Promise.resolve({}));
    read.mockRejectedValueOnce(error);
    expect(await asking(read)).toMatchObject({ enabled: false });
    expect(read).toHaveBeenCalledTimes(2);
  });

  it.each([401, 403, 404])('takes %i for an answer, and does not ask again', async (code) => {
    const read = vi.fn(() => Promise.reject(new Refusal(code, '')));
    expect(await asking(read)).toMatchObject({ enabled: true });
    expect(read).toHaveBeenCalledTimes(1);
  });

  it('keeps what is installed when no answer comes', async () => {
    vi.useFakeTimers();
    const waiting = asking(() => new Promise(() => undefined));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await waiting).toEqual({ enabled: true, why: expect.stringMatching(/no answer within \d+ s/) as unknown });
  });

  it('waits for nothing once it has the answer', async () => {
    vi.useFakeTimers();
    await withLabels({});
    expect(vi.getTimerCount()).toBe(0);
  });

  it('finds no API server off a cluster, and keeps what is installed', async () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', undefined);
    vi.stubEnv('KUBERNETES_SERVICE_PORT', undefined);
    expect(await asking(readLabels)).toMatchObject({ enabled: true });
    vi.unstubAllEnvs();
  });
});
