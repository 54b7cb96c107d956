// The measuring itself: processor time, memory and context switches from /proc (proc_pid_stat(5), proc_pid_status(5)),
// and what is said of several samples.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';

/** USER_HZ, in which /proc counts: 100 on every architecture that Node runs on. One step is 10 ms. */
const tickMs = 10;

export interface ChildrenSoFar {
  /** User and system time of all descendants that ended and were waited for. */
  readonly cpuMs: number;
  /** Their minor page faults. No program starts without some hundred: unchanged means that none was run. */
  readonly faults: number;
}

/** What the ended descendants of a process have used so far. */
export function endedChildren(pid: number | 'self' = 'self'): ChildrenSoFar {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, in parentheses, may hold anything; what follows it is fields 3 and on.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  return { cpuMs: (field(16) + field(17)) * tickMs, faults: field(11) };
}

/** Processes whose parent is this one. */
export function livingChildren(parent: number): readonly number[] {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return processes.map(Number).filter((pid) => parentOf(pid) === parent);
}

function parentOf(pid: number): number | undefined {
  try {
    return statusField(`/proc/${pid}/status`, 'PPid');
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}

function statusField(path: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(path, 'utf8'));
  return Number(match?.[1] ?? Number.NaN);
}

export interface Memory {
  readonly rssMiB: number;
  readonly anonymousMiB: number;
}

export function memoryOf(pid: number): Memory {
  const mebibytes = (name: string): number => statusField(`/proc/${pid}/status`, name) / 1024;
  return { rssMiB: mebibytes('VmRSS'), anonymousMiB: mebibytes('RssAnon') };
}

/** How much was held at once at most since `forgetPeak`. */
export function peakOf(pid: number): number {
  return statusField(`/proc/${pid}/status`, 'VmHWM') / 1024;
}

/** The peak begins anew at what is held now (proc_pid_clear_refs(5)). */
export function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Processor time of all threads of a process so far, to the nanosecond (proc_pid_schedstat). */
export function processorMsOf(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return (
    sum(threads.map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]))) /
    1e6
  );
}

/** Context switches of all threads of a process so far, voluntary and not. */
export function switchesOf(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}/status`);
  const names = ['voluntary_ctxt_switches', 'nonvoluntary_ctxt_switches'];
  return sum(threads.flatMap((path) => names.map((name) => statusField(path, name))));
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function sorted(values: readonly number[]): readonly number[] {
  return values.toSorted((left, right) => left - right);
}

/** The value in the middle; NaN of nothing. */
export function median(values: readonly number[]): number {
  const ordered = sorted(values);
  const upper = ordered[Math.floor(ordered.length / 2)] ?? Number.NaN;
  const lower = ordered[Math.floor((ordered.length - 1) / 2)] ?? Number.NaN;
  return (lower + upper) / 2;
}

export interface Sampling {
  readonly wanted: number;
  /** On a slow machine no further sample is begun after so long, but so many are taken however long they last. */
  readonly longestMs: number;
  readonly fewest: number;
}

/** How many times as many samples are taken as usual, in as many times the time: none beyond the fewest in a short run. */
const patience = process.argv.includes('--full') ? 4 : process.argv.includes('--short') ? 0 : 1;

/** Whether it matters more that all is run than how certain the figures are. */
export const isShort = patience === 0;

/** Takes samples one after the other. */
export async function sample<T>(
  { wanted, longestMs, fewest }: Sampling,
  take: (index: number) => Promise<T>,
): Promise<readonly T[]> {
  const end = performance.now() + longestMs * patience;
  const samples: T[] = [];
  while (samples.length < fewest || (samples.length < wanted * patience && performance.now() < end)) {
    samples.push(await take(samples.length));
  }
  return samples;
}

export interface Ratio {
  /** The median of the pairs' ratios. */
  readonly value: number;
  /**
   * The true median lies above `low`, and below `high`, with more than 95 % each, whatever the distribution: order
   * statistics (sign test). Unknown, so without limits, for fewer than five pairs.
   */
  readonly low: number;
  readonly high: number;
}

export interface Pair {
  readonly ours: number;
  readonly theirs: number;
}

/** The ratio of ours to theirs over pairs that were taken close together, so that both met the same noise. */
export function ratioOf(pairs: readonly Pair[]): Ratio {
  const ratios = sorted(pairs.map(({ ours, theirs }) => ours / theirs));
  const value = median(ratios);
  if (ratios.length < 5) return { value, low: 0, high: Number.POSITIVE_INFINITY };
  // From eight pairs on the outermost one on each side may be left out.
  const cut = ratios.length >= 8 ? 1 : 0;
  return { value, low: ratios.at(cut) ?? 0, high: ratios.at(-1 - cut) ?? Number.POSITIVE_INFINITY };
}
