// What went wrong where, and what held all the same.
import type { TestContext } from 'vitest';

/** How often something was tried, and how often all held. */
export interface Tries {
  tried: number;
  held: number;
}

/** A row of the table that the run ends with. */
export interface Row {
  /** Who makes the system call, and its name. */
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
  seen(call: string, calls: number): void;
  /** One fault, with what did not hold: a line each. */
  count(call: string, isKill: boolean, problems: readonly string[]): void;
  /** All that did not hold. */
  readonly failures: readonly string[];
}

/** Counts for the table of the run. @param who makes the calls */
export function openTally({ task }: Pick<TestContext, 'task'>, who: string): Tally {
  const rows = new Map<string, { step: string; calls: number; killed: Tries; failed: Tries }>();
  const failures: string[] = [];
  let faults = 0;
  const rowOf = (call: string) => {
    const step = `${who}: ${call}`;
    const row = rows.get(step) ?? { step, calls: 0, killed: { tried: 0, held: 0 }, failed: { tried: 0, held: 0 } };
    rows.set(step, row);
    task.meta.faults = [...rows.values()];
    return row;
  };
  return {
    failures,
    seen(call, calls) {
      rowOf(call).calls += calls;
    },
    count(call, isKill, problems) {
      const tries = isKill ? rowOf(call).killed : rowOf(call).failed;
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
