// What the figures were taken of, and on.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

export interface Machine {
  /** The project's own. */
  readonly version: string;
  /** `-dirty` behind it when what was measured is not quite that; `unknown` where there is no git. */
  readonly commit: string;
  readonly architecture: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly kernel: string;
  readonly distribution: string;
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

const project = new URL('../../', import.meta.url);

function versionOf(): string {
  const { version } = JSON.parse(readFileSync(new URL('package.json', project), 'utf8')) as { version: string };
  return version;
}

function distributionOf(): string {
  try {
    return /^PRETTY_NAME="?(.*?)"?$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}

export function describeMachine(): Machine {
  return {
    version: versionOf(),
    commit: ask('git', '-C', fileURLToPath(project), 'describe', '--always', '--dirty', '--exclude', '*'),
    architecture: arch(),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    distribution: distributionOf(),
    load: loadavg()[0] ?? Number.NaN,
    node: process.version,
    openssl: ask('openssl', 'version').split(' ')[1] ?? 'unknown',
    caCertificates: ask('dpkg-query', '--show', '--showformat', '${Version}', 'ca-certificates'),
  };
}
