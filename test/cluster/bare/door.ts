// The way into a place from outside: a command is run in its namespaces, its root and its control groups.
import { rmSync, writeFileSync } from 'node:fs';
import { cleanEnvironment } from '../../sandbox/harness/environment.ts';
import type { CommandOptions } from '../cluster.ts';
import { attempt, run, type Result } from '../process.ts';
import { membersOf } from './control-groups.ts';
import { doorOf, room, type Place } from './layout.ts';
import { processOne } from './process-one.ts';

/** Milliseconds. */
const patience = 60_000;

/** Writes the script that a person can use too. It is only good for as long as the place is not built anew. */
export function openDoor(place: Place): void {
  const pid = processOne(place);
  if (pid === undefined) throw new Error(`${place} is not running`);
  const environment = Object.entries(cleanEnvironment).map(([name, value]) => `${name}=${value}`);
  const members = place === room ? [] : membersOf(place);
  const lines = [
    '#!/bin/sh',
    `# Runs a command in ${place}: ${doorOf(place)} COMMAND ARGS...`,
    ...members.map((file) => `echo $$ > '${file}'`),
    `exec nsenter --target ${pid} --all --root --wd -- env -i ${environment.join(' ')} "$@"`,
  ];
  writeFileSync(doorOf(place), `${lines.join('\n')}\n`, { mode: 0o700 });
}

export function closeDoor(place: Place): void {
  rmSync(doorOf(place), { force: true });
}

/** Runs a command to its end; an exit code other than 0 is no exception. */
export function enter(
  place: Place,
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Result> {
  return attempt(doorOf(place), words(command, args, options), { input: options.input ?? '' });
}

/** The same for a command that has to succeed; gives what it printed. */
export function order(
  place: Place,
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  return run(doorOf(place), words(command, args, options), { input: options.input ?? '' });
}

/** From in there, since a signal from outside would end the way in and not what went through it. */
function words(command: string, args: readonly string[], { timeout = patience }: CommandOptions): string[] {
  return ['timeout', '--signal=KILL', String(timeout / 1000), command, ...args];
}
