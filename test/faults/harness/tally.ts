// What was injected where, and what held: printed as a table of system calls and scenarios.

export interface Tally {
  /** One fault, with what did not hold: a line each. */
  count(scenario: string, call: string, problems: readonly string[]): void;
  /** One that could not be brought to happen. */
  missed(scenario: string, call: string, problem: string): void;
  /** All that did not hold. */
  readonly failures: readonly string[];
  readonly faults: number;
  table(): string;
}

interface Cell {
  injected: number;
  held: number;
}

export function openTally(): Tally {
  const rows = new Map<string, Map<string, Cell>>();
  const scenarios = new Set<string>();
  const failures: string[] = [];
  const add = (scenario: string, call: string, isHeld: boolean): void => {
    scenarios.add(scenario);
    const row = rows.get(call) ?? new Map<string, Cell>();
    const cell = row.get(scenario) ?? { injected: 0, held: 0 };
    cell.injected += 1;
    if (isHeld) cell.held += 1;
    rows.set(call, row.set(scenario, cell));
  };
  const sum = (cells: readonly Cell[]): string => {
    const [injected, held] = [
      cells.reduce((total, cell) => total + cell.injected, 0),
      cells.reduce((total, cell) => total + cell.held, 0),
    ];
    return injected === 0 ? '' : `${held}/${injected}`;
  };
  return {
    failures,
    get faults() {
      return [...rows.values()].reduce(
        (total, row) => [...row.values()].reduce((all, { injected }) => all + injected, total),
        0,
      );
    },
    count(scenario, call, problems) {
      add(scenario, call, problems.length === 0);
      failures.push(...problems.map((problem) => `${scenario}: ${problem}`));
    },
    missed(scenario, call, problem) {
      add(scenario, call, false);
      failures.push(`${scenario}: ${problem}`);
    },
    table() {
      const names = [...scenarios];
      const lines = [...rows]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([call, row]) => [
          call,
          ...names.map((name) => sum([row.get(name) ?? { injected: 0, held: 0 }])),
          sum([...row.values()]),
        ]);
      const all = names.map((name) => sum([...rows.values()].flatMap((row) => row.get(name) ?? [])));
      const total = sum([...rows.values()].flatMap((row) => [...row.values()]));
      const table = [['held/injected', ...names, 'all'], ...lines, ['all', ...all, total]];
      const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
      return table
        .map((line) =>
          line
            .map((text, column) => (column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0)))
            .join('  '),
        )
        .join('\n');
    },
  };
}
