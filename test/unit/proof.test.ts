import { describe, expect, it } from 'vitest';
import type { Plan, Removal } from '../../src/plan.ts';
import { bundleNotes, bundleReasons, prove } from '../../src/proof.ts';
import type { StoreState, TrustStore } from '../../src/stores/store.ts';
import { anchorOf, bundleOf, findingOf } from './support/anchors.ts';

const ours = anchorOf('ours');
const gone = anchorOf('gone');
const nameOf = (fingerprint: string): string => `node-ca-trust-default-${fingerprint.slice(0, 16)}.crt`;
const bundle = '/etc/ssl/certs/ca-certificates.crt';

/** A store in which these files hold the removed certificate. */
const storeWith = (...holders: readonly string[]): TrustStore => ({
  family: 'debian',
  bundle,
  anchorDirectory: '/usr/local/share/ca-certificates',
  watched: [],
  requireTools: () => undefined,
  nameOf,
  observe: () => state(),
  change: () => Promise.reject(new Error('a proof changes nothing')),
  holders: () => new Map(holders.slice(0, 1).map((file) => [gone.fingerprint, file])),
});

const plan = (changed: Partial<Plan> = {}): Plan => ({
  wanted: [],
  required: (changed.wanted ?? []).map(({ fingerprint }) => fingerprint),
  add: [],
  remove: [],
  heldBack: [],
  clean: [],
  relink: [],
  refresh: [],
  present: [],
  announce: false,
  undated: [],
  forget: false,
  conflicts: [],
  strangers: [],
  ...changed,
});

const state = (changed: Partial<StoreState> = {}): StoreState => ({
  own: [],
  trusted: new Set(),
  problems: [],
  unlinked: new Set(),
  dangling: [],
  carriers: new Map(),
  leftovers: [],
  notes: [],
  ...changed,
});

const removal: Removal = { name: nameOf(gone.fingerprint), fingerprint: gone.fingerprint };
const removing = plan({ remove: [removal] });
const proven = { hostReasons: [], stillTrusted: [], finished: [] };
const removed = { ...proven, finished: [removal.name] };

describe('prove', () => {
  it('is content when each anchor is in the bundle and found by its hash', () => {
    expect(prove(storeWith(), plan({ wanted: [ours] }), state({ trusted: new Set([ours.fingerprint]) }))).toEqual(
      proven,
    );
  });

  it("names an anchor that is not in the host's bundle", () => {
    const [reason, ...more] = prove(storeWith(), plan({ wanted: [ours] }), state()).hostReasons;
    expect(reason).toContain(ours.fingerprint.slice(0, 16));
    expect(reason).toContain(ours.subject);
    expect(reason).toContain(bundle);
    expect(more).toEqual([]);
  });

  it('names an anchor that a look-up by hash does not find', () => {
    const found = state({ trusted: new Set([ours.fingerprint]), unlinked: new Set([ours.fingerprint]) });
    expect(prove(storeWith(), plan({ wanted: [ours] }), found).hostReasons).toEqual([
      expect.stringMatching(/CN=ours.*hash link/),
    ]);
  });

  it('is content when a removed certificate is trusted by no file', () => {
    expect(prove(storeWith(), removing, state())).toEqual(removed);
  });

  it('names the file of another that still carries a removed certificate, and is proven', () => {
    const other = '/usr/local/share/ca-certificates/by-hand.crt';
    const carried = state({ carriers: new Map([[gone.fingerprint, other]]), trusted: new Set([gone.fingerprint]) });
    expect(prove(storeWith(bundle), removing, carried)).toEqual({
      ...removed,
      stillTrusted: [{ fingerprint: gone.fingerprint, file: other }],
    });
  });

  it('names a file in the certificate directory that no source explains', () => {
    const other = '/etc/ssl/certs/by-hand.pem';
    expect(prove(storeWith(other), removing, state()).stillTrusted).toEqual([
      { fingerprint: gone.fingerprint, file: other },
    ]);
  });

  it('is not proven when a removed certificate came back and no file of another carries it', () => {
    const { hostReasons, stillTrusted } = prove(storeWith(bundle), removing, state());
    expect(hostReasons).toEqual([
      expect.stringMatching(/was removed but is still in \/etc\/ssl\/certs\/ca-certificates/),
    ]);
    expect(stillTrusted).toEqual([]);
  });

  it('is not proven by a copy beside the bundle, when the bundle itself holds it for no reason', () => {
    const trusted = state({ trusted: new Set([gone.fingerprint]) });
    const { hostReasons } = prove(storeWith('/etc/ssl/certs/a-copy.pem', bundle), removing, trusted);
    expect(hostReasons).toEqual([expect.stringContaining(bundle)]);
  });

  it('is not proven while a file that was removed is there', () => {
    const left = state({ own: [{ name: removal.name, content: 'altered' }] });
    expect(prove(storeWith(), removing, left).hostReasons).toEqual([
      `/usr/local/share/ca-certificates/${removal.name} on the host is still there`,
    ]);
  });

  it('asks nothing of a removal whose certificate is not known', () => {
    expect(prove(storeWith(bundle), plan({ remove: [{ name: 'x', fingerprint: undefined }] }), state())).toEqual({
      ...proven,
      finished: ['x'],
    });
  });

  const other: Removal = { name: 'other', fingerprint: ours.fingerprint };

  it.each<[string, StoreState]>([
    ['the file', state({ own: [{ name: other.name, content: 'altered' }] })],
    ['a link', state({ dangling: [other.name] })],
  ])('finishes a removal whatever else is not as decided, and none of which %s is left', (_, found) => {
    const both = plan({ remove: [removal, other], conflicts: ['a conflict'], wanted: [anchorOf('wanted')] });
    expect(prove(storeWith(), both, found).finished).toEqual([removal.name]);
  });

  it('finishes no removal of what came back, nor by a bundle that is broken', () => {
    expect(prove(storeWith(bundle), removing, state()).finished).toEqual([]);
    expect(prove(storeWith(), removing, state({ problems: ['the bundle is broken'] })).finished).toEqual([]);
  });

  it('passes on conflicts and what is wrong with the store', () => {
    const { hostReasons } = prove(storeWith(), plan({ conflicts: ['a conflict'] }), state({ problems: ['a problem'] }));
    expect(hostReasons).toEqual(['a conflict', 'a problem']);
  });
});

describe('bundleReasons', () => {
  it('has none for a bundle without errors', () => {
    const findings = [findingOf('warning', 'expired'), findingOf('info', 'duplicate')];
    expect(bundleReasons(bundleOf([ours], findings), 0)).toEqual([]);
  });

  it('says what is waited for as long as it may come, and only a note of it afterwards', () => {
    const bundle = (soon: boolean) => ({ ...bundleOf([ours]), provisional: { why: 'not read yet', soon } });
    expect([bundleReasons(bundle(true), 2), bundleNotes(bundle(true), 2)]).toEqual([['not read yet'], []]);
    expect([bundleReasons(bundle(false), 2), bundleNotes(bundle(false), 2)]).toEqual([
      [],
      ['not read yet; removals held back until then: 2'],
    ]);
    expect(bundleNotes(bundleOf([ours]), 2)).toEqual([]);
  });

  it('names an error before what is waited for', () => {
    const bundle = { ...bundleOf([], [findingOf('error', 'empty')]), provisional: { why: 'not read yet', soon: true } };
    expect(bundleReasons(bundle, 0)).toEqual([expect.stringMatching(/^empty: /)]);
  });

  it('names the first error and where it is', () => {
    const findings = [findingOf('warning', 'weak'), findingOf('error', 'not-a-ca', { source: 'a.crt', index: 2 })];
    expect(bundleReasons(bundleOf([ours], findings), 0)).toEqual(['not-a-ca: a.crt[2]: it is not-a-ca; mend it']);
  });

  it('counts the other errors and the removals that are held back', () => {
    const error = findingOf('error', 'unreadable', { source: '/bundle' });
    const [reason] = bundleReasons(bundleOf([], [error, error, error]), 4);
    expect(reason).toMatch(/^unreadable: \/bundle: .*\(and 2 more\); removals held back until the bundle is valid: 4$/);
  });
});
