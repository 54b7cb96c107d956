/**
 * The directories in which runtimes look for what they need to know of a registry. In each one, pulls come to trust the
 * host's store: by a link to its bundle, or by lines in the hosts.toml that is there. Nothing else in them is changed.
 */
import { posix } from 'node:path';
import { printable } from '../bundle/text.ts';
import type { Host } from '../host/host.ts';
import { explain } from '../host/problem.ts';
import { linkName } from '../host/runtime-ledger.ts';
import { addTrust, removeTrust } from './hosts-toml.ts';

/** Something to do in a directory of a registry. */
export type Edit =
  | { readonly kind: 'link'; readonly path: string }
  | { readonly kind: 'lines'; readonly path: string; readonly text: string }
  | { readonly kind: 'clean'; readonly path: string };

/** What is in a runtime's directories, and what is missing. */
export interface Survey {
  readonly edits: readonly Edit[];
  /** Every link and every edited file that has to be there. */
  readonly links: readonly string[];
  readonly edited: readonly string[];
  /** Why pulls through some directory do not see the store: a line each. */
  readonly problems: readonly string[];
  readonly notes: readonly string[];
  /** The directories in which a change matters. */
  readonly watched: readonly string[];
}

export interface SurveyOptions {
  /** The bundle of the host's store. */
  readonly bundle: string;
  /** The runtime knows no directory that serves every registry: only those that exist or are named here have one. */
  readonly byName: boolean;
  readonly registries: readonly string[];
}

/** Of a runtime that reads no directories. */
export const nothing: Survey = { edits: [], links: [], edited: [], problems: [], notes: [], watched: [] };

function merge(surveys: readonly Survey[]): Survey {
  const all = <T>(pick: (survey: Survey) => readonly T[]): readonly T[] => [...new Set(surveys.flatMap(pick))];
  return {
    edits: all(({ edits }) => edits),
    links: all(({ links }) => links),
    edited: all(({ edited }) => edited),
    problems: all(({ problems }) => problems),
    notes: all(({ notes }) => notes),
    watched: all(({ watched }) => watched),
  };
}

/** What a write that was killed left: no program but this one gives such names. */
const leftover = /^\.node-ca-trust\.(crt|toml)\.[0-9a-f]{8}\.tmp$/;

/** The names of what such writes have left in a directory. */
function leftoversIn(host: Host, directory: string): readonly string[] {
  return (host.list(directory) ?? []).filter((name) => leftover.test(name));
}

/** Another's files of CAs that have no certificate, or lead nowhere: with one of them every pull by this directory fails. */
function brokenFiles(host: Host, directory: string): readonly string[] {
  const names = (host.list(directory) ?? []).filter((name) => name.endsWith('.crt') && name !== linkName);
  const broken = names.filter((name) => !(host.read(`${directory}/${name}`)?.includes('-----BEGIN') ?? false));
  return broken.map(
    (name) =>
      `${directory}/${printable(name)} on the host has no certificate, and every pull by this directory fails; mend or remove it`,
  );
}

/** The link to the bundle in a directory. */
function surveyLink(host: Host, directory: string, bundle: string): Survey {
  const path = `${directory}/${linkName}`;
  const kind = host.entry(path)?.kind;
  if (kind !== undefined && kind !== 'link') {
    return { ...nothing, problems: [`${path} on the host is not ours, though it bears our name; move it away`] };
  }
  const edits: readonly Edit[] = host.link(path) === bundle ? [] : [{ kind: 'link', path }];
  return { ...nothing, links: [path], edits, problems: brokenFiles(host, directory) };
}

/** A character for each byte, so that every byte of another's file comes out as it went in. */
const encoding = 'latin1';

/** The text of a hosts.toml; undefined when there is none, or nothing in it: then files that end in .crt are read. */
function hostsText(host: Host, path: string): string | undefined {
  const bytes = host.read(path);
  return bytes === undefined || bytes.length === 0 ? undefined : bytes.toString(encoding);
}

/** The lines in a hosts.toml, and the link beside it where the runtime may not take it for valid. */
function surveyHosts(host: Host, directory: string, bundle: string): Survey {
  const path = host.real(`${directory}/hosts.toml`);
  const text = hostsText(host, path);
  const link = surveyLink(host, directory, bundle);
  if (text === undefined) return link;
  const trust = addTrust(text, bundle);
  if (trust.kind === 'problem') {
    const problem = `${path} on the host is left as it is: ${trust.problem}`;
    return merge([trust.parses ? nothing : link, { ...nothing, problems: [problem] }]);
  }
  const lines = { ...nothing, edited: trust.text === removeTrust(trust.text) ? [] : [path] };
  const edits: readonly Edit[] = trust.text === text ? [] : [{ kind: 'lines', path, text: trust.text }];
  // Some versions refuse such a file, and read what ends in .crt in its place.
  return merge([{ ...lines, edits }, trust.readByAll ? nothing : link]);
}

/** One directory. What cannot be read is a problem of this directory, and of no other. */
function surveyDirectory(host: Host, directory: string, { bundle, byName }: SurveyOptions): Survey {
  try {
    const edits = leftoversIn(host, directory).map((name): Edit => ({ kind: 'clean', path: `${directory}/${name}` }));
    const trust = byName ? surveyLink(host, directory, bundle) : surveyHosts(host, directory, bundle);
    return merge([{ ...nothing, edits, watched: [directory] }, trust]);
  } catch (error) {
    return { ...nothing, problems: [explain(error)] };
  }
}

/** Names that a runtime looks for: HOST, HOST:PORT, HOST_PORT_, and an address in brackets. */
const registryName = /^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:\d{1,5}|_\d{1,5}_)?$/;

/** What is at a path as a directory: a link that runs in a circle is none. */
function isDirectory(host: Host, path: string): boolean {
  try {
    return host.target(path)?.kind === 'directory';
  } catch {
    return false;
  }
}

interface Registries {
  readonly names: readonly string[];
  readonly notes: readonly string[];
}

/** The directories of registries below a root; what else is there is passed over, with a word where it seems meant. */
function registriesIn(host: Host, root: string): Registries {
  const names = (host.list(root) ?? []).filter((name) => isDirectory(host, `${root}/${name}`));
  const known = names.filter((name) => registryName.test(name));
  const strange = names.filter((name) => !known.includes(name) && !/^[._]/.test(name));
  return {
    names: known,
    notes: strange.map(
      (name) => `${root}/${printable(name)} on the host is no registry's name: no pull reads it; rename or remove it`,
    ),
  };
}

/** The root whose `_default` serves the registries that have no directory: the first that has one, else the last. */
function defaultRoot(host: Host, roots: readonly string[]): string | undefined {
  return roots.find((root) => isDirectory(host, `${root}/_default`)) ?? roots.at(-1);
}

/** Looks at the directories of one list, in the order in which a runtime looks through them. */
function surveyList(host: Host, roots: readonly string[], options: SurveyOptions): Survey {
  const first = defaultRoot(host, roots);
  const wanted = options.byName ? options.registries : ['_default'];
  const surveys = roots.map((root): Survey => {
    const { names, notes } = registriesIn(host, root);
    const all = new Set(root === first ? [...wanted, ...names] : names);
    const directories = [...all].map((name) => surveyDirectory(host, `${root}/${name}`, options));
    return merge([{ ...nothing, notes, watched: [root] }, ...directories]);
  });
  return merge(surveys);
}

/** Looks at the directories of one runtime. @param lists each list of them that it may look through */
export function surveyRegistries(host: Host, lists: readonly (readonly string[])[], options: SurveyOptions): Survey {
  return merge(lists.map((roots) => surveyList(host, roots, options)));
}

/** The directories above a path that are not there, the topmost first. */
export function missingAbove(host: Host, path: string): readonly string[] {
  const directory = posix.dirname(path);
  if (directory === '/' || host.target(directory) !== undefined) return [];
  return [...missingAbove(host, directory), directory];
}

/** Writes the text of another's file, whose it is and what it may stay as they are. */
function writeLines(host: Host, path: string, text: string): void {
  const rights = host.entry(path)?.rights;
  host.write(path, Buffer.from(text, encoding), {
    durable: true,
    temporaryName: 'node-ca-trust.toml',
    ...(rights === undefined ? {} : { rights }),
  });
}

/** Makes one edit. @throws Problem when the host does not let it */
export function makeEdit(host: Host, edit: Edit, bundle: string): void {
  if (edit.kind === 'clean') host.remove(edit.path);
  else if (edit.kind === 'lines') writeLines(host, edit.path, edit.text);
  else {
    host.makeDirectory(posix.dirname(edit.path));
    host.makeLink(edit.path, bundle);
  }
}

/** Takes what killed writes have left out of the directory of an edit. */
export function cleanBeside(host: Host, path: string): void {
  const directory = posix.dirname(path);
  for (const name of leftoversIn(host, directory)) host.remove(`${directory}/${name}`);
}

/** Takes a link off, if it is one. */
export function undoLink(host: Host, path: string): void {
  if (host.entry(path)?.kind === 'link') host.remove(path);
}

/** Takes our lines out of another's file; what is not there, or has none, is left as it is. */
export function undoLines(host: Host, path: string): void {
  const text = hostsText(host, path);
  if (text === undefined) return;
  const without = removeTrust(text);
  if (without !== text) writeLines(host, path, without);
}
