/**
 * The directories in which runtimes look for what they need to know of a registry: which there are, and which the agent
 * adds for the registries that have none.
 */
import { attempt } from '../bundle/der.ts';
import { printable } from '../bundle/text.ts';
import type { Host } from '../host/host.ts';
import {
  type Edit,
  type Place,
  type Survey,
  isRootsOwn,
  leftoversIn,
  merge,
  nothing,
  oursIn,
  surveyHosts,
  surveyLink,
  whyAt,
} from './registry-files.ts';

export interface SurveyOptions extends Omit<Place, 'host' | 'directory'> {
  /** Those that have a directory where the runtime knows none that serves every registry, beside those that exist. */
  readonly registries: readonly string[];
}

/** Looks into a directory where root alone can write. What goes wrong there is a problem of it, and of no other. */
function ifRootsOwn(host: Host, directory: string, look: () => Survey): Survey {
  try {
    const entry = host.target(directory);
    if (entry === undefined || isRootsOwn(entry)) return look();
    const problem = `${printable(directory)} on the host can be written by others than root, and is left alone; chmod it`;
    return { ...nothing, problems: [problem], watched: [directory] };
  } catch (error) {
    return { ...nothing, problems: [whyAt(directory, error)] };
  }
}

function surveyDirectory(host: Host, directory: string, options: SurveyOptions): Survey {
  return ifRootsOwn(host, directory, () => {
    const edits = leftoversIn(host, directory).map((path): Edit => ({ kind: 'clean', path }));
    const place = { host, directory, ...options };
    return merge([{ ...nothing, edits }, place.byName ? surveyLink(place) : surveyHosts(place)]);
  });
}

/** Names that a runtime looks for: HOST, HOST:PORT, HOST_PORT_, and an address in brackets. */
const registryName = /^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:\d{1,5}|_\d{1,5}_)?$/;

/** What is at a path as a directory: a link that runs in a circle is none. */
const isDirectory = (host: Host, path: string): boolean => attempt(() => host.target(path)?.kind) === 'directory';

/** The directories of registries below a root; what else is there is passed over, with a word where it seems meant. */
function surveyRoot(host: Host, root: string, wanted: readonly string[], options: SurveyOptions): Survey {
  const names = (host.list(root) ?? []).filter((name) => isDirectory(host, `${root}/${name}`));
  const known = names.filter((name) => registryName.test(name) || name === '_default');
  const strange = names.filter((name) => !known.includes(name) && !/^[._]/.test(name));
  const notes = strange.map(
    (name) => `${root}/${printable(name)} on the host is no registry's name: no pull reads it; rename or remove it`,
  );
  const directories = [...new Set([...wanted, ...known])].map((name) => {
    const survey = surveyDirectory(host, `${root}/${name}`, options);
    const isAsked = name === '_default' || wanted.includes(name);
    return isAsked ? survey : { ...survey, problems: [], ofOthers: survey.problems };
  });
  return merge([{ ...nothing, notes, watched: [root] }, ...directories]);
}

/** Looks at the directories of one list, in the order in which a runtime looks through them. */
function surveyList(host: Host, roots: readonly string[], options: SurveyOptions): Survey {
  // The first that has it counts. A `_default` that no root has is last, so that it takes no registry from a later root.
  const wanted = options.byName ? options.registries : ['_default'];
  const other = options.byName ? roots[0] : roots.at(-1);
  const rootOf = (name: string): string | undefined =>
    roots.find((root) => isDirectory(host, `${root}/${name}`)) ?? other;
  const surveys = roots.map((root) => {
    const here = wanted.filter((name) => rootOf(name) === root);
    return ifRootsOwn(host, root, () => surveyRoot(host, root, here, options));
  });
  return merge(surveys);
}

/** Looks at the directories of one runtime. @param lists each list of them that it may look through */
export function surveyRegistries(host: Host, lists: readonly (readonly string[])[], options: SurveyOptions): Survey {
  return merge(lists.map((roots) => surveyList(host, roots, options)));
}

/** What is at a path is a directory, no link to one, where root alone can write. */
function isKept(host: Host, path: string): boolean {
  const entry = host.entry(path);
  return entry?.kind === 'directory' && isRootsOwn(entry);
}

/**
 * What is there of ours where another tool has moved the directories of registries away, within their own: to `_backup`,
 * as Spegel does. No runtime looks there.
 */
export function movedIn(host: Host, root: string, bundle: string): readonly string[] {
  const below = (directory: string): readonly string[] =>
    (host.list(directory) ?? []).map((name) => `${directory}/${name}`).filter((path) => isKept(host, path));
  const found = attempt(() => {
    const places = below(root).filter((path) => /\/[._][^/]*$/.test(path) && !path.endsWith('/_default'));
    return places.flatMap(below).flatMap((directory) => oursIn(host, directory, bundle));
  });
  return found ?? [];
}
