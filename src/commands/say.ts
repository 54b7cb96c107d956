/**
 * What a person is told beside the result, on standard error.
 */
import { printable } from '../bundle/text.ts';
import type { Streams } from './config.ts';

/** Longer than any line that was meant to be read. */
export const lineLimit = 2_000;

/** Says one line: nothing that was typed or read can end it, or reach the terminal as a command. */
export function say({ stderr }: Pick<Streams, 'stderr'>, line: string): void {
  stderr.write(`node-ca-trust: ${printable(line, lineLimit)}\n`);
}
