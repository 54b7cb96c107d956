// The watcher's own process: reads one file again and again and counts what it saw. See watcher.ts.
import { closeSync, openSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { classify, states, type Expectation, type State } from './classify.ts';
import type { WatcherReport } from './watcher.ts';

const [file = '', expectationJson = '{}'] = process.argv.slice(2);
const expectation = JSON.parse(expectationJson) as Expectation;
const counts = Object.fromEntries(states.map((state) => [state, 0])) as Record<State, number>;
const firstBad: Partial<Record<State, string>> = {};
const pause = new Int32Array(new SharedArrayBuffer(4));
const buffer = Buffer.alloc(2 ** 23);
let reads = 0;
let versions = 0;
const control = { stopped: false };
let seen: Buffer | undefined | null = null;
let verdict = classify(undefined, expectation);

process.on('message', () => (control.stopped = true));
process.on('disconnect', () => process.exit());
look();
process.send?.('ready');
while (!control.stopped) {
  // Some hundred looks between two turns of the event loop; a third of a millisecond between two looks leaves the
  // processor to the others.
  for (let turn = 0; turn < 100; turn += 1) {
    look();
    Atomics.wait(pause, 0, 0, 0.3);
  }
  await setImmediate();
}
look();
const report: WatcherReport = { reads, versions, counts, firstBad };
process.send?.(report, () => process.exit());

function look(): void {
  const bytes = read();
  reads += 1;
  if (seen === null || !same(bytes, seen)) {
    seen = bytes && Buffer.from(bytes);
    versions += 1;
    verdict = classify(bytes, expectation);
  }
  counts[verdict.state] += 1;
  if (verdict.state !== 'whole') firstBad[verdict.state] ??= `read ${reads}: ${verdict.detail}`;
}

/** The whole file as it was when it was opened, in a buffer that the next read takes again. */
function read(): Buffer | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  let length = 0;
  for (let more = 1; more > 0; length += more) more = readSync(descriptor, buffer, { offset: length });
  closeSync(descriptor);
  return buffer.subarray(0, length);
}

function same(left: Buffer | undefined, right: Buffer | undefined): boolean {
  return left === undefined || right === undefined ? left === right : left.equals(right);
}
