/**
 * The metrics, made when somebody first asks for them: an agent that nobody scrapes does not carry the library.
 */
import type { Metrics, PassCount } from './metrics.ts';
import type { PassResult } from './report.ts';

export interface Scrape {
  /** @param lagMs how long a changed bundle took to be proven, when this pass proved one */
  readonly record: (result: PassResult, lagMs?: number) => void;
  /** The text that Prometheus reads, and its content type. */
  answer(): Promise<{ readonly text: string; readonly type: string }>;
}

/** A week of passes at the default resync; what nobody has asked for in so long is not counted. */
const waitingLimit = 1_000;

/** Opens the metrics of one agent. */
export function openScrape(): Scrape {
  const waiting: PassCount[] = [];
  let last: PassResult | undefined;
  let metrics: Metrics | undefined;
  return {
    record(result, lagMs) {
      last = result;
      const { converged, repaired, milliseconds } = result;
      waiting.push({ converged, repaired, milliseconds, lagMs });
      if (waiting.length > waitingLimit) waiting.shift();
    },
    async answer() {
      const { openMetrics } = await import('./metrics.ts');
      metrics ??= openMetrics();
      for (const pass of waiting.splice(0)) metrics.count(pass);
      if (last !== undefined) metrics.show(last);
      return { text: await metrics.text(), type: metrics.contentType };
    },
  };
}
