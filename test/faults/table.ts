// Prints the table of faults at the end of a run: each system call by which a pass, or a program that it starts, changes the
// host; how often it was killed there, and failed by each error, and all held. A fault that did not hold fails the run.
import type { Reporter, TestModule } from 'vitest/node';
import { type Row, type Tries, emptyRow, whats } from './harness/tally.ts';
import { errnos } from './harness/trace.ts';

function sumOf(rows: readonly Row[]): Row {
  const sum = emptyRow('all');
  for (const { calls, tries } of rows) {
    sum.calls += calls;
    for (const what of whats) {
      sum.tries[what].tried += tries[what].tried;
      sum.tries[what].held += tries[what].held;
    }
  }
  return sum;
}

/** How many held, and of how many where that is not all. */
function cellOf({ tried, held }: Tries): string {
  if (tried === 0) return '';
  return held === tried ? String(held) : `${held} of ${tried}`;
}

function lineOf({ step, calls, tries }: Row): string {
  return `| ${[step, calls, ...whats.map((what) => cellOf(tries[what]))].join(' | ')} |`;
}

export default class Table implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const rows = tests.flatMap((test) => test.meta().faults ?? []);
    if (rows.length === 0) return;
    rows.sort((a, b) => (a.step < b.step ? -1 : 1));
    const head = [`| step | calls | killed | ${errnos.join(' | ')} |`, `|---|--:|${'--:|'.repeat(whats.length)}`];
    console.log(`\n${[...head, ...[...rows, sumOf(rows)].map(lineOf)].join('\n')}\n`);
  }
}
