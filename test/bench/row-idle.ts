// A pass with nothing to do, in the same long-lived process: the host trusts the anchors of the bundle already.
//
// That it starts no process is counted in two ways: no child is there afterwards, and the page faults that the kernel
// adds to a process for each child that it waited for have not changed; a program cannot start without some. A pass that
// does start processes is counted in the same way beside it.
import { secretOf } from './anchors.ts';
import type { Line } from './line.ts';
import { isShort, livingChildren, median, sum } from './measure.ts';
import type { Bench } from './scene.ts';
import type { Weighed } from './worker.ts';

const counts = [1, 10, 100, ...(isShort ? [] : [1000])];
/** How many anchors a company has. */
const usual = 10;
const passesWanted = 50;
const atMostMs = 50;

/** Passes with nothing to do, and the one before them, which had. */
async function rest(
  { store, mount, mint, passes }: Bench,
  anchors: number,
): Promise<readonly [Weighed, readonly Weighed[]]> {
  store.restore();
  await mount.swap(secretOf(mint(anchors)));
  const change = await passes.pass();
  const idle: Weighed[] = [];
  while (idle.length < passesWanted) idle.push(await passes.pass());
  if (idle.some(({ refreshed }) => refreshed.length > 0)) throw new Error('a pass that should rest ran the command');
  return [change, idle];
}

/** What more anchors cost. */
async function measureGrowth(bench: Bench): Promise<readonly Line[]> {
  const lines: Line[] = [];
  for (const count of counts) {
    bench.say(`passes with nothing to do, ${count} anchors`);
    const [, idle] = await rest(bench, count);
    const ours = median(idle.map(({ cpuMs }) => cpuMs));
    lines.push({
      what: `pass with nothing to do, ${count} anchors, processor, median of ${passesWanted}`,
      ours,
      unit: 'ms',
    });
  }
  return lines;
}

export async function measureIdle(bench: Bench): Promise<readonly Line[]> {
  const { passes, say } = bench;
  say(`${passesWanted} passes with nothing to do`);
  const [change, idle] = await rest(bench, usual);
  const walls = idle.map(({ wallMs }) => wallMs);
  const faults = sum(idle.map(({ childFaults }) => childFaults)) + livingChildren(passes.pid).length;
  const time = (what: string, ours: number): Line => ({
    what: `pass with nothing to do, ${what} of ${passesWanted}`,
    ours,
    unit: 'ms',
    bound: { of: 'figure', max: atMostMs, counts: false },
  });
  return [
    time('wall, median', median(walls)),
    time('wall, longest', Math.max(...walls)),
    {
      what: `processes started by these ${passesWanted} (their page faults)`,
      ours: faults,
      unit: '',
      beside: { what: 'by a pass that adds', figure: change.childFaults },
      bound: { of: 'figure', max: 0, counts: true },
    },
    ...(await measureGrowth(bench)),
  ];
}
