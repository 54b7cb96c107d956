// What went wrong where, and what held all the same.
import type { TestContext } from 'vitest';
import { type Errno, errnos } from './trace.ts';

/** How often something was tried, and how often all held. */
export interface Tries {
  tried: number;
  held: number;
}

/** What went wrong with a call. */
export type What = 'kill' | Errno;
export const whats: readonly What[] = ['kill', ...errnos];

/** A row of the table that the run ends with. */
export interface Row {
  /** Who makes the system call, and its name. */
  readonly step: string;
  /** How many of them the passes make. */
  readonly calls: number;
  readonly tries: Readonly<Record<What, Tries>>;
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
  count(call: string, what: What, problems: readonly string[]): void;
  /** All that did not hold. */
  readonly failures: readonly string[];
}

/** A row to which nothing has happened yet. */
export function emptyRow(step: string) {
  const none = (): Tries => ({ tried: 0, held: 0 });
  return { step, calls: 0, tries: { kill: none(), ENOSPC: none(), EIO: none(), EACCES: none(), EMFILE: none() } };
}

/** Counts for the table of the run. @param who makes the calls */
export function openTally({ task }: Pick<TestContext, 'task'>, who: string): Tally {
  const rows = new Map<string, ReturnType<typeof emptyRow>>();
  const failures: string[] = [];
  let faults = 0;
  const rowOf = (call: string) => {
    const step = `${who}: ${call}`;
    const row = rows.get(step) ?? emptyRow(step);
    rows.set(step, row);
    task.meta.faults = [...rows.values()];
    return row;
  };
  return {
    failures,
    seen(call, calls) {
      rowOf(call).calls += calls;
    },
    count(call, what, problems) {
      const tries = rowOf(call).tries[what];
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
