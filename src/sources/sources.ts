/**
 * Two sources, one truth: which bytes a pass reads. The mounted directories alone, or with the fast source: until the
 * API server has answered in this process the mount stands in, and what it holds is only added, for it may be older
 * than what is installed; from then on the last object that the API server gave holds, however old the mount gets.
 *
 * The API server may be away when an agent starts. After a while the agent is then ready by what the mount holds, as it
 * would be without a fast source, and still removes nothing: the bytes on the disk of a node that was off for a week
 * must not undo what its last agent learnt.
 */
import type { Reading } from '../bundle/types.ts';
import { readSource } from './directory.ts';
import type { SecretSource } from './secret.ts';

export interface Sources {
  /** What there is now, for one pass. */
  read(): readonly Reading[];
  /** The paths in which a change can mean another bundle. */
  paths(): readonly string[];
  /** Resolves when it is time for the first pass: in a moment the API server may have answered. */
  settled(signal: AbortSignal): Promise<void>;
  /** Follows what is no path until `signal` is aborted. */
  follow(signal: AbortSignal): Promise<void>;
}

export interface Fast {
  readonly secret: SecretSource;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** What the sources yield counts for more than before. */
  readonly changed: () => void;
}

/** For so long the first pass waits for the API server, which answers in a tenth of that. */
const momentMs = 1_000;
/** For so long the agent is not ready by the mount alone. */
const graceMs = 10_000;

/**
 * Opens the sources of one agent.
 * @param paths directories and files; with a fast source they mount what it reads
 */
export function openSources(paths: readonly string[], fast?: Fast): Sources {
  if (fast === undefined) {
    const nothing = (): Promise<void> => Promise.resolve();
    return { read: () => paths.map(readSource), paths: () => paths, settled: nothing, follow: nothing };
  }
  const { secret, sleep, changed } = fast;
  let soon = true;
  const why = (): string =>
    `${secret.source} has not been read through the API server yet: what is mounted is installed, nothing is removed`;
  const lastRead = (trouble: string): string =>
    `what was read of it last holds, whatever the kubelet brings: ${trouble}`;
  const endGrace = (): void => {
    soon = false;
    if (secret.reading() === undefined) changed();
  };
  return {
    read() {
      const reading = secret.reading();
      const trouble = secret.trouble();
      if (reading !== undefined) return [trouble === undefined ? reading : { ...reading, stale: lastRead(trouble) }];
      return paths.map((path) => ({ ...readSource(path), provisional: { why: why(), soon } }));
    },
    paths: () => (secret.reading() === undefined ? paths : []),
    settled: (signal) => Promise.race([secret.answered, sleep(momentMs, signal).catch(() => undefined)]),
    async follow(signal) {
      await Promise.all([secret.follow(signal), sleep(graceMs, signal).then(endGrace, () => undefined)]);
    },
  };
}
