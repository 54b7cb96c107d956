// What a pass costs beyond the refresh command that it runs.
//
// Ours: one pass in a long-lived process, of the processor time of itself and all that it starts. Theirs: the same
// certificates written into the anchor directory, and update-ca-certificates by chroot; of the processor time the command
// alone. Each pair begins twice at the same host without any of ours, has certificates that nobody has seen before, and
// is in turn ours first and theirs first, so that both meet the same noise.
import { secretOf } from './anchors.ts';
import type { Line } from './line.ts';
import { type Pair, forgetPeak, isShort, median, peakOf, ratioOf, sample } from './measure.ts';
import type { Bench } from './scene.ts';

/** With fewer than five pairs no ratio is certain. */
const sampling = { wanted: 10, longestMs: 15_000, fewest: 5 };
/** How many are added, and what the pass may take of the command's processor time at most. */
const counts = [
  { count: 1, atMost: 1.1, ...sampling },
  { count: 10, atMost: 1.1, ...sampling },
  { count: 100, atMost: 1.1, ...sampling },
  // A pair of them takes twenty seconds. One shows the peak of memory, and none of the ratios counts then.
  { count: 1000, atMost: 1.05, ...sampling, ...(isShort && { fewest: 1 }) },
];
/** All that the agent holds while it adds them: 80 MB, shown in MiB. */
const peakAtMostMiB = 80e6 / 2 ** 20;

interface Figures {
  readonly wallMs: number;
  readonly cpuMs: number;
}

interface Both {
  readonly ours: Figures & { readonly ownCpuMs: number };
  readonly theirs: Figures;
}

/** Every file gets a name that was never there, so that the command makes its links anew. */
let named = 0;

async function measureOurs(
  { store, mount, passes }: Bench,
  files: Readonly<Record<string, string>>,
): Promise<Both['ours']> {
  store.restore();
  await mount.swap({});
  // The agent has looked at the host before: at its start, or at the last resync.
  await passes.pass();
  await mount.swap(files);
  return passes.pass();
}

async function measurePair(bench: Bench, count: number, oursFirst: boolean): Promise<Both> {
  const { store, mint } = bench;
  const anchors = mint(count);
  const takeOurs = (): Promise<Both['ours']> => measureOurs(bench, secretOf(anchors));
  const takeTheirs = async (): Promise<Figures> => {
    store.restore();
    for (const anchor of anchors) store.put(`bench-${(named += 1)}.crt`, anchor);
    return store.refresh();
  };
  const early = oursFirst ? await takeOurs() : undefined;
  const theirs = await takeTheirs();
  const trusted = store.state({ all: anchors.map(({ fingerprint }) => fingerprint) });
  if (trusted !== 'whole') throw new Error(`the bare command left the bundle ${trusted}`);
  return { ours: early ?? (await takeOurs()), theirs };
}

async function measureCount(
  bench: Bench,
  { count, atMost, ...sampling }: (typeof counts)[number],
): Promise<readonly Line[]> {
  forgetPeak(bench.passes.pid);
  const pairs = await sample(sampling, (index) => measurePair(bench, count, index % 2 === 0));
  const line = (what: string, pick: (figures: Figures) => number, matters: boolean): Line => {
    const picked: readonly Pair[] = pairs.map(({ ours, theirs }) => ({ ours: pick(ours), theirs: pick(theirs) }));
    return {
      what: `pass that adds ${count}, ${what}, median of ${pairs.length}`,
      ours: median(picked.map(({ ours }) => ours)),
      unit: 'ms',
      beside: { what: 'bare command', figure: median(picked.map(({ theirs }) => theirs)) },
      ratio: ratioOf(picked),
      bound: { of: 'ratio', max: atMost, counts: matters },
    };
  };
  return [
    line('processor', ({ cpuMs }) => cpuMs, true),
    line('wall', ({ wallMs }) => wallMs, false),
    {
      what: `pass that adds ${count}, processor of the agent without its children`,
      ours: median(pairs.map(({ ours }) => ours.ownCpuMs)),
      unit: 'ms',
    },
    {
      what: `passes that add ${count}, RSS at its peak`,
      ours: peakOf(bench.passes.pid),
      unit: 'MiB',
      bound: { of: 'figure', max: peakAtMostMiB, counts: true },
    },
  ];
}

export async function measureAdding(bench: Bench): Promise<readonly Line[]> {
  await measurePair(bench, 1, true);
  const lines: Line[] = [];
  for (const row of counts) {
    bench.say(`passes that add ${row.count}, and the bare command`);
    lines.push(...(await measureCount(bench, row)));
  }
  return lines;
}
