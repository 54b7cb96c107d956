// Only one process at a time may start or end the cluster of a directory, and nobody may while somebody tests on it.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { home } from './layout.ts';

/** Beside the directory, which comes and goes: who starts or ends the cluster now, and who tests on it. */
const operation = `${home}.lock`;
const tests = `${home}.tests`;

const another = 'choose another directory by NODE_CA_TRUST_CLUSTER';

/** Does something that nobody else may do meanwhile. Throws when somebody does; a lock whose owner died is no lock. */
export async function alone<T>(action: () => Promise<T>): Promise<T> {
  const tester = aliveIn(tests);
  if (tester !== undefined && !isOurs(tester))
    throw new Error(`process ${tester} tests on the cluster in ${home}: wait for it, or ${another}`);
  take(operation, (owner) => `process ${owner} is starting or ending the cluster in ${home}: wait for it`);
  try {
    return await action();
  } finally {
    rmSync(operation, { force: true });
  }
}

/**
 * Keeps the cluster to this process, and to those that it starts, for as long as it tests.
 * @param runs whether there is one already
 * @returns gives it back
 * @throws Error when somebody tests on it, or started it by hand; one that is left of tests that died is nobody's
 */
export function keep(runs: boolean): () => void {
  if (runs && recordOf(tests) === undefined)
    throw new Error(
      `a cluster that was started by hand is in ${home}: end it by \`npm run cluster -- down\`, or ${another}`,
    );
  take(tests, (owner) => `process ${owner} tests on the cluster in ${home}: wait for it, or ${another}`);
  return () => {
    rmSync(tests, { force: true });
  };
}

/** A cluster that is started from now on is nobody's who has died. */
export function forgetTheDead(): void {
  if (aliveIn(tests) === undefined) rmSync(tests, { force: true });
}

/** What stands in the file of a lock that this process has: a number may come again, with another time of its start. */
export function recordFor(pid: number): string {
  return `${pid} ${startOf(pid) ?? ''}`;
}

function take(file: string, refusal: (owner: number) => string): void {
  try {
    writeFileSync(file, recordFor(process.pid), { flag: 'wx' });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    const owner = aliveIn(file);
    if (owner !== undefined) throw new Error(refusal(owner), { cause: error });
    rmSync(file, { force: true });
    take(file, refusal);
  }
}

function isOurs(pid: number): boolean {
  return pid === process.pid || pid === process.ppid;
}

/** The process that has a lock, while it lives. */
function aliveIn(file: string): number | undefined {
  const [pid, start] = (recordOf(file) ?? '').split(' ');
  return start !== undefined && start !== '' && startOf(Number(pid)) === start ? Number(pid) : undefined;
}

function recordOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** When a process began, in the kernel's own count (proc_pid_stat(5), field 22); undefined when there is none. */
function startOf(pid: number): string | undefined {
  return recordOf(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /s, '')
    .split(' ')[19];
}
