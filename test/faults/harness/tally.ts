// What went wrong where, and what held all the same.
import type { TestContext } from 'vitest';

/** How often something was tried, and how often all held. */
export interface Tries {
  tried: number;
  held: number;
}

/** A row of the table that the run ends with. */
export interface Row {
  /** The system call, or what else goes wrong. */
  readonly step: string;
  /** How many of them the passes make. */
  readonly calls: number;
  readonly killed: Tries;
  readonly failed: Tries;
}

declare module 'vitest' {
  interface TaskMeta {
    faults?: readonly Row[];
  }
}

export interface Tally {
  /** So many calls of one kind are made when nothing goes wrong. */
  seen(step: string, calls: number): void;
  /** One fault, with what did not hold: a line each. */
  count(step: string, isKill: boolean, problems: readonly string[]): void;
  /** All that did not hold. */
  readonly failures: readonly string[];
}

/** Counts for the table of the run. */
export function openTally({ task }: Pick<TestContext, 'task'>): Tally {
  const rows = new Map<string, { step: string; calls: number; killed: Tries; failed: Tries }>();
  const failures: string[] = [];
  let faults = 0;
  const rowOf = (step: string) => {
    const row = rows.get(step) ?? { step, calls: 0, killed: { tried: 0, held: 0 }, failed: { tried: 0, held: 0 } };
    rows.set(step, row);
    task.meta.faults = [...rows.values()];
    return row;
  };
  return {
    failures,
    seen(step, calls) {
      rowOf(step).calls += calls;
    },
    count(step, isKill, problems) {
      const tries = isKill ? rowOf(step).killed : rowOf(step).failed;
      tries.tried += 1;
      if (problems.length === 0) tries.held += 1;
      // A full run takes long: whoever reads along need not wait for its end.
      for (const problem of problems) console.log(`DID NOT HOLD: ${problem}`);
      faults += 1;
      if (faults % 100 === 0) console.log(`${faults} faults`);
      failures.push(...problems);
    },
  };
}
