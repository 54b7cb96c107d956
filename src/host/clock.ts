/**
 * Time, passed in so that a test can hold it.
 */

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds since some moment, that nobody sets: how long something takes is measured by it. */
  steady(): number;
  sleep(ms: number): Promise<void>;
}
