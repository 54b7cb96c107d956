// Prints the table of families: one column for each, one row for each thing that is tried. A cell says whether it was
// run with the system's own tools or with some of them emulated; one that is empty or failed fails the run.
import type { Reporter, TestModule } from 'vitest/node';

declare module 'vitest' {
  interface TaskMeta {
    /** The column, and what in the cell is not the system's own; empty when all of it is. */
    family?: string;
    emulated?: string;
  }
}

interface Cell {
  readonly row: string;
  readonly family: string;
  readonly text: string;
  readonly emulated: string;
}

function cellsOf(module: TestModule): Cell[] {
  return [...module.children.allTests()].flatMap((test) => {
    const { family, emulated = '' } = test.meta();
    if (family === undefined) return [];
    const isPassed = test.result().state === 'passed';
    const seconds = ((test.diagnostic()?.duration ?? 0) / 1000).toFixed(1);
    const text = isPassed ? `${emulated === '' ? 'real' : 'emulated'}, ${seconds} s` : 'FAILED';
    return [{ row: test.name, family, text, emulated }];
  });
}

export default class Table implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const cells = modules.flatMap(cellsOf);
    const families = [...new Set(cells.map(({ family }) => family))].sort();
    const rows = [...new Set(cells.map(({ row }) => row))];
    const textOf = (row: string, family: string): string =>
      cells.find((cell) => cell.row === row && cell.family === family)?.text ?? 'EMPTY';
    const lines = [
      ['', ...families],
      ['---', ...families.map(() => '---')],
    ];
    for (const row of rows) lines.push([row, ...families.map((family) => textOf(row, family))]);
    console.log(`\n${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`);
    const emulated = new Map(cells.filter((cell) => cell.emulated !== '').map((cell) => [cell.emulated, cell]));
    for (const [what, { family, row }] of emulated) console.log(`emulated (${family}, ${row}): ${what}`);
    if (lines.flat().includes('EMPTY')) process.exitCode = 1;
  }
}
