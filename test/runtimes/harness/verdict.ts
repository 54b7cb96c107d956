// What the agent says of the container runtimes, and what it left in their directories.
import { parse } from 'smol-toml';
import { expect } from 'vitest';
import type { PassOutcome } from '../../sandbox/harness/agent.ts';
import type { Machine } from './machine.ts';

/** One entry of `runtimes` in the JSON of `apply` and `remove`. */
export interface Verdict {
  readonly name: 'containerd' | 'docker' | 'cri-o';
  readonly version?: string;
  readonly socket: string;
  readonly pid: number;
  readonly unit?: string;
  readonly way: 'certs.d' | 'restart';
  readonly directories: readonly string[];
  readonly state: 'trusts' | 'restart-needed' | 'revoked-after-restart' | 'incomplete' | 'restart-failed';
  readonly message: string;
  readonly command?: string;
}

/** All of them. */
export function verdicts({ report }: PassOutcome): readonly Verdict[] {
  return (report as { runtimes?: readonly Verdict[] }).runtimes ?? [];
}

/** Of a machine that one runtime pulls images for: what is said of it. */
export function verdict(outcome: PassOutcome): Verdict {
  const [one, ...others] = verdicts(outcome);
  expect(others).toEqual([]);
  if (one === undefined) throw new Error(`nothing is said of a runtime: ${JSON.stringify(outcome)}`);
  return one;
}

/** Every path below directories: kind, mode, owner, a link's target, a file's hash. What is not there has no line. */
export async function listing(machine: Machine, ...directories: readonly string[]): Promise<string[]> {
  const script = `for directory; do
      if [ ! -e "$directory" ]; then continue; fi
      find "$directory" -printf '%y %m %U:%G %p -> %l\\n'
      find "$directory" -type f -exec sha256sum '{}' +
    done`;
  const { code, stdout, stderr } = await machine.inside('sh', '-euc', script, 'sh', ...directories);
  if (code !== 0) throw new Error(`${directories.join(' ')} cannot be listed: ${stderr}`);
  return stdout.split('\n').filter(Boolean).sort();
}

/** A hosts.toml as containerd takes it, but for whom it trusts. Throws when it does not parse. */
export function hostsWithoutCa(text: string): unknown {
  return without('ca', parse(text));
}

/** Whom a hosts.toml trusts: the files that it names, wherever in it. Throws when it does not parse. */
export function caFilesOf(text: string): string[] {
  return filesIn(parse(text));
}

function filesIn(value: unknown): string[] {
  if (!isTable(value)) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name === 'ca' ? [inner].flat().filter((file) => typeof file === 'string') : filesIn(inner),
  );
}

/** A table that holds nothing then says nothing, and goes too. */
function without(unwanted: string, value: unknown): unknown {
  if (!isTable(value)) return value;
  const fields = Object.entries(value)
    .filter(([name]) => name !== unwanted)
    .map(([name, inner]) => [name, without(unwanted, inner)] as const);
  return Object.fromEntries(fields.filter(([, inner]) => !isTable(inner) || Object.keys(inner).length > 0));
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
