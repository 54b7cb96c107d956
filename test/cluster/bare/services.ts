// What runs for as long as its place does: started in the background, found again by its pid file.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { enter, order } from './door.ts';
import { doorOf, home, logOf, room, type Place } from './layout.ts';

/** Milliseconds: on two busy cores the API server takes half a minute. */
const patience = 120_000;

/** Starts a service, unless it runs already. Its output goes to a log outside the place. */
export async function startService(place: Place, name: string, command: readonly string[]): Promise<void> {
  const log = logOf(place, name);
  mkdirSync(dirname(log), { recursive: true });
  const output = openSync(log, 'a');
  const script = `if [ -s "$1" ] && kill -0 "$(cat "$1")" 2> /dev/null; then exit 0; fi
    pidfile=$1; shift; rm -f "$pidfile"
    setsid --fork sh -c 'echo $$ > "$0"; exec "$@"' "$pidfile" "$@"
    until [ -s "$pidfile" ]; do sleep 0.01; done`;
  const words = ['sh', '-euc', script, 'sh', pidFile(place, name), ...command];
  const child = spawn(doorOf(place), words, { stdio: ['ignore', output, output] });
  closeSync(output);
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`${name} cannot be started in ${place}:\n${lastLines(place, name)}`);
}

/** Returns when it has ended; one that does not run is left as it is. */
export async function stopService(place: Place, name: string, signal: 'TERM' | 'KILL' = 'TERM'): Promise<void> {
  const script = `[ -s "$1" ] || exit 0; pid=$(cat "$1"); rm "$1"
    kill -s "$2" "$pid" 2> /dev/null || exit 0
    for attempt in $(seq 200); do
      kill -0 "$pid" 2> /dev/null || exit 0
      sleep 0.05
    done
    kill -KILL "$pid"`;
  await order(place, 'sh', ['-uc', script, 'sh', pidFile(place, name), signal]);
}

/** Waits for something that a service should do, and says what the service said when it does not. */
export async function untilServed(place: Place, name: string, check: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + patience;
  while (performance.now() < end) {
    if (await check()) return;
    if (!(await isAlive(place, name))) {
      throw new Error(`${name} in ${place} has ended; its log:\n${lastLines(place, name)}`);
    }
    await sleep(100);
  }
  throw new Error(`${name} in ${place} does not answer; its log:\n${lastLines(place, name)}`);
}

async function isAlive(place: Place, name: string): Promise<boolean> {
  const script = 'kill -0 "$(cat "$1")"';
  return (await enter(place, 'sh', ['-c', script, 'sh', pidFile(place, name)])).code === 0;
}

function lastLines(place: Place, name: string): string {
  const log = logOf(place, name);
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').slice(-15).join('\n') : '(nothing)';
}

/** In a node where Debian has it; the room has no /run of its own. */
function pidFile(place: Place, name: string): string {
  return place === room ? join(home, `${name}.pid`) : `/run/${name}.pid`;
}
