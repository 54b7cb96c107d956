import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type ClusterStatus, statusOf } from '../../../src/commands/status-lines.ts';
import { statusTable, summaryOf } from '../../../src/commands/status-table.ts';
import { digests, nodeFacts, nodeObject, podFacts, podObject, trustOf } from '../support/cluster-objects.ts';
import { Capture } from '../support/streams.ts';

const now = new Date('2026-11-24T00:05:22Z');
const piped = new Capture(false);
const terminal = new Capture(true, 160);

/** The status of a cluster of one node with that in its annotation. */
function withTrust(trust: Readonly<Record<string, unknown>>): ClusterStatus {
  const nodes = nodeFacts([nodeObject('n', { trust: trustOf(trust) })]);
  return statusOf(nodes, podFacts([podObject('n')]), { instance: 'default' });
}

function tableOf(status: ClusterStatus, isWide = false): readonly (readonly string[])[] {
  const text = statusTable(status, piped, now, { isWide });
  return text.split('\n').map((line) => line.split('\t'));
}

const cellOf = (status: ClusterStatus, column: string, isWide = false): string | undefined => {
  const [head, row] = tableOf(status, isWide);
  return row?.[head?.indexOf(column) ?? -1];
};

describe('a table of the cluster', () => {
  it('has a line for each node, its fields separated by tabs, and a line that sums it up', () => {
    const nodes = [
      nodeObject('a'),
      nodeObject('b', { labels: {} }),
      nodeObject('c', { trust: undefined, condition: undefined }),
    ];
    const status = statusOf(nodeFacts(nodes), podFacts([podObject('a')]), { instance: 'default' });
    expect(tableOf(status)).toEqual([
      ['NODE', 'READY', 'ANCHORS', 'DIGEST', 'EXPIRES', 'RUNTIME', 'AGE', 'REASON'],
      ['c', 'no', '-', '-', '-', '-', '-', expect.stringMatching(/^no pod of the agent/) as string],
      ['b', 'leftover', '2', '111111111111', '3649 d', 'trusts', '2h', expect.stringMatching(/unlabel it$/) as string],
      ['a', 'yes', '2', '111111111111', '3649 d', 'trusts', '2h', ''],
      [''],
      ['1 of 2 nodes have proven 111111111111; 1 not ready; 1 leftover'],
      [''],
    ]);
  });

  it('says more when it is wide', () => {
    const status = withTrust({ version: '1.2.3' });
    expect(['VERSION', 'POD', 'RESTARTS'].map((column) => cellOf(status, column, true))).toEqual([
      '1.2.3',
      'node-ca-trust/agent-n',
      '0',
    ]);
  });

  it.each([
    ['2026-11-24T00:05:22.000Z', '0s', ''],
    ['2026-11-24T00:03:30.000Z', '112s', ''],
    ['2026-11-23T22:30:00.000Z', '95m', ''],
    ['2026-11-22T12:05:22.000Z', '36h', ''],
    ['2026-11-01T00:05:22.000Z', '23d', ''],
    ['2026-11-24T00:06:22.000Z', '0s', ''],
    ['2026-11-24T23:05:22.000Z', '0s', "its clock is ahead of this machine's by 23h"],
  ])('shows how old a proof of %s is', (proven, age, reason) => {
    const status = withTrust({ proven });
    expect([cellOf(status, 'AGE'), cellOf(status, 'REASON')]).toEqual([age, reason]);
  });

  it('is the summary alone when there is no node', () => {
    const status = statusOf([], [], { instance: 'default' });
    expect(statusTable(status, piped, now, { isWide: false })).toBe('no node bears the label\n');
  });
});

describe('a table on a terminal', () => {
  const colourOf = (status: ClusterStatus, word: string): string | undefined =>
    new RegExp(`\u001b\\[(\\d+)m${word}`).exec(statusTable(status, terminal, now, { isWide: false }))?.[1];
  const [red, green, yellow] = ['31', '32', '33'];

  it.each([
    ['trusts', 'trusts', green],
    ['revoked-after-restart', 'revoked-after-restart', yellow],
    ['restart-needed', 'restart-needed', red],
  ])('shows how the runtimes are: %s', (runtime, word, colour) => {
    expect(colourOf(withTrust({ runtime }), word)).toBe(colour);
  });

  it.each([
    ['2026-12-01T00:00:00.000Z', '6 d', yellow],
    ['2026-11-01T00:00:00.000Z', 'expired 24 d ago', red],
  ])('warns of an anchor that expires on %s', (expires, word, colour) => {
    expect(colourOf(withTrust({ expires }), word)).toBe(colour);
  });

  it('has no line that is wider than it', () => {
    const condition = { status: 'False', reason: 'Refused', message: 'very long words '.repeat(30) };
    const status = statusOf(nodeFacts([nodeObject('n', { condition })]), podFacts([podObject('n')]), {
      instance: 'default',
    });
    const text = stripVTControlCharacters(statusTable(status, new Capture(true, 100), now, { isWide: true }));
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });

  it('has as many lines as there is room for, the first ones, and the summary', () => {
    const names = Array.from({ length: 50 }, (_, index) => `node-${index + 10}`);
    const status = statusOf(
      nodeFacts(names.map((name) => nodeObject(name))),
      podFacts(names.map((name) => podObject(name))),
      { instance: 'default' },
    );
    const lines = stripVTControlCharacters(statusTable(status, terminal, now, { isWide: false, height: 12 })).split(
      '\n',
    );
    expect(lines.length).toBeLessThanOrEqual(12);
    expect(lines[1]).toMatch(/^node-10 /);
    expect(lines.at(-2)).toBe('50 of 50 nodes have proven 111111111111');
    expect(lines).toContain('... (more below)');
  });
});

describe('the summary', () => {
  const status: ClusterStatus = {
    converged: true,
    instance: 'default',
    digest: digests.one,
    enabled: 1,
    proven: 1,
    leftovers: 0,
    nodes: [],
  };
  it.each<[Partial<ClusterStatus>, string]>([
    [{}, '1 of 1 node has proven 111111111111'],
    [{ enabled: 5, proven: 4, leftovers: 2 }, '4 of 5 nodes have proven 111111111111; 2 leftovers'],
    [{ digest: undefined, proven: 0, enabled: 2 }, '0 of 2 nodes have proven a bundle'],
    [{ enabled: 0, proven: 0, leftovers: 1 }, 'no node bears the label; 1 leftover'],
  ])('of %j', (changed, text) => {
    expect(summaryOf({ ...status, ...changed })).toBe(text);
  });
});
