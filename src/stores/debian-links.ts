/**
 * The links of ours in a certificate directory: one to each file of ours that lies elsewhere, and those by hash. They are
 * made here and not by the host's programs, in an order in which no look-up misses what is to stay: a run of theirs before
 * or after finds nothing to change.
 */
import { posix } from 'node:path';
import type { Anchor } from '../bundle/types.ts';
import { removeAnchors } from './anchor-files.ts';
import { type DebianContext, debian, fileNameOf, linkNameOf } from './debian-layout.ts';
import { type Chain, readChains, writeChain } from './hash-links.ts';
import { type StoreChange, isTakenBy, stemOf } from './store.ts';

/** The files of ours that look-ups by hash lead to though they are gone. */
export function lostLinks(context: DebianContext): readonly string[] {
  const { host, layout } = context;
  const targets = [...readChains(host, debian.certs).values()].flatMap((chain) => [...chain.values()]);
  return targets.flatMap((target) => {
    const file = fileNameOf(context, posix.basename(target ?? ''));
    return file !== undefined && host.target(`${layout.anchors}/${file}`) === undefined ? [file] : [];
  });
}

/** A link in the certificate directory to a file that lies elsewhere, and where it has to point. */
type FileLink = readonly [path: string, target: string];

/** Those that are missing, or point elsewhere. */
function missingLinks(context: DebianContext, files: readonly string[]): readonly FileLink[] {
  const { host, layout } = context;
  const links = files.map((name): FileLink => {
    return [`${debian.certs}/${linkNameOf(context, name)}`, `${layout.anchors}/${name}`];
  });
  return links.filter(([path, target]) => path !== target && host.link(path) !== target);
}

/** Files of others, one certificate in each, by which what goes with ours is found from then on. */
function heirs(
  context: DebianContext,
  change: StoreChange,
): readonly { readonly name: string; readonly print: string }[] {
  const { host, files } = context;
  const going = new Set(change.remove.map((name) => linkNameOf(context, name)));
  const isTaken = isTakenBy(change);
  const others = (host.list(debian.certs) ?? []).filter((name) => name.endsWith('.pem') && !going.has(name));
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

/** What has to change for each anchor to be found by its hash, and no look-up to lead to a file that goes. */
function chainChanges(context: DebianContext, change: StoreChange): readonly ChainChange[] {
  const { host } = context;
  const going = new Set(change.remove.map((name) => linkNameOf(context, name)));
  const isGoing = (target = ''): boolean => going.has(posix.basename(target));
  const chains = readChains(host, debian.certs);
  const inheriting = change.remove.length > 0 ? heirs(context, change) : [];
  const wanted = Map.groupBy(change.link, ({ subjectHash }) => subjectHash);
  return [...new Set([...chains.keys(), ...wanted.keys()])].flatMap((hash): readonly ChainChange[] => {
    const before: Chain = chains.get(hash) ?? new Map();
    const gone = [...before.values()].flatMap((target) => (target !== undefined && isGoing(target) ? [target] : []));
    if (!wanted.has(hash) && gone.length === 0) return [];
    const links = [...before].sort(([a], [b]) => a - b).filter(([, target]) => !isGoing(target));
    // A look-up ends at a link that leads nowhere, whosever it is.
    const leading = links.filter(([suffix]) => host.target(`${debian.certs}/${hash}.${suffix}`) !== undefined);
    const staying = leading.flatMap(([, target]) => target ?? []);
    const isHeir = isTakenBy({ remove: gone });
    const inherited = inheriting.filter(({ print }) => isHeir(print)).map(({ name }) => name);
    const ours = (wanted.get(hash) ?? []).map((anchor) => linkNameOf(context, anchorName(context, anchor)));
    return [{ hash, before, targets: [...new Set([...staying, ...inherited, ...ours])] }];
  });
}

function anchorName({ instance, layout }: DebianContext, { fingerprint }: Anchor): string {
  return `${stemOf(instance, fingerprint)}${layout.extension}`;
}

/** Makes the links to new anchors, by hash too, and takes off those by hash that lead to a file that goes. */
export function linkAnchors(context: DebianContext, change: StoreChange): void {
  const { host } = context;
  const names = change.link.map((anchor) => anchorName(context, anchor));
  const [files, chains] = host.atOnce(() => [missingLinks(context, names), chainChanges(context, change)] as const);
  for (const [path, target] of files) host.makeLink(path, target);
  for (const { hash, before, targets } of chains) writeChain(host, `${debian.certs}/${hash}`, before, targets);
}

/** Takes off the files of removed anchors, and the links to them. */
export function removeLinked(context: DebianContext, change: Pick<StoreChange, 'remove'>): void {
  const { host } = context;
  removeAnchors(context, change);
  const links = change.remove.map((name) => `${debian.certs}/${linkNameOf(context, name)}`);
  for (const link of links) if (host.entry(link)?.kind === 'link') host.remove(link);
}
