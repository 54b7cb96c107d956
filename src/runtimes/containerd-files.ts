/**
 * The files that a containerd process takes its configuration from: named on its command line, with all that they
 * import, in its order. After cmd/containerd/command/main.go and server/config/config.go of containerd 1.5 to 2.3; no
 * environment variable counts.
 */
import { posix } from 'node:path';
import { TomlError, parse } from 'smol-toml';
import type { Host } from '../host/host.ts';
import { Problem, explain } from '../host/problem.ts';
import { isTable } from './toml-lines.ts';

export type Reader = Pick<Host, 'read' | 'list'>;
export type Table = Readonly<Record<string, unknown>>;

export interface ConfigFile {
  readonly path: string;
  /** 0 where the file names none. */
  readonly version: number;
  readonly table: Table;
}

export interface CommandLine {
  readonly config: string;
  /** The file is named there: then containerd does not start without it. */
  readonly named: boolean;
  readonly address: string | undefined;
  /** Not a command such as `containerd publish`, which shims run for a moment. */
  readonly daemon: boolean;
}

/** The table of this name in another; an empty one where there is none. */
export function tableAt(table: Table, name: string): Table {
  const value = table[name];
  return isTable(value) ? value : {};
}

/** The texts of a list in a table. */
export function textsAt(table: Table, name: string): readonly string[] {
  const value = table[name];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** The options that take a value, by the name that each is known by here. */
const options: Readonly<Record<string, string>> = {
  config: 'config',
  c: 'config',
  address: 'address',
  a: 'address',
  'log-level': 'log-level',
  l: 'log-level',
  root: 'root',
  state: 'state',
};

/**
 * Reads containerd's command line by the rules of Go's flag package: one dash or two, the value behind `=` or next.
 * @param argv the program's name first
 */
export function readCommandLine(argv: readonly string[]): CommandLine {
  const values = new Map<string, string>();
  let at = 1;
  for (; at < argv.length; at += 1) {
    const [, name, joined] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argv[at] ?? '') ?? [];
    if (name === undefined) break;
    const option = options[name];
    if (option !== undefined) values.set(option, joined ?? argv[(at += 1)] ?? '');
  }
  return {
    // A path is relative to the process's directory, which is / under systemd.
    config: posix.resolve('/', values.get('config') ?? 'etc/containerd/config.toml'),
    named: values.has('config'),
    address: values.get('address'),
    daemon: argv[at] === undefined,
  };
}

/** Parsed, a file takes many times its room. */
const mostBytes = 1024 * 1024;

/** Why it does no harm yet. */
const meanwhile = 'containerd runs with what was there when it started';

function parseFile(path: string, bytes: Buffer): ConfigFile {
  try {
    const table = parse(bytes.toString('utf8'), { integersAsBigInt: 'asNeeded', unsafeKeyBehaviour: 'drop' });
    return { path, version: typeof table['version'] === 'number' ? table['version'] : 0, table };
  } catch (error) {
    const place = error instanceof TomlError ? `${path}:${error.line}` : path;
    const what = explain(error).replace('Invalid TOML document: ', '');
    throw new Problem(`${place}: not valid TOML (${what}); ${meanwhile}: correct it before the next start`, {
      cause: error,
    });
  }
}

/** One name of a pattern as Go's filepath.Match takes it; a leading dot is nothing special there. */
function matcherOf(pattern: string): RegExp {
  const source = pattern.replace(/\[\^?[^\]]+\]|\\?[^]/g, (token) => {
    if (token === '*' || token === '?') return token === '*' ? '.*' : '.';
    return token.replace(/^\\?([\\^$.*+?()[\]{}|/])$/, '\\$1');
  });
  return new RegExp(`^${source}$`, 's');
}

/** The paths that a pattern matches, as Go's filepath.Glob finds them. */
function glob(host: Reader, pattern: string): readonly string[] {
  const names = pattern.split('/').filter((name) => name !== '');
  const found = names.reduce<readonly string[]>(
    (directories, name) =>
      directories.flatMap((directory) => {
        if (!/[*?[\\]/.test(name)) return [posix.join(directory, name)];
        const matcher = matcherOf(name);
        return (host.list(directory) ?? []).filter((it) => matcher.test(it)).map((it) => posix.join(directory, it));
      }),
    ['/'],
  );
  return found.filter((path) => host.list(posix.dirname(path))?.includes(posix.basename(path)));
}

function importsOf(host: Reader, file: ConfigFile, globsFromRoot: boolean): readonly string[] {
  return textsAt(file.table, 'imports').flatMap((path) => {
    if (!path.includes('*')) return [posix.resolve(posix.dirname(file.path), path)];
    return glob(host, posix.resolve(globsFromRoot ? '/' : posix.dirname(file.path), path));
  });
}

/**
 * Reads a process's files, each before those that it imports, all of one depth before the next; what comes later
 * overrides. One that was read is not read again.
 * @param globsFromRoot patterns are relative to the process's directory, not to the file's
 * @throws Problem naming the file that cannot be read, or the line that does not parse
 */
export function readFiles(host: Reader, line: CommandLine, globsFromRoot: boolean): readonly ConfigFile[] {
  const files: ConfigFile[] = [];
  let size = 0;
  const pending = [{ path: line.config, by: "containerd's command line" }];
  for (const { path, by } of pending) {
    if (files.some((file) => file.path === path)) continue;
    const bytes = host.read(path);
    if (bytes === undefined && files.length === 0 && !line.named) return [];
    if (bytes === undefined) {
      throw new Problem(`${path} is not there, and ${by} names it; ${meanwhile}: put it back before the next start`);
    }
    size += bytes.length;
    if (size > mostBytes) {
      throw new Problem(
        `${path}: all files of the configuration together are longer than ${mostBytes} bytes; shorten it`,
      );
    }
    const file = parseFile(path, bytes);
    files.push(file);
    pending.push(...importsOf(host, file, globsFromRoot).map((it) => ({ path: it, by: path })));
  }
  return files;
}
