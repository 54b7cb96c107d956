/**
 * A made-up /proc below a host's root.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface FakeProcess {
  readonly pid: number;
  readonly comm: string;
  readonly argv?: readonly string[];
  /** In hundredths of a second since the boot. */
  readonly ticks?: number;
  /** /proc/PID/cgroup. */
  readonly groups?: string;
  /** Its numbers in the process namespaces that it is in. */
  readonly numbers?: readonly number[];
  /** Whose it is; root's by default. */
  readonly user?: number;
  /** Its groups, real, effective, saved and of files; root's by default. */
  readonly groupIds?: readonly number[];
  /** The permission bits of its program; undefined where that is not to be seen. */
  readonly mode?: number;
}

/** As the kernel writes /proc/PID/stat: the start is field 22. */
export function statLine(pid: number, comm: string, ticks: number): string {
  const before = 'S 1 69 69 0 -1 4194560 8112 0 21 0 55 23 0 0 20 0 11 0';
  return `${pid} (${comm}) ${before} ${ticks} 1250422784 9544 18446744073709551615 1 1 0 0 0 0 0 0 2143420159\n`;
}

export function putProcess(root: string, process: FakeProcess): void {
  const { pid, comm, argv, ticks, groups, numbers, user = 0, groupIds = [0, 0, 0, 0], mode } = process;
  const directory = join(root, 'proc', String(pid));
  mkdirSync(directory, { recursive: true });
  const put = (name: string, text: string): void => {
    writeFileSync(join(directory, name), text);
  };
  put('comm', `${comm}\n`);
  put('cmdline', (argv ?? [comm]).map((word) => `${word}\0`).join(''));
  put('stat', statLine(pid, comm, ticks ?? 100));
  put(
    'status',
    [
      `Name:\t${comm}\nPid:\t${pid}\nUid:\t${[user, user, user, user].join('\t')}\nGid:\t${groupIds.join('\t')}\n`,
      `NSpid:\t${(numbers ?? [pid]).join('\t')}\nThreads:\t11\n`,
    ].join(''),
  );
  put('cgroup', groups ?? '0::/\n');
  if (mode === undefined) return;
  put('exe', '');
  chmodSync(join(directory, 'exe'), mode);
}
