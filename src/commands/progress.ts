/**
 * Tells a person at a terminal that work goes on, once it takes longer than a moment.
 */
import { systemClock } from './clock.ts';
import type { OutputStream } from './config.ts';

const progressMs = 1_000;

/** Shows `text` in one line until `end` clears it. @param text is given the seconds since it began */
export function showProgress(stderr: OutputStream, text: (seconds: number) => string): { end: () => void } {
  if (stderr.isTTY !== true) return { end: () => undefined };
  const started = systemClock.steady();
  let isOver = false;
  const timer = setInterval(() => {
    stderr.write(`\r${text(Math.round((systemClock.steady() - started) / 1000))}\u001b[K`);
  }, progressMs);
  return {
    end() {
      if (isOver) return;
      isOver = true;
      clearInterval(timer);
      stderr.write('\r\u001b[K');
    },
  };
}
