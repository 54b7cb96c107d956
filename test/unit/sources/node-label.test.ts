import { afterEach, describe, expect, it, vi } from 'vitest';
import { readEnabled, readLabels } from '../../../src/sources/node-label.ts';

const label = { key: 'node-ca-trust.io/enabled', value: 'true' };
const wanted = 'node-ca-trust.io/enabled=true';

const withLabels = (labels: Readonly<Record<string, string>>) =>
  readEnabled('node-1', [label], () => Promise.resolve(labels));
const failing = (error: unknown) =>
  readEnabled('node-1', [label], () => {
    throw error;
  });

afterEach(() => {
  vi.useRealTimers();
});

describe('readEnabled', () => {
  it('asks for the own Node', async () => {
    const read = vi.fn(() => Promise.resolve({}));
    await readEnabled('node-1', [label], read);
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
    const read = (borne: Readonly<Record<string, string>>) => () => Promise.resolve(borne);
    expect(await readEnabled('node-1', labels, read({ [label.key]: 'true' }))).toMatchObject({ enabled: true });
    expect(await readEnabled('node-1', labels, read({ 'example.com/pool': 'b' }))).toEqual({
      enabled: false,
      why: `the Node does not bear example.com/pool=a or ${wanted} any more`,
    });
  });

  it.each([401, 403, 404, 500, 503])('keeps what is installed when the API server answers %i', async (code) => {
    const answer = await failing(Object.assign(new Error('HTTP request failed\nbody'), { code }));
    expect(answer).toEqual({
      enabled: true,
      why: `whether the Node bears ${wanted} is unknown: the API server answered ${code}`,
    });
  });

  it.each([
    ['the network is down', Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }), /ECONNREFUSED/],
    ['there is no service account', new Error('ENOENT: token'), /token/],
    ['something else was thrown', 'odd', /odd/],
  ])('keeps what is installed when %s', async (_, error, why) => {
    expect(await failing(error)).toEqual({ enabled: true, why: expect.stringMatching(why) as unknown });
  });

  it('keeps what is installed when no answer comes', async () => {
    vi.useFakeTimers();
    const waiting = readEnabled('node-1', [label], () => new Promise(() => undefined));
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
    expect(await readEnabled('node-1', [label], readLabels)).toMatchObject({ enabled: true });
    vi.unstubAllEnvs();
  });
});
