/**
 * Waits as Node's own timers/promises do, but by the faked time of a test.
 */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    const end = (): void => {
      clearTimeout(timer);
      reject(new Error('aborted'));
    };
    if (signal.aborted) end();
    signal.addEventListener('abort', end);
  });
}
