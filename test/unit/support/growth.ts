// How the work grows with what it is given, by this process's own processor time: another's load does not count.

const [small, large] = [2 ** 18, 2 ** 20];
/** Below that the clock of the kernel says nothing. */
const leastMs = 5;

/** The processor time of some work. */
export function processorMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** The work for a megabyte by that for a quarter of one: 4 where it is in proportion, 16 where it is by the square. */
export function growth(work: (size: number) => void): number {
  const best = (size: number): number =>
    Math.min(
      ...[0, 1, 2].map(() =>
        processorMs(() => {
          work(size);
        }),
      ),
    );
  return best(large) / Math.max(best(small), leastMs);
}
