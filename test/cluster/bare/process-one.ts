// Finds the processes of a cluster by their arguments: no file has to say where they are, so none can be stale.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { home, room, slotOf, type Place } from './layout.ts';

/** Process 1 of a place, by its number on the machine; undefined when the place is dark. */
export function processOne(place: Place): number | undefined {
  return marked(place).find((pid) => numbersOf(pid).at(-1) === 1 && numbersOf(pid).length > 1);
}

/** Waits until a place has built itself: its first script has become the program that stays. */
export async function untilBuilt(place: Place, log: string): Promise<number> {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    const pid = processOne(place);
    if (pid !== undefined && argumentsOf(pid).length === 3) return pid;
    await sleep(25);
  }
  throw new Error(`${place} was not built within 10 s:\n${read(log).trim()}`);
}

/** Ends a place with everything in it: the kernel ends all processes of a process namespace whose first one ends. */
export async function endPlace(place: Place): Promise<void> {
  const processes = marked(place);
  const first = processOne(place);
  // Whoever built it waits for it, and then ends too; a place that is only half built has nothing but its builder.
  for (const pid of first === undefined ? processes : [first]) kill(pid);
  for (let attempt = 0; attempt < 400; attempt += 1) {
    // A process that is about to end has no arguments any more, but is not gone before all below it are.
    if (processes.every((pid) => !existsSync(`/proc/${pid}`))) return;
    await sleep(25);
  }
  throw new Error(`${place} has not ended within 10 s: processes ${processes.join(' ')}`);
}

/** The directory of a cluster that has this one's names and addresses, if one runs. */
export function otherHome(): string | undefined {
  const rooms = processIds()
    .map(argumentsOf)
    .filter(([program = '', place]) => /\bpause$/.test(program) && place === room);
  const others = rooms.map(([, , directory = '']) => directory).filter((directory) => directory !== home);
  return others.find((directory) => slotOf(directory) === slotOf(home));
}

/** What built a place, or is its process 1: the last two arguments say so. */
function marked(place: Place): number[] {
  return processIds().filter((pid) => {
    const last = argumentsOf(pid).slice(-2);
    return last[0] === place && last[1] === home;
  });
}

function processIds(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

function argumentsOf(pid: number): string[] {
  return read(`/proc/${pid}/cmdline`).split('\0').slice(0, -1);
}

/** A process's numbers, from the machine's namespace inwards. */
function numbersOf(pid: number): number[] {
  const line = /^NSpid:\s*(.*)$/m.exec(read(`/proc/${pid}/status`));
  return (line?.[1] ?? '').split(/\s+/).map(Number);
}

/** Empty for a process that has ended. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
