// Only one process at a time may start or end the cluster of a directory.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { home } from './layout.ts';

const file = `${home}.lock`;

/** Does something that nobody else may do meanwhile. Throws when somebody does; a lock whose owner died is no lock. */
export async function alone<T>(action: () => Promise<T>): Promise<T> {
  take();
  try {
    return await action();
  } finally {
    rmSync(file, { force: true });
  }
}

function take(): void {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    const owner = Number(readFileSync(file, 'utf8'));
    if (isAlive(owner)) {
      throw new Error(`process ${owner} is starting or ending the cluster: wait for it`, { cause: error });
    }
    rmSync(file, { force: true });
    take();
  }
}

function isAlive(pid: number): boolean {
  try {
    // Process 0 would be the whole group of this one.
    return pid > 0 && process.kill(pid, 0);
  } catch {
    return false;
  }
}
