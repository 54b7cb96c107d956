/**
 * Whether containerd's pulls through CRI read registry directories (containerd/docs/hosts.md), and which: from the
 * settings that pulls follow, and the version. After internal/cri/config, plugins/cri/images and
 * internal/cri/server/images/image_pull.go of containerd 1.5 to 2.3.
 */
import { posix } from 'node:path';
import { type Table, tableAt } from './containerd-files.ts';
import type { Way } from './runtime.ts';
import { isTable } from './toml-lines.ts';

/** Major, minor, patch. */
export type Release = readonly [number, number, number];

/** Where the admin can set config_path so that it counts. */
export interface Place {
  readonly file: string;
  /** The plugin's name. */
  readonly section: string;
  /** What a file that is not there yet must say of its version; undefined where it is there. */
  readonly create: number | undefined;
}

/** What one version of containerd makes of its files. */
export interface Pulls {
  readonly release: Release;
  /** By the names of version 3 of the format. */
  readonly settings: Table;
  readonly place: Place;
}

/** @returns undefined for what is no version, such as the hash that a build from sources says */
export function releaseOf(version: string): Release | undefined {
  const [, major, minor, patch = '0'] = /^v?(\d+)\.(\d+)(?:\.(\d+))?/.exec(version) ?? [];
  return major === undefined ? undefined : [Number(major), Number(minor), Number(patch)];
}

/** Whether a release is this one or a later one. */
export function since(release: Release, major: number, minor = 0, patch = 0): boolean {
  return (release[0] - major || release[1] - minor || release[2] - patch) >= 0;
}

const usual = '/etc/containerd/certs.d';
/** What containerd 2.2 and later take where nothing is set. */
const builtIn = `${usual}:/etc/docker/certs.d`;

const isFilled = (table: Table, name: string): boolean => Object.keys(tableAt(table, name)).length > 0;

function configPathOf({ release, settings, place }: Pulls): string {
  const registry = tableAt(settings, 'registry');
  const set = typeof registry['config_path'] === 'string' ? registry['config_path'] : '';
  if (set !== '' || !since(release, 2, 2) || isFilled(registry, 'mirrors')) return set;
  // 2.2.0 and 2.2.1 keep an empty text, unless they took it over from version 2 of the format.
  const emptied = 'config_path' in registry && !since(release, 2, 2, 2) && place.section.includes('.cri.v1.');
  return emptied ? '' : builtIn;
}

/**
 * Whether pulls go the way before 2.1, which takes a list of directories; any of these settings has them do so. The
 * transfer service, which has them otherwise, takes the whole list for the name of one directory
 * (github.com/containerd/containerd/issues/12808): in every release from 2.1.0 on, and in 2.4.0-beta.0.
 */
function isLocal({ release, settings }: Pulls): boolean {
  const registry = tableAt(settings, 'registry');
  return (
    !since(release, 2, 1) ||
    settings['use_local_image_pull'] === true ||
    settings['discard_unpacked_layers'] === true ||
    settings['disable_snapshot_annotations'] === false ||
    settings['image_pull_with_sync_fs'] === true ||
    (settings['max_concurrent_downloads'] ?? 3) !== 3 ||
    ['mirrors', 'configs', 'auths'].some((name) => isFilled(registry, name))
  );
}

/** What has the CRI plugin refuse to start beside config_path; undefined for nothing. */
function conflictOf({ release, settings }: Pulls): string | undefined {
  const registry = tableAt(settings, 'registry');
  if (isFilled(registry, 'mirrors')) return 'registry.mirrors';
  const withTls = Object.values(tableAt(registry, 'configs')).some((it) => isTable(it) && isTable(it['tls']));
  return withTls && !since(release, 2) ? 'registry.configs.*.tls' : undefined;
}

/** How the admin has containerd read registry directories. */
export function remedyOf({ file, section, create }: Place): string {
  const table = `[plugins.${section === 'cri' ? section : `"${section}"`}.registry]`;
  const where = create === undefined ? file : `a new ${file} that begins with version = ${create}`;
  return `set config_path = "${usual}" in ${table} of ${where}, and restart containerd once`;
}

/** What has the CRI plugin refuse to start at all; undefined for nothing. */
export function brokenBy(pulls: Pulls): string | undefined {
  const conflict = conflictOf(pulls);
  if (conflict === undefined || configPathOf(pulls) === '') return undefined;
  return `${pulls.place.file} has config_path beside ${conflict}, and with both containerd's CRI plugin does not start; take ${conflict} out, and restart containerd once`;
}

/** How pulls come to see a CA, in one version of containerd with one set of settings. */
export function wayOf(pulls: Pulls): Way {
  const { release, place } = pulls;
  const restart = (why: string): Way => ({ kind: 'restart', why });
  const name = `containerd ${release.join('.')}`;
  if (!since(release, 1, 5)) return restart(`${name} reads no registry directories, 1.5 is the first that does`);
  const path = configPathOf(pulls);
  const conflict = conflictOf(pulls);
  const broken = brokenBy(pulls);
  if (broken !== undefined) return restart(broken);
  if (conflict !== undefined) {
    return restart(
      `${conflict} in ${place.file} takes the place of registry directories; turn it into hosts.toml files, ${remedyOf(place)}`,
    );
  }
  if (path === '') return restart(`${name} reads no registry directories unless told to; ${remedyOf(place)}`);
  const split = path.split(':').filter((root) => root !== '');
  const roots = split.map((root) => posix.resolve('/', root));
  // Its parts are served, too: they count as soon as a release mends it, or pulls go the other way.
  const lists = path.includes(':') && !isLocal(pulls) ? [[posix.resolve('/', path)], roots] : [roots];
  return { kind: 'directories', lists, byName: false };
}
