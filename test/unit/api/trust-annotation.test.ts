import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { namesOf, readTrust, writeTrust } from '../../../src/api/trust-annotation.ts';

const trust = {
  digest: 'a'.repeat(64),
  anchors: 2,
  expires: '2036-11-20T22:05:22.000Z',
  runtime: 'trusts',
  version: '0.1.0',
  proven: '2026-11-23T22:05:22.000Z',
};

describe('the names on a Node', () => {
  it("carry the instance's, condition and taint unless it is the default", () => {
    expect(namesOf('default')).toEqual({
      condition: 'CATrustReady',
      annotation: 'node-ca-trust.io/default',
      taint: 'node-ca-trust.io/not-ready',
    });
    expect(namesOf('lab')).toEqual({
      condition: 'CATrustReady-lab',
      annotation: 'node-ca-trust.io/lab',
      taint: 'node-ca-trust.io/not-ready-lab',
    });
  });
});

describe('the annotation', () => {
  it('is read as an agent writes it, and as a newer one might', () => {
    const { proven: at, ...proof } = trust;
    // In this order: scripts may not care, but what is compared as text does.
    expect(writeTrust(proof, at)).toBe(JSON.stringify(trust));
    expect(Object.keys(readTrust(writeTrust(proof, at)) ?? {})).toEqual(Object.keys(trust));
    expect(readTrust(writeTrust(proof, at))).toEqual(trust);
    expect(readTrust(JSON.stringify({ ...trust, later: { more: 1 } }))).toEqual(trust);
    const { digest, anchors, version, proven } = trust;
    const least = { digest, anchors, version, proven };
    expect(readTrust(JSON.stringify(least))).toEqual(least);
  });

  it.each([
    ['no JSON', '{'],
    ['something else', '[]'],
    ['null', 'null'],
    ['a digest that is none', JSON.stringify({ ...trust, digest: 'A'.repeat(64) })],
    ['no digest', JSON.stringify({ ...trust, digest: undefined })],
    ['half an anchor', JSON.stringify({ ...trust, anchors: 0.5 })],
    ['a date that is none', JSON.stringify({ ...trust, expires: 'tomorrow' })],
    ['no date of the proof', JSON.stringify({ ...trust, proven: undefined })],
    ['an escape', JSON.stringify({ ...trust, runtime: '\u001b[2J' })],
    ['a version without end', JSON.stringify({ ...trust, version: '1'.repeat(65) })],
    ['more than any agent writes', JSON.stringify({ ...trust, more: 'x'.repeat(5_000) })],
  ])('with %s is not read', (_, text) => {
    expect(readTrust(text)).toBeUndefined();
  });

  it('never throws, whatever it holds', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(readTrust(text)).toBeUndefined();
      }),
    );
  });
});
