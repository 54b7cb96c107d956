/**
 * The files by which pulls from a registry come to trust the host's store: a link to its bundle, lines in a hosts.toml.
 * Only what root alone can write is served, and nothing but these is changed.
 */
import { isUtf8 } from 'node:buffer';
import { X509Certificate } from 'node:crypto';
import { posix } from 'node:path';
import { parse } from 'smol-toml';
import { attempt } from '../bundle/der.ts';
import { type PemBlock, pemBlocks } from '../bundle/pem.ts';
import { printable } from '../bundle/text.ts';
import type { Entry, Host } from '../host/host.ts';
import { Problem, explain } from '../host/problem.ts';
import { linkName } from '../host/runtime-ledger.ts';
import { type HostsTrust, addTrust, removeTrust, withoutMark } from './hosts-toml.ts';
import { isTable } from './toml-lines.ts';

/** Something to do in a directory of a registry. */
export interface Edit {
  readonly kind: 'link' | 'lines' | 'clean';
  readonly path: string;
  /** Pulls see the store without it, as long as containerd takes the hosts.toml beside it. */
  readonly isSpare?: true;
}

/** What is there of it, and what is missing. */
export interface Survey {
  readonly edits: readonly Edit[];
  /** Every link and every edited file that has to be there. */
  readonly links: readonly string[];
  readonly edited: readonly string[];
  /** Why pulls do not see the store: a line each. */
  readonly problems: readonly string[];
  /** The same of a single registry, where something of others stands in the way that no pass can change. */
  readonly ofOthers: readonly string[];
  readonly notes: readonly string[];
  /** The directories in which, and in whose directories, a change matters. */
  readonly watched: readonly string[];
}

/** Of a runtime that reads no directories. */
export const nothing: Survey = { edits: [], links: [], edited: [], problems: [], ofOthers: [], notes: [], watched: [] };

export function merge(surveys: readonly Survey[]): Survey {
  const all = <T>(pick: (survey: Survey) => readonly T[]): readonly T[] => [...new Set(surveys.flatMap(pick))];
  return {
    edits: all(({ edits }) => edits),
    links: all(({ links }) => links),
    edited: all(({ edited }) => edited),
    problems: all(({ problems }) => problems),
    ofOthers: all(({ ofOthers }) => ofOthers),
    notes: all(({ notes }) => notes),
    watched: all(({ watched }) => watched),
  };
}

/** What files held when they were last read: an idle pass looks at their versions alone. */
export interface Memory {
  readonly hosts: Map<string, { readonly version: string; readonly trust: HostsTrust }>;
  readonly authorities: Map<string, { readonly version: string; readonly isGood: boolean }>;
  readonly clients: Memory['authorities'];
}

export function openMemory(): Memory {
  return { hosts: new Map(), authorities: new Map(), clients: new Map() };
}

/** Whether root alone can write there. What others can write must not lead root's hand. */
export function isRootsOwn({ rights }: Pick<Entry, 'rights'>): boolean {
  const group = rights.group === 0 ? 0 : rights.mode & 0o020;
  return rights.user === 0 && group === 0 && (rights.mode & 0o002) === 0;
}

/** What a write that was killed left: no program but this one gives such names. */
const leftover = /^\.node-ca-trust\.(crt|toml)\.[0-9a-f]{8}\.tmp$/;

/** What such writes have left in a directory. */
export function leftoversIn(host: Host, directory: string): readonly string[] {
  const names = (host.list(directory) ?? []).filter((name) => leftover.test(name));
  return names.map((name) => `${directory}/${name}`);
}

const isCertificate = (der: Uint8Array | undefined): boolean =>
  der !== undefined && attempt(() => new X509Certificate(der)) !== undefined;

/** Whether a file has a block that reads so; what it held when it was last read is in a part of the memory. */
function holds(host: Host, path: string, known: Memory['authorities'], isMeant: (block: PemBlock) => boolean): boolean {
  const entry = host.target(path);
  if (entry?.kind !== 'file') return false;
  const before = known.get(path);
  if (before?.version === entry.version) return before.isGood;
  const isGood = pemBlocks(host.read(path)?.toString('latin1') ?? '').some(isMeant);
  known.set(path, { version: entry.version, isGood });
  return isGood;
}

/** Whether a file of CAs has a certificate: without one, every pull that reads it fails. */
const isGoodAuthority = (host: Host, path: string, { authorities }: Memory): boolean =>
  holds(host, path, authorities, ({ label, der }) => label === 'CERTIFICATE' && isCertificate(der));

/** Whether a file of a client's certificate has its key, too. */
const hasKey = (host: Host, path: string, { clients }: Memory): boolean =>
  holds(host, path, clients, ({ label, der }) => label.endsWith('PRIVATE KEY') && der !== undefined);

function breaks(path: string, why: string): string {
  return `${printable(path)} on the host ${why}, and every pull that reads it fails; mend or remove it`;
}

/** What went wrong at a path, as a line that names it. */
export function whyAt(path: string, error: unknown): string {
  const why = explain(error);
  return why.includes(path) ? why : `${printable(path)} on the host: ${why}`;
}

/** What cannot be looked at is a problem, too, and keeps nothing from being done. */
function orWhy(path: string, look: () => readonly string[]): readonly string[] {
  try {
    return look();
  } catch (error) {
    return [whyAt(path, error)];
  }
}

/** Another's files beside the link that break every pull by this directory. */
function brokenFiles({ host, directory, memory, byName }: Place): readonly string[] {
  const names = (host.list(directory) ?? []).filter(
    (name) => host.target(`${directory}/${name}`)?.kind !== 'directory',
  );
  const authorities = names.filter((name) => name.endsWith('.crt') && name !== linkName);
  const bad = authorities.filter((name) => !isGoodAuthority(host, `${directory}/${name}`, memory));
  const alone = names.filter((name) => name.endsWith('.cert') && !names.includes(name.replace(/cert$/, 'key')));
  // containerd looks for the key beside the certificate, too.
  const clients = alone.filter((name) => byName || !hasKey(host, `${directory}/${name}`, memory));
  return [
    ...bad.map((name) => breaks(`${directory}/${name}`, 'has no certificate')),
    ...clients.map((name) => breaks(`${directory}/${name}`, 'has no .key beside it')),
  ];
}

/** A character for each byte, so that every byte of another's file comes out as it went in. */
const encoding = 'latin1';

/** The files of CAs that a hosts.toml names, without our lines, and that break every pull by it. */
function brokenAuthorities(host: Host, file: string, text: string, memory: Memory): readonly string[] {
  const top: Record<string, unknown> = parse(withoutMark(text));
  const hosts = isTable(top['host']) ? Object.values<unknown>(top['host']) : [];
  const tables: readonly Record<string, unknown>[] = [top, ...hosts].filter(isTable);
  const named = tables.flatMap((table) => [table['ca']].flat()).filter((ca) => typeof ca === 'string');
  const names = named.map((ca) => Buffer.from(ca, encoding).toString('utf8'));
  const paths = [...new Set(names.map((ca) => posix.resolve(posix.dirname(file), ca)))];
  const bad = paths.filter((path) => !isGoodAuthority(host, path, memory));
  return bad.map((path) => breaks(path, `is named by ${file} and has no certificate`));
}

export interface Place {
  readonly host: Host;
  readonly directory: string;
  /** The bundle of the host's store. */
  readonly bundle: string;
  readonly memory: Memory;
  /** Its runtime, which is not containerd, knows no directory that serves every registry. */
  readonly byName: boolean;
}

/**
 * The link to the bundle in a directory.
 * @param isSpare no containerd that takes the hosts.toml beside it reads it, nor what else lies there
 */
export function surveyLink(place: Place, isSpare = false): Survey {
  const { host, directory, bundle } = place;
  const path = `${directory}/${linkName}`;
  const problems = isSpare ? [] : orWhy(directory, () => brokenFiles(place));
  if (host.link(path) === bundle) return { ...nothing, links: [path], problems };
  if (host.entry(path) === undefined) {
    return { ...nothing, links: [path], edits: [{ kind: 'link', path, ...(isSpare && { isSpare }) }], problems };
  }
  if (isSpare) return nothing;
  const strange = `${path} on the host is not ours, though it bears our name; move it away`;
  return { ...nothing, problems: [strange, ...problems] };
}

/** More than any hosts.toml with lines of ours has. */
const mostBytes = 4 * 1024 * 1024;

function hostsTrust({ host, bundle, memory }: Place, path: string, entry: Entry): HostsTrust {
  const known = memory.hosts.get(path);
  if (known?.version === entry.version) return known.trust;
  const trust = addTrust(host.read(path)?.toString(encoding) ?? '', bundle);
  memory.hosts.set(path, { version: entry.version, trust });
  return trust;
}

/** A hosts.toml that is a file, with something in it. */
function surveyLines(place: Place, path: string, entry: Entry): Survey {
  const { host, memory } = place;
  const trust = hostsTrust(place, path, entry);
  if (trust.kind === 'problem') {
    const problem = `${path} on the host is left as it is: ${trust.problem}`;
    return merge([surveyLink(place, trust.parses), { ...nothing, problems: [problem] }]);
  }
  const bytes = host.read(path) ?? Buffer.alloc(0);
  const text = bytes.toString(encoding);
  const edits: readonly Edit[] = trust.text === text ? [] : [{ kind: 'lines', path }];
  // As it is now it may not even parse: somebody's `ca` beside ours, or two of ours where a header was cut out.
  const others = removeTrust(trust.text);
  const edited = trust.text === others ? [] : [path];
  const problems = orWhy(path, () => brokenAuthorities(host, path, others, memory));
  const isText = isUtf8(bytes);
  const notes = isText ? [] : [`${path} on the host is not UTF-8, and containerd 2 passes it over; write it anew`];
  return merge([{ ...nothing, edits, edited, problems, notes }, surveyLink(place, trust.readByAll && isText)]);
}

/**
 * The lines in a hosts.toml, and the link beside it: a containerd that refuses the file, whose rules are its version's,
 * reads what ends in .crt in its place, and none of that where it takes it.
 */
export function surveyHosts(place: Place): Survey {
  const path = `${place.directory}/hosts.toml`;
  const entry = place.host.entry(path);
  if (entry === undefined || (entry.kind === 'file' && entry.size === 0)) return surveyLink(place);
  if (entry.kind === 'file' && isRootsOwn(entry)) return surveyLines(place, path, entry);
  const why = entry.kind === 'file' ? 'can be written by others than root' : `is a ${entry.kind}, not a file`;
  return {
    ...nothing,
    problems: [`${path} on the host ${why}, and is left as it is; put a file of root's in its place`],
  };
}

/** Writes the text of another's file, whose it is and what it may stay as they are. */
function writeLines(host: Host, path: string, text: string, { rights }: Entry): void {
  host.write(path, Buffer.from(text, encoding), { durable: true, temporaryName: 'node-ca-trust.toml', rights });
}

/** Makes one edit. @throws Problem when the host does not let it */
export function makeEdit(host: Host, edit: Edit, bundle: string): void {
  const entry = host.entry(edit.path);
  if (edit.kind === 'clean') host.remove(edit.path);
  else if (edit.kind === 'link') {
    host.makeDirectory(posix.dirname(edit.path));
    host.makeLink(edit.path, bundle);
  } else if (entry?.kind === 'file' && isRootsOwn(entry)) {
    // What others have written since it was surveyed must not be lost.
    const text = host.read(edit.path)?.toString(encoding) ?? '';
    const trust = addTrust(text, bundle);
    if (trust.kind === 'trust' && trust.text !== text) writeLines(host, edit.path, trust.text, entry);
  }
}

/** The link and the hosts.toml with lines of ours in a directory, of which root alone can have made them. */
export function oursIn(host: Host, directory: string, bundle: string): readonly string[] {
  const [link, hosts] = [`${directory}/${linkName}`, `${directory}/hosts.toml`];
  const entry = host.entry(hosts);
  const isServed = entry?.kind === 'file' && isRootsOwn(entry) && entry.size <= mostBytes;
  const text = isServed ? (host.read(hosts)?.toString(encoding) ?? '') : '';
  return [...(host.link(link) === bundle ? [link] : []), ...(removeTrust(text) === text ? [] : [hosts])];
}

/**
 * Takes our lines out of another's file, where it lies by now; what is none, or has none, is left as it is.
 * @throws Problem when others than root can write it
 */
export function undoLines(host: Host, path: string): void {
  const real = host.target(path)?.kind === 'file' ? host.real(path) : path;
  const entry = host.entry(real);
  if (entry?.kind !== 'file') return;
  const text = host.read(real)?.toString(encoding) ?? '';
  const without = removeTrust(text);
  if (without === text) return;
  if (!isRootsOwn(entry)) {
    throw new Problem(
      `${printable(real)} on the host has lines of ours and can be written by others than root, so they are left in it; take out those marked by node-ca-trust, or make the file root's own`,
    );
  }
  writeLines(host, real, without, entry);
}
