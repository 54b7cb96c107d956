import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Anchor, Finding } from '../../src/bundle/types.ts';
import type { Ledger, LedgerFile } from '../../src/host/ledger.ts';
import { type Plan, type PlanInput, type Policy, decide, isIdle, leavesStore } from '../../src/plan.ts';
import type { OwnFile, StoreState } from '../../src/stores/store.ts';
import { anchorOf, bundleOf, findingOf } from './support/anchors.ts';

const nameOf = (fingerprint: string): string => `node-ca-trust-default-${fingerprint.slice(0, 16)}.crt`;
const policy: Policy = { strict: false, removeAll: false };
const broken = findingOf('error', 'not-a-certificate');
const empty = findingOf('error', 'empty', { source: 'bundle' });

const emptyLedger: Ledger = { version: 1, store: 'debian', files: [], announced: [], made: [] };
const absent: LedgerFile = { state: 'absent', ledger: emptyLedger };
const kept = (anchors: readonly Anchor[]): LedgerFile => ({
  state: 'kept',
  ledger: {
    ...emptyLedger,
    files: anchors.map(({ fingerprint }) => ({ name: nameOf(fingerprint), fingerprint })),
    announced: anchors.map(({ fingerprint }) => nameOf(fingerprint)),
  },
});

const intact = ({ fingerprint }: Anchor): OwnFile => ({ name: nameOf(fingerprint), content: 'intact', fingerprint });
const altered = ({ fingerprint }: Anchor): OwnFile => ({ name: nameOf(fingerprint), content: 'altered' });

const nothing: StoreState = {
  own: [],
  trusted: new Set(),
  problems: [],
  unlinked: new Set(),
  dangling: [],
  carriers: new Map(),
  leftovers: [],
  notes: [],
};

/** A host that trusts exactly these, as an earlier pass left it. */
const trusting = (...anchors: readonly Anchor[]): Pick<PlanInput, 'ledger' | 'state'> => ({
  ledger: kept(anchors),
  state: { ...nothing, own: anchors.map(intact), trusted: new Set(anchors.map(({ fingerprint }) => fingerprint)) },
});

function inputOf(changed: Partial<PlanInput> = {}): PlanInput {
  return { bundle: bundleOf([]), ledger: absent, state: nothing, policy, nameOf, ...changed };
}

const names = (list: readonly { readonly name: string }[]): readonly string[] => list.map(({ name }) => name);
const hasErrors = ({ bundle }: PlanInput): boolean => bundle.findings.some(({ severity }) => severity === 'error');

/** A file that bears our name, and that neither its content nor the ledger shows to be ours. */
function foreignNames({ state, ledger }: PlanInput): ReadonlySet<string> {
  const recorded = new Set(names(ledger.ledger.files));
  return new Set(names(state.own.filter(({ name, content }) => content === 'altered' && !recorded.has(name))));
}

/** The input of the pass after this one, when every step of the plan went well. */
function after(input: PlanInput, plan: Plan): PlanInput {
  if (isIdle(plan)) return input;
  const written = new Map(plan.add.map((anchor) => [nameOf(anchor.fingerprint), intact(anchor)]));
  const gone = new Set([...names(plan.remove), ...written.keys()]);
  const own = [...input.state.own.filter(({ name }) => !gone.has(name)), ...written.values()];
  const prints = own.flatMap(({ fingerprint }) => fingerprint ?? []);
  const refreshed = {
    trusted: new Set([...prints, ...input.state.carriers.keys()]),
    problems: [],
    unlinked: new Set<string>(),
    dangling: [],
  };
  const files = own.flatMap(({ name, fingerprint }) => (plan.present.includes(name) ? [{ name, fingerprint }] : []));
  const ledger: Ledger = {
    ...emptyLedger,
    files: files.map(({ name, fingerprint = '' }) => ({ name, fingerprint })),
    announced: [...plan.present],
  };
  return {
    ...input,
    state: { ...input.state, own, leftovers: [], ...(plan.refresh.length > 0 && refreshed) },
    ledger: input.policy.removeAll ? absent : { state: 'kept', ledger },
  };
}

const universe = ['alpha', 'beta', 'gamma', 'delta'].map((name) => anchorOf(name));

/** What the world knows of one anchor: is it wanted, what bears its name, what do ledger, bundle and links say. */
const spot = (foreign: boolean) =>
  fc
    .record({
      wanted: fc.boolean(),
      file: fc.constantFrom<'none' | OwnFile['content']>('none', 'intact', 'altered'),
      recorded: fc.boolean(),
      announced: fc.boolean(),
      trusted: fc.boolean(),
      unlinked: fc.boolean(),
      dangling: fc.boolean(),
      carried: fc.boolean(),
    })
    .filter(({ file, recorded }) => foreign || file !== 'altered' || recorded);

type Spot = typeof spot extends (foreign: boolean) => fc.Arbitrary<infer T> ? T : never;

interface Circumstances {
  readonly spots: readonly Spot[];
  readonly ledger: LedgerFile['state'];
  readonly findings: readonly Finding[];
  readonly policy: Policy;
  readonly leftovers: readonly string[];
  readonly problems: readonly string[];
}

function assemble(world: Circumstances): PlanInput {
  const pairs = world.spots.flatMap((about, index) => {
    const anchor = universe[index];
    return anchor === undefined ? [] : [{ anchor, ...about }];
  });
  const chosen = (test: (about: Spot) => boolean): readonly Anchor[] => pairs.filter(test).map(({ anchor }) => anchor);
  const prints = (test: (about: Spot) => boolean): Set<string> =>
    new Set(chosen(test).map(({ fingerprint }) => fingerprint));
  const anchors = chosen(({ wanted }) => wanted);
  const isKept = world.ledger === 'kept';
  return {
    bundle: bundleOf(anchors, world.findings),
    policy: world.policy,
    nameOf,
    ledger: {
      state: world.ledger,
      ledger: {
        ...emptyLedger,
        files: isKept ? kept(chosen(({ recorded }) => recorded)).ledger.files : [],
        announced: isKept ? kept(chosen(({ announced }) => announced)).ledger.announced : [],
      },
    },
    state: {
      ...nothing,
      own: pairs.flatMap(({ anchor, file }) =>
        file === 'none' ? [] : [file === 'intact' ? intact(anchor) : altered(anchor)],
      ),
      trusted: prints(({ trusted }) => trusted),
      unlinked: prints(({ unlinked, wanted }) => unlinked && wanted),
      dangling: chosen(({ dangling }) => dangling).map(({ fingerprint }) => nameOf(fingerprint)),
      carriers: new Map([...prints(({ carried }) => carried)].map((print) => [print, `/etc/other/${print}`])),
      leftovers: world.leftovers,
      problems: world.problems,
    },
  };
}

/** Any bundle on any host; `foreign` says whether files of others may bear our names. */
const inputs = (foreign: boolean, findings: readonly (readonly Finding[])[] = [[], [broken], [empty]]) =>
  fc
    .record({
      spots: fc.array(spot(foreign), { minLength: universe.length, maxLength: universe.length }),
      ledger: fc.constantFrom<LedgerFile['state']>('kept', 'kept', 'absent', 'broken'),
      findings: fc.constantFrom(...findings),
      policy: fc.record({ strict: fc.boolean(), removeAll: fc.boolean() }),
      leftovers: fc.subarray(['/etc/ssl/.node-ca-trust-default.crt']),
      problems: fc.subarray(['the bundle is broken']),
    })
    .map(assemble)
    .filter((input) => foreign || foreignNames(input).size === 0);

describe('decide, whatever the host and the bundle', () => {
  it('gives the same plan for the same input, and changes none of it', () => {
    fc.assert(
      fc.property(inputs(true), (input) => {
        const before = structuredClone({ ...input, nameOf: undefined });
        const plan = decide(input);
        expect(decide(input)).toEqual(plan);
        expect({ ...input, nameOf: undefined }).toEqual(before);
      }),
    );
  });

  it('never touches what another wrote', () => {
    fc.assert(
      fc.property(inputs(true), (input) => {
        const { add, remove, heldBack, relink, present } = decide(input);
        const touched = [
          ...names([...remove, ...heldBack]),
          ...[...relink, ...add].map((anchor) => nameOf(anchor.fingerprint)),
        ];
        const foreign = foreignNames(input);
        expect([...touched, ...present].filter((name) => foreign.has(name))).toEqual([]);
      }),
    );
  });

  it('removes only what bears our name', () => {
    fc.assert(
      fc.property(inputs(true), (input) => {
        const known = [...names(input.state.own), ...names(input.ledger.ledger.files), ...input.state.dangling];
        expect(known).toEqual(expect.arrayContaining([...names(decide(input).remove)]));
      }),
    );
  });

  it('removes nothing while the bundle has an error, and says what waits', () => {
    fc.assert(
      fc.property(inputs(true, [[broken], [empty]]), (input) => {
        fc.pre(!input.policy.removeAll);
        const plan = decide(input);
        expect(plan.remove).toEqual([]);
        fc.pre(!input.policy.strict);
        const valid = decide({ ...input, bundle: { ...input.bundle, findings: [] } });
        expect(plan.heldBack).toEqual(valid.remove);
      }),
    );
  });

  it('holds nothing back when the bundle is valid', () => {
    fc.assert(
      fc.property(inputs(true, [[], [findingOf('warning', 'expired')]]), (input) => {
        expect(decide(input).heldBack).toEqual([]);
      }),
    );
  });

  it('adds each valid anchor that is missing, however broken its neighbour is', () => {
    fc.assert(
      fc.property(inputs(false), (input) => {
        fc.pre(!input.policy.removeAll && !(input.policy.strict && hasErrors(input)));
        const { add, wanted } = decide(input);
        const there = new Set(input.state.own.flatMap(({ fingerprint }) => fingerprint ?? []));
        expect(wanted).toEqual(input.bundle.anchors);
        expect(add).toEqual(input.bundle.anchors.filter(({ fingerprint }) => !there.has(fingerprint)));
      }),
    );
  });

  it('adds and removes nothing when it is strict and the bundle has an error, and stands by what is installed', () => {
    fc.assert(
      fc.property(inputs(true, [[broken], [empty]]), (input) => {
        const plan = decide({ ...input, policy: { strict: true, removeAll: false } });
        const there = new Set(input.state.own.flatMap(({ fingerprint }) => fingerprint ?? []));
        expect([plan.add, plan.remove]).toEqual([[], []]);
        expect(plan.wanted).toEqual(input.bundle.anchors.filter(({ fingerprint }) => there.has(fingerprint)));
      }),
    );
  });

  it('needs no bundle to remove all', () => {
    fc.assert(
      fc.property(inputs(true), inputs(true), (input, other) => {
        const removeAll: PlanInput = { ...input, policy: { strict: other.policy.strict, removeAll: true } };
        const plan = decide(removeAll);
        expect(plan).toEqual(decide({ ...removeAll, bundle: other.bundle }));
        expect([plan.wanted, plan.add, plan.heldBack]).toEqual([[], [], []]);
        const ours = [...names(input.state.own.filter(({ content }) => content === 'intact'))];
        expect(names(plan.remove)).toEqual(expect.arrayContaining([...ours, ...names(input.ledger.ledger.files)]));
      }),
    );
  });

  it('is idle once the plan is carried out', () => {
    fc.assert(
      fc.property(inputs(false), (input) => {
        fc.pre(!input.policy.removeAll);
        const next = after(input, decide(input));
        expect(isIdle(decide(next)), JSON.stringify(decide(next))).toBe(true);
      }),
    );
  });

  it('is idle once all is removed, and leaves no ledger', () => {
    fc.assert(
      fc.property(inputs(true), (input) => {
        const removeAll: PlanInput = { ...input, policy: { strict: false, removeAll: true } };
        const plan = decide(removeAll);
        const next = after(removeAll, plan);
        expect(isIdle(decide(next)), JSON.stringify(decide(next))).toBe(true);
        expect(next.ledger.state).toBe('absent');
      }),
    );
  });

  it('is idle once the plan is carried out, also beside a file of another with our name', () => {
    fc.assert(
      fc.property(inputs(true), (input) => {
        fc.pre(!input.policy.removeAll);
        const next = after(input, decide(input));
        expect(isIdle(decide(next)), JSON.stringify(decide(next))).toBe(true);
      }),
    );
  });

  it('relinks only wanted anchors, and lists them among the files that stay', () => {
    fc.assert(
      fc.property(inputs(false), (input) => {
        const { relink, present } = decide(input);
        expect(present).toEqual(expect.arrayContaining(relink.map(({ fingerprint }) => nameOf(fingerprint))));
      }),
    );
  });

  it('refreshes whenever files come or go', () => {
    fc.assert(
      fc.property(inputs(true), (input) => {
        const { add, remove, refresh } = decide(input);
        fc.pre(add.length + remove.length > 0);
        expect(refresh).not.toEqual([]);
      }),
    );
  });
});

const [old, fresh] = [anchorOf('old'), anchorOf('fresh')];

describe('decide', () => {
  it('does nothing on a host that trusts the bundle', () => {
    const plan = decide(inputOf({ bundle: bundleOf([old]), ...trusting(old) }));
    expect(isIdle(plan)).toBe(true);
    expect(plan).toMatchObject({ add: [], remove: [], relink: [], refresh: [], wanted: [old] });
  });

  it('does nothing on a fresh host with an empty bundle', () => {
    expect(isIdle(decide(inputOf()))).toBe(true);
  });

  it('rotates in one change', () => {
    const plan = decide(inputOf({ bundle: bundleOf([fresh]), ...trusting(old) }));
    expect(plan).toMatchObject({
      add: [fresh],
      remove: [{ name: nameOf(old.fingerprint), fingerprint: old.fingerprint }],
      refresh: ['1 to install', '1 to remove'],
      present: [nameOf(fresh.fingerprint)],
      announce: true,
    });
  });

  it('removes what an empty bundle no longer holds, when that is no error', () => {
    expect(names(decide(inputOf({ ...trusting(old) })).remove)).toEqual([nameOf(old.fingerprint)]);
  });

  it('adds the good one beside a broken one, and holds the removal back', () => {
    const plan = decide(inputOf({ bundle: bundleOf([fresh], [broken]), ...trusting(old) }));
    expect(plan).toMatchObject({ add: [fresh], remove: [], heldBack: [{ name: nameOf(old.fingerprint) }] });
    expect(plan.present).toEqual([nameOf(old.fingerprint), nameOf(fresh.fingerprint)].sort());
  });

  it.each([true, false])('only adds what may be out of date, expected soon: %s', (soon) => {
    const bundle = { ...bundleOf([fresh]), provisional: { why: 'not read yet', soon } };
    const plan = decide(inputOf({ bundle, ...trusting(old) }));
    expect(plan).toMatchObject({ add: [fresh], remove: [], heldBack: [{ name: nameOf(old.fingerprint) }] });
    const removeAll = { strict: false, removeAll: true };
    expect(names(decide(inputOf({ bundle, policy: removeAll, ...trusting(old) })).remove)).toHaveLength(1);
  });

  it('refreshes nothing for removals that are held back', () => {
    expect(isIdle(decide(inputOf({ bundle: bundleOf([], [empty]), ...trusting(old) })))).toBe(true);
  });

  it.each([
    ["is not in the host's bundle", { trusted: new Set<string>() }, "installed, but not in the host's bundle"],
    ['has no working link', { unlinked: new Set([old.fingerprint]) }, 'without a working link'],
  ])('refreshes for what must not be removed and %s', (_, changed, reason) => {
    const host = trusting(old);
    const held = { ledger: host.ledger, state: { ...host.state, ...changed }, others: [old] };
    const plan = decide(inputOf({ bundle: bundleOf([], [empty]), ...held }));
    expect(plan).toMatchObject({ wanted: [old], required: [old.fingerprint], remove: [], refresh: [`1 ${reason}`] });
    expect(decide(inputOf(held))).toMatchObject({ wanted: [], required: [], refresh: ['1 to remove'] });
  });

  it('cannot ask for what must not be removed and is gone or altered', () => {
    const held = { bundle: bundleOf([], [empty]), ledger: kept([old]), others: [old] };
    for (const own of [[], [altered(old)]]) {
      expect(decide(inputOf({ ...held, state: { ...nothing, own } }))).toMatchObject({ wanted: [], required: [] });
    }
  });

  it('writes an altered file anew when the ledger says that it is ours', () => {
    const state = { ...nothing, own: [altered(old)] };
    const plan = decide(inputOf({ bundle: bundleOf([old]), ledger: kept([old]), state }));
    expect(plan).toMatchObject({ add: [old], conflicts: [] });
  });

  it('leaves an altered file that the ledger does not know, and names it', () => {
    const plan = decide(inputOf({ bundle: bundleOf([old, fresh]), state: { ...nothing, own: [altered(old)] } }));
    expect(plan.add).toEqual([fresh]);
    expect(plan.conflicts).toEqual([expect.stringMatching(new RegExp(`^${nameOf(old.fingerprint)} .*move it away`))]);
  });

  it('leaves an altered file that the ledger does not know when all is removed', () => {
    const state = { ...nothing, own: [altered(old), intact(fresh)] };
    const plan = decide(inputOf({ policy: { strict: false, removeAll: true }, state }));
    expect(names(plan.remove)).toEqual([nameOf(fresh.fingerprint)]);
  });

  it('leaves a file of another with our name alone, though a link of ours dangles', () => {
    const state = { ...nothing, own: [altered(old)], dangling: [nameOf(old.fingerprint)] };
    expect(names(decide(inputOf({ ledger: kept([]), state })).remove)).toEqual([]);
  });

  it('removes an altered file that the ledger knows, by the fingerprint of what it was', () => {
    const state = { ...nothing, own: [altered(old)] };
    expect(decide(inputOf({ ledger: kept([old]), state })).remove).toEqual([
      { name: nameOf(old.fingerprint), fingerprint: old.fingerprint },
    ]);
  });

  it.each(['absent', 'broken'] as const)('finds its files by name and content when the ledger is %s', (state) => {
    const host = trusting(old, fresh);
    const plan = decide(inputOf({ bundle: bundleOf([fresh]), state: host.state, ledger: { ...absent, state } }));
    expect(names(plan.remove)).toEqual([nameOf(old.fingerprint)]);
    expect(plan.refresh).toContain('the ledger was lost');
  });

  it('refreshes when the bundle holds fewer of the CAs of others than it did, where the store counts them', () => {
    const { ledger, state } = trusting(old);
    const counted = { ...ledger, ledger: { ...ledger.ledger, others: 140 } };
    const planOf = (others?: number): Plan =>
      decide(
        inputOf({
          bundle: bundleOf([old]),
          ledger: counted,
          state: { ...state, ...(others !== undefined && { others }) },
        }),
      );
    expect(planOf(139).refresh).toEqual(["certificates of others that the host's bundle has lost: 1"]);
    for (const others of [140, 141, undefined]) expect(isIdle(planOf(others))).toBe(true);
  });

  it('refreshes once when the ledger was lost, since a removal may not have been proven', () => {
    const input = inputOf({ bundle: bundleOf([old]), state: trusting(old).state });
    const plan = decide(input);
    expect(plan.refresh).toEqual(['the ledger was lost']);
    expect(isIdle(decide(after(input, plan)))).toBe(true);
  });

  it('removes again what is gone but was not proven to be', () => {
    const plan = decide(inputOf({ ledger: kept([old]) }));
    expect(plan.remove).toEqual([{ name: nameOf(old.fingerprint), fingerprint: old.fingerprint }]);
    expect(plan.refresh).toEqual(['1 to remove']);
  });

  it('clears away a link that leads nowhere', () => {
    const plan = decide(inputOf({ ledger: kept([]), state: { ...nothing, dangling: [nameOf(old.fingerprint)] } }));
    expect(plan.remove).toEqual([{ name: nameOf(old.fingerprint), fingerprint: undefined }]);
  });

  it('makes the links of an anchor anew that a look-up does not find', () => {
    const host = trusting(old);
    const state = { ...host.state, unlinked: new Set([old.fingerprint]) };
    const plan = decide(inputOf({ bundle: bundleOf([old]), ...host, state }));
    expect(plan.relink).toEqual([old]);
    expect(plan.refresh).toEqual(['1 without a working link']);
  });

  it("refreshes when an installed anchor is not in the host's bundle", () => {
    const host = trusting(old);
    const plan = decide(inputOf({ bundle: bundleOf([old]), ...host, state: { ...host.state, trusted: new Set() } }));
    expect(plan.refresh).toEqual(["1 installed, but not in the host's bundle"]);
  });

  it("refreshes when the host's bundle itself is damaged, and says why", () => {
    const host = trusting(old);
    const state = { ...host.state, problems: ['the bundle is missing'] };
    expect(decide(inputOf({ bundle: bundleOf([old]), ...host, state })).refresh).toEqual(['the bundle is missing']);
  });

  it('clears away leftovers of a killed pass without a refresh', () => {
    const host = trusting(old);
    const state = { ...host.state, leftovers: ['/etc/ssl/.node-ca-trust-default.crt'] };
    const plan = decide(inputOf({ bundle: bundleOf([old]), ...host, state }));
    expect(plan).toMatchObject({ clean: state.leftovers, refresh: [] });
    expect(isIdle(plan)).toBe(false);
  });

  it('tells the hooks what a killed pass did not', () => {
    const host = trusting(old);
    const ledger: LedgerFile = { state: 'kept', ledger: { ...host.ledger.ledger, announced: [] } };
    const plan = decide(inputOf({ bundle: bundleOf([old]), state: host.state, ledger }));
    expect(plan).toMatchObject({ announce: true, refresh: [] });
    expect(isIdle(plan)).toBe(false);
  });

  it('dates what another has published, and nothing more; by a ledger of an earlier version all is dated', () => {
    const host = trusting(old);
    const undated: LedgerFile = { state: 'kept', ledger: { ...host.ledger.ledger, dated: [] } };
    const plan = decide(inputOf({ bundle: bundleOf([old]), state: host.state, ledger: undated }));
    expect(plan).toMatchObject({ undated: [nameOf(old.fingerprint)], announce: false, refresh: [] });
    expect([isIdle(plan), leavesStore(plan)]).toEqual([false, true]);
    expect(isIdle(decide(inputOf({ bundle: bundleOf([old]), state: host.state, ledger: host.ledger })))).toBe(true);
  });

  it('forgets its ledger when all is removed', () => {
    const removeAll = { strict: false, removeAll: true };
    expect(decide(inputOf({ policy: removeAll, ledger: kept([]) }))).toMatchObject({ forget: true });
    expect(decide(inputOf({ policy: removeAll, ledger: { ...absent, state: 'broken' } }))).toMatchObject({
      forget: true,
    });
    expect(isIdle(decide(inputOf({ policy: removeAll })))).toBe(true);
  });
});
