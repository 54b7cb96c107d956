/**
 * Options by environment variable: NODE_CA_TRUST_ and the option's name.
 */
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { UsageProblem } from '../host/problem.ts';
import { collect, collectLabels, collectProbes, collectRegistries } from './values.ts';

export const environmentPrefix = 'NODE_CA_TRUST_';

function parseBoolean(name: string, text: string): boolean {
  if (/^(true|1|yes)$/i.test(text)) return true;
  if (/^(false|0|no)?$/i.test(text)) return false;
  throw new UsageProblem(`${name}=${text}: expected true or false`);
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment variable of an option. */
function variableOf(option: Option): string {
  return environmentPrefix + option.name().replaceAll('-', '_').toUpperCase();
}

/** Options that may be given several times: their variable holds several values, with this between them. */
const separators: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [collect, ':'],
  [collectLabels, ':'],
  // Colons stand before their ports.
  [collectProbes, ','],
  [collectRegistries, ','],
]);

function values(text: string, separator: string): readonly string[] {
  return text === '' ? [text] : text.split(separator).filter(Boolean);
}

function environmentValue(option: Option, text: string): unknown {
  const name = variableOf(option);
  if (option.isBoolean()) return parseBoolean(name, text);
  const separator = separators.get(option.parseArg);
  const texts = separator === undefined ? [text] : values(text, separator);
  try {
    return texts.reduce<unknown>((value, part) => option.parseArg?.(part, value) ?? part, undefined);
  } catch (error) {
    if (error instanceof InvalidArgumentError)
      throw new UsageProblem(`${name}=${text}: expected ${error.message.replace(/^Allowed choices are/, 'one of')}`, {
        cause: error,
      });
    throw error;
  }
}

/** Options that the command line leaves open are taken from the environment. */
export function takeEnvironment(command: Command, environment: Environment): void {
  for (const option of command.options) {
    const text = environment[variableOf(option)];
    const attribute = option.attributeName();
    if (text === undefined || command.getOptionValueSource(attribute) === 'cli') continue;
    command.setOptionValueWithSource(attribute, environmentValue(option, text), 'env');
  }
}

/** What Kubernetes itself sets in a namespace that has a Service whose name begins with ours. */
const serviceLink = /_(SERVICE_(HOST|PORT(_.+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

/** A line for each variable that bears our prefix and is no command's: a typo would take its option away unnoticed. */
export function strayVariables(program: Command, environment: Environment): readonly string[] {
  const known = program.commands.flatMap(({ options }) => options.map(variableOf));
  const strays = Object.keys(environment).filter(
    (name) => name.startsWith(environmentPrefix) && !known.includes(name) && !serviceLink.test(name),
  );
  return strays.map((name) => `warning: ${name} is no option's variable; see --help`);
}
