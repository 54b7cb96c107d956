// Parallel writers: rotations, one certificate for another, while update-ca-certificates runs again and again.
//
// Ours: passes. Beside it a copy-and-run loop, which is what scripts do: the same rotations by the file and the bare
// command. A rotation is bad when, at the moment it is reported done, the bundle lacks the new certificate or one that
// was there before, or still holds the old one. A reader that reads all the time counts what every program would have
// met: fewer certificates than the host began with, none of the rotated ones, or broken text.
import { watchBundle } from '../sandbox/harness/watcher.ts';
import { type BenchAnchor, secretOf } from './anchors.ts';
import type { Line } from './line.ts';
import { sample } from './measure.ts';
import type { Bench } from './scene.ts';

const rotations = 10;
const sampling = { wanted: rotations, longestMs: 20_000, fewest: 3 };
const triesAtMost = 5;

interface Outcome {
  readonly rotations: number;
  readonly bad: number;
  readonly reads: number;
  readonly badReads: number;
  /** Runs of the other writer meanwhile. */
  readonly others: number;
}

/** Puts the next anchor in the place of the one before. */
type Rotate = (next: BenchAnchor) => Promise<unknown>;

/** Lets the other writer go on until told to stop; gives the number of its runs. */
function startOther({ world }: Bench): { stop(): Promise<number> } {
  const control = { stopped: false };
  const loop = async (): Promise<number> => {
    let runs = 0;
    // What becomes of it does not matter: it may find a file gone that it has just listed.
    for (; !control.stopped; runs += 1) await world.exec('update-ca-certificates');
    return runs;
  };
  const ended = loop();
  return {
    stop() {
      control.stopped = true;
      return ended;
    },
  };
}

async function endure(bench: Bench, rotate: Rotate): Promise<Outcome> {
  const { world, store, mint } = bench;
  const [first, ...others] = mint(rotations + 1);
  if (first === undefined) throw new Error('no certificate to begin with');
  await rotate(first);
  const base = [...store.base];
  const any = [first, ...others].map(({ fingerprint }) => fingerprint);
  const reader = await watchBundle(world, { all: base, any });
  const other = startOther(bench);
  let before = first;
  const states = await sample(sampling, async (index) => {
    const next = others[index] ?? first;
    await rotate(next);
    const state = store.state({ all: [...base, next.fingerprint], none: [before.fingerprint] });
    before = next;
    return state;
  });
  const runs = await other.stop();
  const { reads, counts } = await reader.stop();
  const bad = states.filter((state) => state !== 'whole').length;
  return { rotations: states.length, bad, reads, badReads: reads - counts.whole, others: runs };
}

/** The copy-and-run loop. Its file has one name for each certificate, so that the command sees each change. */
function byHand({ store }: Bench): Rotate {
  let last: string | undefined;
  return async (next) => {
    const name = `bench-${next.fingerprint.slice(0, 16)}.crt`;
    store.put(name, next);
    if (last !== undefined) store.take(last);
    last = name;
    // The exit code is all that such a loop goes by: a failed run is run again.
    for (let tries = 0; tries < triesAtMost && !(await succeeds(store.refresh())); tries += 1);
  };
}

const succeeds = (run: Promise<unknown>): Promise<boolean> =>
  run.then(
    () => true,
    () => false,
  );

export async function measureParallel(bench: Bench): Promise<readonly Line[]> {
  const { store, mount, passes, say } = bench;
  say(`${rotations} rotations while the command runs in parallel`);
  store.restore();
  const ours = await endure(bench, async (next) => {
    await mount.swap(secretOf([next]));
    await passes.pass();
  });
  say(`${rotations} rotations by a copy-and-run loop`);
  store.restore();
  const theirs = await endure(bench, byHand(bench));
  store.restore();
  const share = ({ badReads, reads }: Outcome): number => (100 * badReads) / reads;
  const against = `${ours.others} parallel runs`;
  return [
    {
      what: `bad rotations of ${ours.rotations} when reported done, ${against}`,
      ours: ours.bad,
      unit: '',
      beside: {
        what: `copy-and-run loop (of ${theirs.rotations}, ${theirs.others} parallel runs)`,
        figure: theirs.bad,
      },
      bound: { of: 'figure', max: 0, counts: true },
    },
    {
      what: `bad reads meanwhile, % of ${ours.reads}`,
      ours: share(ours),
      unit: '',
      beside: { what: `copy-and-run loop (of ${theirs.reads})`, figure: share(theirs) },
      bound: { of: 'figure', max: 0, counts: true },
    },
  ];
}
