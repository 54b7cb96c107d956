// docs/reference.md says what the program says of itself, and docs/json.md and docs/monitoring.md what it exports.
import { beforeAll, describe, expect, it } from 'vitest';
import { severities } from '../../../src/bundle/types.ts';
import { main } from '../../../src/cli.ts';
import { formatNames } from '../../../src/render/names.ts';
import { openMetrics } from '../../../src/report/metrics.ts';
import { capturedStreams } from '../support/streams.ts';
import { codeOf, rowsOf, section, textOf } from './pages.ts';

const commands = ['run', 'apply', 'check', 'remove', 'status', 'render'] as const;

interface Option {
  readonly name: string;
  /** As --help shows it: a value, or words; "off" of a switch. */
  readonly default: string | undefined;
}

async function helpOf(...argv: readonly string[]): Promise<string> {
  const streams = capturedStreams();
  expect(await main([...argv, '--help'], {}, streams, AbortSignal.abort())).toBe(0);
  return streams.stdout.text;
}

/** The options that a command's help lists. */
async function optionsOf(command: string): Promise<readonly Option[]> {
  const [, list = ''] = (await helpOf(command)).split('Options:\n');
  const entries = list.split(/\n(?= {2}-)/).map((entry) => entry.trim().replace(/\s+/g, ' '));
  return entries
    .filter((entry) => entry.startsWith('--'))
    .map((entry) => {
      const [name = ''] = entry.split(' ');
      const value = /default: "?([^")]+)"?\)$/.exec(entry)?.[1];
      return { name, default: value === 'false' ? 'off' : value };
    });
}

/** The commands that know an option, and its default. */
const known = new Map<string, { readonly commands: string[]; readonly default: string | undefined }>();

beforeAll(async () => {
  for (const command of commands) {
    for (const { name, default: value } of await optionsOf(command)) {
      const option = known.get(name) ?? { commands: [], default: value };
      option.commands.push(command);
      known.set(name, option);
    }
  }
});

const table = rowsOf(section('docs/reference.md', '## Options')).map(([option, variable, value = '', , used = '']) => {
  const [name = ''] = codeOf(option)[0]?.split(' ') ?? [];
  return { name, variable: codeOf(variable)[0], default: value, commands: used.split(' ').sort() };
});

describe('the table of options', () => {
  it('has the options of the program, each with the commands that take it', () => {
    const all = [...known].map(([name, option]) => ({ name, commands: [...option.commands].sort() }));
    const rows = table.map(({ name, commands: used }) => ({ name, commands: used }));
    const byName = (a: { readonly name: string }, b: { readonly name: string }): number => a.name.localeCompare(b.name);
    expect(rows.sort(byName)).toEqual(all.sort(byName));
  });

  it.each(table)('has the variable of $name', async ({ name, variable = '' }) => {
    expect(variable).toBe(name.slice(2).replaceAll('-', '_').toUpperCase());
    const streams = capturedStreams();
    await main(['check', '--help'], { [`NODE_CA_TRUST_${variable}`]: '' }, streams, AbortSignal.abort());
    expect(streams.stderr.text).toBe('');
  });

  it.each(table)('has the default of $name', ({ name, default: said }) => {
    const real = known.get(name)?.default;
    const [value] = /^`[^`]+`$/.test(said) ? codeOf(said) : [undefined];
    if (value !== undefined || said === 'off') expect(real).toBe(value ?? said);
    // Words, where the default is no value: --help has words too, or nothing.
    else expect([undefined, 'as kubectl finds it', 'its current one', 'everywhere']).toContain(real);
  });
});

it('the table of findings has each code with its severity', () => {
  const rows = rowsOf(section('docs/reference.md', '## Findings'));
  const said = rows.flatMap(([codes, severity]) => codeOf(codes).map((code) => [code, severity]));
  expect(said.length).toBe(Object.keys(severities).length);
  expect(Object.fromEntries(said)).toEqual(severities);
});

describe('the commands', () => {
  const named = (page: string): readonly string[] =>
    rowsOf(section(page, '## Commands'))
      .flatMap(([command]) => codeOf(command))
      .map((command) => command.split(' ')[0] ?? '')
      .sort();

  it.each(['README.md', 'docs/reference.md'])('are those of the program in %s', async (page) => {
    const [, list = ''] = (await helpOf()).split('Commands:\n');
    const real = [...list.matchAll(/^ {2}(\w+)/gm)].map(([, name = '']) => name).filter((name) => name !== 'help');
    expect(named(page)).toEqual(real.sort());
  });

  it('render prints the formats that the pages name', () => {
    const row = rowsOf(section('docs/reference.md', '## Commands')).find(([command]) => command?.startsWith('`render'));
    expect([...codeOf(row?.[1])].sort()).toEqual([...formatNames].sort());
    const firstBoot = rowsOf(textOf('docs/first-boot.md')).flatMap(([, format]) => codeOf(format));
    expect(firstBoot).toEqual(expect.arrayContaining([...formatNames]));
  });
});

describe('the metrics', () => {
  it('are those that docs/json.md lists', async () => {
    const real = [...(await openMetrics().text()).matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, ...words]) => words);
    const said = rowsOf(section('docs/json.md', '## Metrics')).map(([name, type]) => [codeOf(name)[0], type]);
    expect(said).toEqual(real);
  });

  it('docs/monitoring.md has each alert, for how long, and no other', () => {
    const rules = textOf('deploy/monitoring/rules.yaml');
    const real = [...rules.matchAll(/alert: (\w+)$[^]*?^ +for: (\w+)$/gm)].map(([, name, time]) => [name, time]);
    const said = rowsOf(section('docs/monitoring.md', '## Alerts')).map(([name, , time]) => [
      codeOf(name)[0],
      time?.replace(' ', ''),
    ]);
    expect(said).toEqual(real);
  });
});
