/**
 * How a containerd process pulls images, from its own configuration: which of its files and tables count, joined as its
 * version joins them, and what follows for pulls through CRI.
 */
import { posix } from 'node:path';
import type { Way } from './runtime.ts';
import {
  type CommandLine,
  type ConfigFile,
  type Reader,
  type Table,
  readCommandLine,
  readFiles,
  tableAt,
  textsAt,
} from './containerd-files.ts';
import {
  type Place,
  type Pulls,
  type Release,
  brokenBy,
  releaseOf,
  remedyOf,
  since,
  wayOf,
} from './containerd-registry.ts';
import { isTable } from './toml-lines.ts';

export interface ContainerdConfig {
  /** All that it consists of. One that is younger than the process counts from its next start only. */
  readonly files: readonly string[];
  /** The path of its socket. */
  readonly address: string;
  /** False where its CRI plugin is disabled: then it is no runtime of the kubelet's. */
  readonly pullsForNode: boolean;
  readonly way: Way;
  /** Why no pod would start after a restart; undefined where nothing is known to stand in the way. */
  readonly broken: string | undefined;
}

/** The CRI plugin, whose table holds everything in versions 1 (as `cri`) and 2 of the format. */
const cri = 'io.containerd.grpc.v1.cri';
/** The part of it that pulls, since version 3. */
const images = 'io.containerd.cri.v1.images';
const server = 'io.containerd.server.v1.grpc';
/** Without any of these nothing pulls for CRI. */
const needed: readonly string[] = [cri, images, 'io.containerd.cri.v1.runtime'];

const pluginsOf = (file: ConfigFile): Table => tableAt(file.table, 'plugins');

/** Joins tables by their keys, at every depth, as containerd 2.x does by mergo; lists are replaced. */
function merge(to: Table, from: Table): Table {
  const result: Record<string, unknown> = { ...to };
  for (const [name, value] of Object.entries(from)) {
    const before = result[name];
    result[name] = isTable(before) && isTable(value) ? merge(before, value) : value;
  }
  return result;
}

const pick = (table: Table, names: readonly string[]): Table =>
  Object.fromEntries(names.filter((name) => name in table).map((name) => [name, table[name]]));

/**
 * What containerd 2.x takes over from the CRI plugin's table for the plugin that pulls (plugins/cri/images/plugin.go):
 * settings of its `containerd` table only where that names runtimes, too.
 */
function migrate(plugins: Table): Table {
  const from = plugins[cri];
  if (!isTable(from)) return plugins;
  const containerd = tableAt(from, 'containerd');
  const pulling = {
    ...tableAt(plugins, images),
    ...pick(from, ['registry', 'max_concurrent_downloads', 'image_pull_with_sync_fs']),
    ...('runtimes' in containerd ? pick(containerd, ['discard_unpacked_layers', 'disable_snapshot_annotations']) : {}),
  };
  return { ...plugins, [images]: pulling };
}

/** A file as containerd 2.x takes it, which renames what version 1 of the format calls `cri`. */
function renamed(file: ConfigFile): ConfigFile {
  if (file.version >= 2) return file;
  const { cri: old, ...plugins } = pluginsOf(file);
  const disabled = textsAt(file.table, 'disabled_plugins').map((name) => (name === 'cri' ? cri : name));
  return {
    ...file,
    table: { ...file.table, plugins: isTable(old) ? { ...plugins, [cri]: old } : plugins, disabled_plugins: disabled },
  };
}

/** The files of one process, and the rules of one version for them. */
interface Sources {
  readonly line: CommandLine;
  readonly files: readonly ConfigFile[];
  readonly release: Release;
  /** Of the format, as the last file says that names one. */
  readonly version: number;
}

function sourcesOf(line: CommandLine, files: readonly ConfigFile[], release: Release): Sources {
  // 2.x takes a file of version 1, or of none, for one of the version that it has come to.
  const [unnamed, least] = since(release, 2) ? [3, 2] : [1, 1];
  const version = files.map((file) => file.version).findLast((named) => named >= least) ?? unnamed;
  return { line, files, release, version };
}

/** Whether patterns of imports are relative to the process's directory; 1.6.29 and 1.7.16 take the file's. */
function globsFromRoot(release: Release): boolean {
  return !since(release, 1, 7, 16) && (since(release, 1, 7) || !since(release, 1, 6, 29));
}

/** Whether containerd 2.x takes over the CRI plugin's table: since 2.3 of each file by itself, before of all or none. */
function migrates({ release, version }: Sources, file: ConfigFile): boolean {
  return since(release, 2, 3) ? file.version < 4 : version < 3;
}

/** The tables that set pulls in a file, the one that wins last. */
function sectionsOf(sources: Sources, file: ConfigFile): readonly string[] {
  if (!since(sources.release, 2)) return [sources.version < 2 ? 'cri' : cri];
  return migrates(sources, file) ? [images, ...(file.version < 2 ? ['cri'] : []), cri] : [images];
}

/** The settings that pulls follow: 1.x replaces a plugin's table by that of a later file, 2.x joins them. */
function settingsOf(sources: Sources): Table {
  const { files, release, version } = sources;
  if (!since(release, 2)) {
    return (
      files.flatMap((file) => sectionsOf(sources, file).map((name) => pluginsOf(file)[name])).findLast(isTable) ?? {}
    );
  }
  const each = since(release, 2, 3);
  const plugins = files
    .map(renamed)
    .map((file) => (each && migrates(sources, file) ? migrate(pluginsOf(file)) : pluginsOf(file)))
    .reduce(merge, {});
  return tableAt(!each && version < 3 ? migrate(plugins) : plugins, images);
}

function placeOf(sources: Sources): Place {
  const { files, line, release, version } = sources;
  const tables = files.flatMap((file) =>
    sectionsOf(sources, file)
      .filter((section) => isTable(pluginsOf(file)[section]))
      .map((section) => ({ file: file.path, section, table: tableAt(pluginsOf(file), section), create: undefined })),
  );
  const setting = tables.findLast(({ table }) => since(release, 2) && 'config_path' in tableAt(table, 'registry'));
  const place = setting ?? tables.at(-1);
  if (place !== undefined) return place;
  const modern = since(release, 2);
  const create = files.length > 0 ? undefined : modern ? 3 : 2;
  return { file: line.config, section: modern ? images : version < 2 && files.length > 0 ? 'cri' : cri, create };
}

function addressOf({ line, files, release }: Sources): string {
  const named = files.map((file) => {
    const old = tableAt(file.table, 'grpc')['address'];
    if (!since(release, 2, 3)) return old;
    const own = pluginsOf(file)[server];
    return isTable(own) ? own['address'] : file.version < 4 ? old : undefined;
  });
  const address = [...named, line.address].findLast((it) => typeof it === 'string' && it !== '');
  return typeof address === 'string' ? posix.resolve('/', address) : '/run/containerd/containerd.sock';
}

/** The plugin in disabled_plugins without which nothing pulls for CRI. */
function disabledOf({ files, release, version }: Sources): string | undefined {
  const modern = since(release, 2);
  const names = files
    .map((file) => (modern ? renamed(file) : file))
    .flatMap((it) => textsAt(it.table, 'disabled_plugins'));
  return names.find((name) => (modern ? needed.includes(name) : name === (version < 2 ? 'cri' : cri)));
}

/** One release of each way to read the files, for a process that does not say its own. */
const releases: readonly Release[] = [
  [1, 7, 34],
  [2, 0, 11],
  [2, 1, 9],
  [2, 2, 1],
  [2, 2, 7],
  [2, 3, 4],
];

/** The first of them that takes the main file: 2.0 brought version 3 of the format, 2.3 version 4. */
function oldestFor(files: readonly ConfigFile[]): Release {
  const version = files[0]?.version ?? 0;
  if (version < 3) return [1, 7, 34];
  return version < 4 ? [2, 0, 11] : [2, 3, 4];
}

const pullsIn = (it: Sources): Pulls => ({ release: it.release, settings: settingsOf(it), place: placeOf(it) });
const wayIn = (it: Sources): Way => wayOf(pullsIn(it));

/** The way of a process that does not say its version: the directories of all readings, if each of them reads some; no guess, if none does. */
function agreedWay(reading: Sources): Way {
  const later = releases.filter((release) => since(release, ...reading.release));
  const others = later.map((release) => wayIn(sourcesOf(reading.line, reading.files, release)));
  const ways = [wayIn(reading), ...others];
  const lists = ways.flatMap((way) => (way.kind === 'directories' ? [way.lists] : []));
  if (lists.length === ways.length) {
    const distinct = new Map(lists.flat().map((roots) => [JSON.stringify(roots), roots]));
    return { kind: 'directories', lists: [...distinct.values()], byName: false };
  }
  const isGuess = lists.length > 0;
  const [why = '', ...more] = new Set(ways.flatMap((way) => (way.kind === 'restart' ? [way.why] : [])));
  if (!isGuess && more.length === 0) return { kind: 'restart', why };
  const unsaid = `containerd does not say its version, and what ${reading.line.config} means depends on it`;
  const remedy = `${unsaid}; have it answer, or ${remedyOf(placeOf(reading))}`;
  return { kind: 'restart', why: remedy, ...(isGuess && { isGuess }) };
}

/**
 * Reads how a containerd process comes by its registry configuration, as it does itself when it starts.
 * @param argv its arguments, the program's name first
 * @param version as it says itself; undefined when it does not: then only that counts on which all versions agree
 * @throws Problem naming the file that cannot be read, or the line that does not parse
 */
export function readContainerdConfig(
  host: Reader,
  argv: readonly string[],
  version: string | undefined,
): ContainerdConfig {
  const line = readCommandLine(argv);
  const known = version === undefined ? undefined : releaseOf(version);
  const files = readFiles(host, line, known !== undefined && globsFromRoot(known));
  const reading = sourcesOf(line, files, known ?? oldestFor(files));
  const disabled = disabledOf(reading);
  const unused = disabled && `${disabled} is in disabled_plugins: nothing pulls images for the node by it`;
  return {
    files: files.map((file) => file.path),
    address: addressOf(reading),
    pullsForNode: line.daemon && disabled === undefined,
    way: known === undefined ? agreedWay(reading) : wayIn(reading),
    broken: unused ?? brokenBy(pullsIn(reading)),
  };
}
