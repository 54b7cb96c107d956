/**
 * What makes a daemon: what it was asked for, and what of the world it meets.
 */
import type { Api } from '../api/api.ts';
import type { Logger } from '../report/log.ts';
import type { ReadLabels } from '../sources/node-label.ts';
import type { Alarm } from './clock.ts';
import type { RunConfig } from './config.ts';
import type { Pacing } from './loop.ts';

/** What the daemon takes from outside itself, beside its streams; a test brings its own. */
export interface Outside {
  readonly clock: Alarm;
  readonly random: () => number;
  readonly pacing: Omit<Pacing, 'resyncMs'>;
  readonly readLabels: ReadLabels;
  /** Nothing where there is no cluster. */
  readonly openApi: () => Promise<Api | undefined>;
}

/** One daemon: what it was asked for, what it meets, and whom it tells. */
export interface Daemon extends Outside {
  readonly config: RunConfig;
  readonly log: Logger;
}
