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

/**
 * What `work` gives. It goes on all the same when nobody waits for it any more.
 * @throws Error when that takes longer; the signal's reason when that is aborted
 */
export async function withinTime<T>(work: Promise<T>, ms: number, signal?: AbortSignal): Promise<T> {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new Error(`no answer within ${ms / 1000} s`));
  }, ms);
  const abort = (): void => {
    reject(signal?.reason);
  };
  if (signal?.aborted === true) abort();
  signal?.addEventListener('abort', abort);
  try {
    return await Promise.race([work, ended]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}
