// What the figures were taken on.
import { execFileSync } from 'node:child_process';
import { availableParallelism, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  readonly cores: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  /** The load of the last minute as the bench began: beyond the number of cores, times are not to be trusted. */
  readonly load: number;
  readonly node: string;
  readonly openssl: string;
  readonly caCertificates: string;
}

/** The first line that a program prints; `unknown` when there is no such program. */
function ask(program: string, ...args: readonly string[]): string {
  try {
    return (
      execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n', 1)[0] ?? ''
    );
  } catch {
    return 'unknown';
  }
}

export function describeMachine(): Machine {
  return {
    cores: availableParallelism(),
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    load: loadavg()[0] ?? Number.NaN,
    node: process.version,
    openssl: ask('openssl', 'version').split(' ')[1] ?? 'unknown',
    caCertificates: ask('dpkg-query', '--show', '--showformat', '${Version}', 'ca-certificates'),
  };
}
