/**
 * argv and environment -> one command with one validated configuration; nothing else.
 */
import { Argument, Command, CommanderError, Option } from 'commander';
import type { ApplyConfig, CheckConfig, RemoveConfig, RenderConfig, RunConfig, Streams } from './commands/config.ts';
import { exitCodes } from './commands/config.ts';
import { type Environment, environmentPrefix, strayVariables, takeEnvironment } from './commands/environment.ts';
import { say } from './commands/say.ts';
import { type StatusChoice, statusOptions } from './commands/status-options.ts';
import {
  collect,
  collectLabels,
  collectProbes,
  collectRegistries,
  parseCount,
  parseDirectory,
  parseDuration,
  parseInstance,
  parseListen,
  parseNodeName,
  parseSecret,
} from './commands/values.ts';
import { Problem, UsageProblem } from './host/problem.ts';
import { type FormatName, formatNames } from './render/names.ts';

/** The release, as the image and the package name it. */
export const version = '0.1.0';

const bundleOption = (): Option =>
  new Option('--bundle <path>', 'directory or file of certificates (required); repeatable').argParser(collect);

const rules = (): readonly Option[] => [
  new Option('--max-certificates <count>', 'refuse a bundle of more certificates than this')
    .argParser(parseCount)
    .default(100),
  new Option('--allow-leaf', 'accept certificates that are not CAs, with a warning').default(false),
  new Option('--allow-empty', 'a bundle without any certificate is valid: it removes all').default(false),
];

const strictOption = (): Option => new Option('--strict', 'any error in the bundle refuses all of it').default(false);

const instanceOption = (): Option =>
  new Option('--instance <name>', 'keeps two agents on one node apart').argParser(parseInstance).default('default');

const host = (): readonly Option[] => [
  new Option('--host-root <directory>', "where the host's root is mounted").argParser(parseDirectory).default('/host'),
  instanceOption(),
  new Option(
    '--store-refresh <who>',
    "who refreshes the host's store: command, by its refresh command, or unit, for which the host has the units of render systemd",
  )
    .choices(['command', 'unit'])
    .default('command'),
];

const pulls = (): readonly Option[] => [
  new Option(
    '--runtime-refresh <way>',
    "how the container runtimes' pulls come to trust the store: auto, without a restart as far as that goes; certs.d, the " +
      'same, and not converged where it does not go; restart, permits restarts; off',
  )
    .choices(['auto', 'certs.d', 'restart', 'off'])
    .default('auto'),
  new Option(
    '--registry <name>',
    'HOST[:PORT] that dockerd and CRI-O pull from: they have no directory for all registries; repeatable',
  ).argParser(collectRegistries),
  new Option('--probe <address>', "HOST:PORT to verify against the host's store after a change; repeatable").argParser(
    collectProbes,
  ),
];

const outputOption = (): Option =>
  new Option('--output <format>', 'how to print the result').choices(['table', 'json']).default('table');

const dryRunOption = (): Option => new Option('--dry-run', 'change nothing, print what would change').default(false);

/** What the agent logs is of the first three; pino knows more. */
const levels = ['info', 'warn', 'error', 'silent'];

const daemon = (): readonly Option[] => [
  new Option(
    '--secret <namespace/name>',
    'the Secret that --bundle mounts: followed through the API server, a change arrives in a second',
  ).argParser(parseSecret),
  new Option('--resync <duration>', 'look at everything again after this time, 1s to 24d')
    .argParser(parseDuration)
    .default(600_000, '10m'),
  new Option('--listen <address>', 'where /healthz, /livez, /readyz and /metrics answer')
    .argParser(parseListen)
    .default({ host: '127.0.0.1', port: 9641 }, '127.0.0.1:9641'),
  new Option(
    '--node-name <name>',
    'the own Node: it is told how its trust stands, and on SIGTERM without its label all is removed',
  ).argParser(parseNodeName),
  new Option(
    '--node-label <label>',
    'the label that enables a node; repeatable: one of them is enough (default: node-ca-trust.io/enabled=true)',
  ).argParser(collectLabels),
  new Option('--log-level <level>', 'how much to log').choices(levels).default('info'),
];

/** What is left to do when the words are understood; the heavy parts of a command are loaded only when it is the one. */
type Task = (streams: Streams) => Promise<number>;

function requireBundle(bundle: readonly string[] | undefined): readonly string[] {
  if (bundle !== undefined) return bundle;
  throw new UsageProblem('no --bundle: name the directory or file that holds the certificates');
}

/** As much of the daemon's configuration as the options alone give. */
type Asked = Omit<RunConfig, 'nodeLabel' | 'version' | 'resyncMs'> &
  Partial<Pick<RunConfig, 'nodeLabel'>> & { readonly resync: number; readonly dryRun: boolean };

/** The label of the base manifest. */
const enabled = [{ key: 'node-ca-trust.io/enabled', value: 'true' }];

function runTask({ resync, dryRun, nodeLabel = enabled, ...options }: Asked, stop: AbortSignal): Task {
  if (dryRun) throw new UsageProblem('--dry-run: run always changes the host; ask apply what it would change');
  const config = { ...options, bundle: requireBundle(options.bundle), nodeLabel, resyncMs: resync, version };
  if (config.secret !== undefined && config.bundle.length > 1)
    throw new UsageProblem('--secret reads what --bundle mounts: name that one --bundle, and no other');
  return async (streams) => (await import('./commands/run.ts')).run(config, streams, stop);
}

function define(program: Command, name: string, description: string, options: readonly Option[]): Command {
  const command = program.command(name).description(description);
  for (const option of options) command.addOption(option);
  return command;
}

type Choose = (task: Task) => void;

function defineRun(program: Command, stop: AbortSignal, choose: Choose): void {
  // Known to be refused: who sets its variable for all commands must not find the host changed.
  const refused = dryRunOption().hideHelp();
  const options = [bundleOption(), ...host(), ...rules(), strictOption(), ...pulls(), ...daemon(), refused];
  define(program, 'run', 'the daemon: a pass on every change, until SIGTERM', options).action((chosen: Asked) => {
    choose(runTask(chosen, stop));
  });
}

function defineApply(program: Command, choose: Choose): void {
  const options = [bundleOption(), ...host(), ...rules(), strictOption(), ...pulls(), dryRunOption(), outputOption()];
  define(program, 'apply', 'one pass; exit 0 when the host is proven to trust the bundle, 1 when not', options).action(
    (chosen: ApplyConfig) => {
      const config = { ...chosen, bundle: requireBundle(chosen.bundle) };
      choose(async (streams) => (await import('./commands/apply.ts')).apply(config, streams));
    },
  );
}

function defineCheck(program: Command, choose: Choose): void {
  define(program, 'check', 'validates bundles; exit 0 without errors, 1 with', [...rules(), outputOption()])
    .argument('<path...>', 'files or directories; - is standard input, a Secret or ConfigMap as JSON too')
    .action((paths: readonly string[], chosen: Omit<CheckConfig, 'paths'>) => {
      const config = { ...chosen, paths };
      choose(async (streams) => (await import('./commands/check.ts')).check(config, streams, new Date()));
    });
}

function defineStatus(program: Command, environment: Environment, stop: AbortSignal, choose: Choose): void {
  const command = define(
    program,
    'status',
    'which nodes of the cluster trust what; exit 0 when all do',
    statusOptions(),
  );
  command.action(({ timeout, nodeLabel = enabled, ...chosen }: StatusChoice) => {
    // Its variable may be set for all calls; who writes it in one means that one to wait.
    if (!chosen.wait && command.getOptionValueSource('timeout') === 'cli')
      throw new UsageProblem('--timeout is how long --wait waits: add --wait, or leave it out');
    const config = { ...chosen, nodeLabel, timeoutMs: timeout };
    choose(async (into) => (await import('./commands/status.ts')).status(config, environment, into, stop));
  });
}

function defineRender(program: Command, choose: Choose): void {
  const options = [...rules(), instanceOption()];
  define(program, 'render', 'prints what puts a bundle on a node that no agent has been on', options)
    .addArgument(new Argument('<format>', 'what for').choices(formatNames))
    .argument('[path...]', 'files or directories; - is standard input, a Secret or ConfigMap as JSON too')
    .action((format: FormatName, paths: readonly string[], chosen: Omit<RenderConfig, 'format' | 'paths'>) => {
      const config = { ...chosen, format, paths };
      choose(async (streams) => (await import('./commands/render.ts')).render(config, streams, new Date()));
    });
}

/** The words of the command line; each command ends in `choose` with what it has to do. */
function createProgram(environment: Environment, streams: Streams, stop: AbortSignal, choose: Choose): Command {
  const program = new Command('node-ca-trust')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void streams.stdout.write(text),
      writeErr: (text) => void streams.stderr.write(text),
      outputError: (text) => {
        say(streams, usageLine(text));
      },
    })
    .description("Installs a company's own CAs into a Linux host's trust store, proves it, and keeps it so.")
    .version(version)
    .addHelpText(
      'afterAll',
      `\nEach option is also an environment variable: --host-root is ${environmentPrefix}HOST_ROOT.`,
    );
  program.hook('preAction', (_program, command) => {
    takeEnvironment(command, environment);
  });
  defineRun(program, stop, choose);
  defineApply(program, choose);
  defineCheck(program, choose);
  defineStatus(program, environment, stop, choose);
  const forRemove = [...host(), dryRunOption(), outputOption()];
  define(program, 'remove', "takes this instance's anchors off the host and proves it", forRemove).action(
    (chosen: RemoveConfig) => {
      choose(async (into) => (await import('./commands/apply.ts')).remove(chosen, into));
    },
  );
  defineRender(program, choose);
  return program;
}

/** One line of what commander says in several. */
function usageLine(text: string): string {
  const words = text
    .replace(/^error: /, '')
    .trim()
    .replace('is invalid. ', 'is invalid: expected ')
    .replace('expected Allowed choices are', 'expected one of')
    .replace(/\.$/, '');
  return `${words.split(/\s*\n\s*/).join(' ')}; see --help`;
}

/** Understands the command line. @throws UsageProblem; CommanderError when help or the version was asked for */
async function understand(
  argv: readonly string[],
  environment: Environment,
  streams: Streams,
  stop: AbortSignal,
): Promise<Task> {
  const chosen: Task[] = [];
  const program = createProgram(environment, streams, stop, (task) => chosen.push(task));
  for (const line of strayVariables(program, environment)) say(streams, line);
  if (argv.length > 0) await program.parseAsync([...argv], { from: 'user' });
  const [task] = chosen;
  if (task !== undefined) return task;
  throw new UsageProblem('no command: name one of run, apply, check, status, remove, render; see --help');
}

/**
 * Runs one command.
 * @param argv the arguments after the program's name
 * @returns the exit code: 0 done, 1 refused or not proven, 2 wrong usage
 */
export async function main(
  argv: readonly string[],
  environment: Environment,
  streams: Streams,
  stop: AbortSignal,
): Promise<number> {
  try {
    const task = await understand(argv, environment, streams, stop);
    return await task(streams);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (!(error instanceof Problem)) throw error;
    say(streams, error.message);
    return error instanceof UsageProblem ? exitCodes.usage : exitCodes.refused;
  }
}
