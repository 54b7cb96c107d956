// Prints the table of faults at the end of a run: each system call by which a pass, or a program that it starts, changes the
// host; how often it was killed there, and failed; and how often all held. A fault that did not hold fails the run.
import type { Reporter, TestModule } from 'vitest/node';
import type { Row, Tries } from './harness/tally.ts';

function sumOf(rows: readonly Row[]): Row {
  const sum = (pick: (row: Row) => number): number => rows.reduce((total, row) => total + pick(row), 0);
  const tries = (pick: (row: Row) => Tries): Tries => ({
    tried: sum((row) => pick(row).tried),
    held: sum((row) => pick(row).held),
  });
  return {
    step: 'all',
    calls: sum(({ calls }) => calls),
    killed: tries(({ killed }) => killed),
    failed: tries(({ failed }) => failed),
  };
}

function lineOf({ step, calls, killed, failed }: Row): string {
  const cells = [killed, failed].flatMap(({ tried, held }) => (tried === 0 ? ['', ''] : [String(tried), String(held)]));
  return `| ${[step, calls, ...cells].join(' | ')} |`;
}

export default class Table implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const rows = tests.flatMap((test) => test.meta().faults ?? []);
    if (rows.length === 0) return;
    rows.sort((a, b) => (a.step < b.step ? -1 : 1));
    const head = ['| step | calls | killed | held | failed | held |', '|---|--:|--:|--:|--:|--:|'];
    console.log(`\n${[...head, ...[...rows, sumOf(rows)].map(lineOf)].join('\n')}\n`);
  }
}
