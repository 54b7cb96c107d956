/**
 * The links of ours in a certificate directory: one to each file of ours that lies elsewhere, and those by hash. They are
 * made here and not by the host's programs, in an order in which no look-up misses what is to stay.
 */
import { posix } from 'node:path';
import type { Anchor } from '../bundle/types.ts';
import { removeAnchors } from './anchor-files.ts';
import { type DebianContext, debian, fileNameOf, isBundle, linkNameOf } from './debian-layout.ts';
import { type Chain, isLinkedByHash, isLookedPast, readChains, unlinkedAnchors, writeChain } from './hash-links.ts';
import { type StoreChange, isTakenBy, stemOf } from './store.ts';

/** The files of ours that look-ups by hash lead to though they are gone. */
function lostLinks(context: DebianContext): readonly string[] {
  const { host } = context;
  return [...readChains(host, debian.certs)].flatMap(([hash, chain]) =>
    [...chain].flatMap(([suffix, target]) => {
      const file = fileNameOf(context, posix.basename(target ?? ''));
      return file !== undefined && host.target(`${debian.certs}/${hash}.${suffix}`) === undefined ? [file] : [];
    }),
  );
}

/** Files of ours that are gone, though links in the certificate directory still lead there: their names. */
export function danglingLinks(context: DebianContext): readonly string[] {
  const { host } = context;
  const dangling = (host.list(debian.certs) ?? []).flatMap((name) => {
    const file = fileNameOf(context, name);
    return file !== undefined && host.target(`${debian.certs}/${name}`) === undefined ? [file] : [];
  });
  const marker = markerOf(context);
  return [...new Set([...dangling, ...lostLinks(context)])].filter((name) => name !== marker);
}

/** Those that have no link of their own in the certificate directory, or are not found there by their hash. */
export function unlinkedIn(context: DebianContext, wanted: readonly Anchor[]): ReadonlySet<string> {
  const { host, files } = context;
  const names = new Set(host.list(debian.certs));
  const nameless = wanted.filter((anchor) => !names.has(linkNameOf(context, anchorName(context, anchor))));
  const unlinked = unlinkedAnchors(host, files, debian.certs, wanted);
  return new Set([...unlinked, ...nameless.map(({ fingerprint }) => fingerprint)]);
}

function anchorName({ instance, layout }: DebianContext, { fingerprint }: Anchor): string {
  return `${stemOf(instance, fingerprint)}${layout.extension}`;
}

/** The name of a file of ours that no certificate has. */
export function markerOf({ instance, layout }: DebianContext): string {
  return `${stemOf(instance, '0'.repeat(64))}${layout.extension}`;
}

/**
 * Has the host's tool make all links by hash anew, which it does when it has removed a certificate's link: it finds one of
 * ours that leads nowhere. Until it has begun with that the link stays, whatever happens to the pass; from then on the
 * private directory tells of it.
 */
export function markLinks(context: DebianContext): void {
  const { host, layout } = context;
  const marker = markerOf(context);
  host.makeLink(`${debian.certs}/${linkNameOf(context, marker)}`, `${layout.anchors}/${marker}`);
}

/** Another's file of that name may have taken the link over. */
export function isMarked(context: DebianContext): boolean {
  const { host } = context;
  const path = `${debian.certs}/${linkNameOf(context, markerOf(context))}`;
  return host.link(path) !== undefined && host.target(path) === undefined;
}

/** A link in the certificate directory to a file that lies elsewhere, and where it has to point. */
interface FileLink {
  readonly path: string;
  readonly target: string;
  readonly name: string;
}

/** The links to new anchors. A directory that stands in the place of one keeps it out, and no other. */
function fileLinks(context: DebianContext, anchors: readonly Anchor[]): ReadonlyMap<Anchor, FileLink> {
  const { host, layout } = context;
  const links = anchors.map((anchor): [Anchor, FileLink] => {
    const file = anchorName(context, anchor);
    const name = linkNameOf(context, file);
    return [anchor, { path: `${debian.certs}/${name}`, target: `${layout.anchors}/${file}`, name }];
  });
  return new Map(links.filter(([, { path }]) => host.entry(path)?.kind !== 'directory'));
}

/** The names in the certificate directory that go with removed anchors: one that leads to another's file stays. */
function goingNames(context: DebianContext, { remove }: StoreChange): ReadonlySet<string> {
  const { host, layout } = context;
  const going = remove.filter((name) => {
    const [link, file] = [`${debian.certs}/${linkNameOf(context, name)}`, `${layout.anchors}/${name}`];
    return link === file || host.link(link) === file || host.target(link) === undefined;
  });
  return new Set(going.map((name) => linkNameOf(context, name)));
}

/** Files of others, one certificate in each, by which what goes with ours is found from then on. */
function heirs(
  context: DebianContext,
  change: StoreChange,
  going: ReadonlySet<string>,
): readonly { readonly name: string; readonly print: string }[] {
  const { host, files } = context;
  const isTaken = isTakenBy(change);
  const isOthers = (name: string): boolean => !going.has(name) && !isBundle(host, `${debian.certs}/${name}`);
  const others = (host.list(debian.certs) ?? []).filter((name) => isLinkedByHash(name) && isOthers(name));
  return others.flatMap((name) => {
    const [print = '', ...more] = files.read(`${debian.certs}/${name}`)?.fingerprints ?? [];
    return more.length === 0 && isTaken(print) ? [{ name, print }] : [];
  });
}

/** The look-ups of one hash: what there is, and where they have to lead. */
interface ChainChange {
  readonly hash: string;
  readonly before: Chain;
  readonly targets: readonly string[];
}

/**
 * What has to change for each anchor to be found by its hash, and no look-up to lead to a file that goes.
 * @param links to the anchors, each by its own name
 */
function chainChanges(
  context: DebianContext,
  change: StoreChange,
  links: ReadonlyMap<Anchor, FileLink>,
): readonly ChainChange[] {
  const { host, files } = context;
  const going = goingNames(context, change);
  const isGoing = (target = ''): boolean => going.has(posix.basename(target));
  const chains = readChains(host, debian.certs);
  const inheriting = change.remove.length > 0 ? heirs(context, change, going) : [];
  const wanted = Map.groupBy(links, ([{ subjectHash }]) => subjectHash);
  // What comes before what goes: who looks up by hash then finds one or the other at every moment.
  return [...new Set([...wanted.keys(), ...chains.keys()])].flatMap((hash): readonly ChainChange[] => {
    const before: Chain = chains.get(hash) ?? new Map();
    const gone = [...before.values()].flatMap((target) => (target !== undefined && isGoing(target) ? [target] : []));
    if (!wanted.has(hash) && gone.length === 0) return [];
    const inOrder = [...before].sort(([a], [b]) => a - b).filter(([, target]) => !isGoing(target));
    const path = (suffix: number): string => `${debian.certs}/${hash}.${suffix}`;
    // A look-up ends at a link that leads nowhere, whosever it is, and at a file that OpenSSL cannot read. What one reads that
    // the agent does not see, or cannot look through, is not known: files first, which never throw.
    const isThere = (place: string): boolean => files.read(place) !== undefined || host.target(place) !== undefined;
    const leading = inOrder.filter(([suffix]) => isThere(path(suffix)));
    const isReadable = ([suffix]: [number, unknown]): boolean => isLookedPast(files.read(path(suffix)));
    const [readable, others] = [leading.filter(isReadable), leading.filter((link) => !isReadable(link))];
    const targets = (chain: typeof leading): readonly string[] => chain.flatMap(([, target]) => target ?? []);
    const isHeir = isTakenBy({ remove: gone });
    const inherited = inheriting.filter(({ print }) => isHeir(print)).map(({ name }) => name);
    const ours = (wanted.get(hash) ?? []).map(([, { name }]) => name);
    const all = new Set([...targets(readable), ...inherited, ...ours, ...targets(others)]);
    return [{ hash, before, targets: [...all] }];
  });
}

/** Makes the links to new anchors, by hash too, and takes off those by hash that lead to a file that goes. */
export function linkAnchors(context: DebianContext, change: StoreChange): void {
  const { host } = context;
  const [links, chains] = host.atOnce(() => {
    const all = fileLinks(context, change.link);
    const missing = [...all.values()].filter(({ path, target }) => path !== target && host.link(path) !== target);
    return [missing, chainChanges(context, change, all)] as const;
  });
  for (const { path, target } of links) host.makeLink(path, target);
  for (const { hash, before, targets } of chains) writeChain(host, `${debian.certs}/${hash}`, before, targets);
}

/** Takes off the files of removed anchors, and the links to them: another's file may have taken one over. */
export function removeLinked(context: DebianContext, change: StoreChange): void {
  const { host } = context;
  removeAnchors(context, change);
  const links = change.remove.map((name) => `${debian.certs}/${linkNameOf(context, name)}`);
  for (const link of links) if (host.link(link) !== undefined && host.target(link) === undefined) host.remove(link);
}
