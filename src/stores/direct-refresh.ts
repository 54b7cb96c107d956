/**
 * A change of a trust store whose own program cannot be told to build elsewhere. Alpine's takes no option and publishes
 * what it could write on a full disk; Flatcar's takes all hash links away before it makes them again; both leave what a
 * kill interrupts where Go programs read it. So what they do is done here, in an order in which nothing is missing at
 * any moment: a run of theirs before or after finds nothing to change.
 */
import { posix } from 'node:path';
import { discard, removeAnchors, writeAnchors } from './anchor-files.ts';
import { check, concatenation } from './debian-bundle.ts';
import { openHooks } from './debian-hooks.ts';
import {
  type DebianContext,
  debian,
  fileNameOf,
  linkNameOf,
  privateBundle,
  privateDirectory,
} from './debian-layout.ts';
import { publish } from './debian-refresh.ts';
import { readChains, writeChain } from './hash-links.ts';
import { type Changed, type StoreChange, isTakenBy, stemOf } from './store.ts';

/**
 * The programs have written their bundle within a blink, and do no harm when they find it gone: so what is this old, in
 * milliseconds, must not be trusted by Go programs for longer.
 */
export const deadAfterMs = 5_000;

/** The files of ours that look-ups by hash lead to though they are gone. */
export function lostLinks(context: DebianContext): readonly string[] {
  const { host, layout } = context;
  const targets = [...readChains(host, debian.certs).values()].flatMap((chain) => [...chain.values()]);
  return targets.flatMap((target) => {
    const file = fileNameOf(context, posix.basename(target ?? ''));
    return file !== undefined && host.target(`${layout.anchors}/${file}`) === undefined ? [file] : [];
  });
}

/** New files among those that Go programs read come by way of the private directory: there they may be unfinished. */
function addFiles(context: DebianContext, change: StoreChange): void {
  const { host, anchors } = context;
  if (anchors !== debian.certs) writeAnchors(context, change);
  else {
    const there = privateDirectory(context);
    for (const path of writeAnchors({ ...context, anchors: there }, change)) {
      host.publish(path, `${anchors}/${posix.basename(path)}`);
    }
  }
}

/** The bundle, put together from all files but those that go: (3) to (5) of a change. */
async function refresh(context: DebianContext, change: StoreChange): Promise<void> {
  const { host, layout } = context;
  const going = new Set(change.remove.map((name) => `${layout.anchors}/${name}`));
  const paths = layout.sources(host).filter((path) => !going.has(path));
  host.write(privateBundle(context), concatenation(context, paths, change)); // (3)
  check(context, () => paths, change); // (4)
  await publish(context); // (5)
}

/** The link in the certificate directory to a file that lies elsewhere. */
function linkFile(context: DebianContext, name: string): void {
  const { host, layout } = context;
  const [link, target] = [`${debian.certs}/${linkNameOf(context, name)}`, `${layout.anchors}/${name}`];
  if (link !== target && host.link(link) !== target) host.makeLink(link, target);
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

/** Each anchor is found by its hash, and no look-up leads to a file that goes: (6) of a change. */
function linkByHash(context: DebianContext, change: StoreChange): void {
  const { host, instance, layout } = context;
  const { linked, remove } = change;
  const going = new Set(remove.map((name) => linkNameOf(context, name)));
  const chains = readChains(host, debian.certs);
  const inheriting = remove.length > 0 ? heirs(context, change) : [];
  const wanted = Map.groupBy(linked, ({ subjectHash }) => subjectHash);
  const names = (hash: string): string[] =>
    (wanted.get(hash) ?? []).map(({ fingerprint }) => {
      const name = `${stemOf(instance, fingerprint)}${layout.extension}`;
      linkFile(context, name);
      return linkNameOf(context, name);
    });
  for (const hash of new Set([...chains.keys(), ...wanted.keys()])) {
    const before = chains.get(hash) ?? new Map<number, string | undefined>();
    const isGoing = (target = ''): boolean => going.has(posix.basename(target));
    if (!wanted.has(hash) && ![...before.values()].some(isGoing)) continue;
    const stem = `${debian.certs}/${hash}`;
    const links = [...before].sort(([a], [b]) => a - b).filter(([, target]) => !isGoing(target));
    // A look-up ends at a link that leads nowhere, whosever it is.
    const leading = links.filter(([suffix]) => host.target(`${stem}.${suffix}`) !== undefined);
    const staying = leading.flatMap(([, target]) => target ?? []);
    const gone = [...before.values()].flatMap((target) => (target !== undefined && isGoing(target) ? [target] : []));
    const isHeir = isTakenBy({ remove: gone });
    const inherited = inheriting.filter(({ print }) => isHeir(print)).map(({ name }) => name);
    writeChain(host, stem, before, [...new Set([...staying, ...inherited, ...names(hash)])]);
  }
}

function removeFiles(context: DebianContext, change: StoreChange): void {
  removeAnchors(context, change);
  const links = change.remove.map((name) => `${debian.certs}/${linkNameOf(context, name)}`);
  for (const link of links) if (context.host.entry(link)?.kind === 'link') context.host.remove(link);
}

/**
 * A change of the store.
 *
 * 1. leftovers of killed runs go, ours and another's abandoned one
 * 2. new anchors are written, each file whole
 * 3. the bundle is put together outside the certificate directory, without the anchors that go
 * 4. it is checked: everything that must be in it is, nothing broken
 * 5. it takes the place of the effective bundle in one step, and a run of another that was under way is waited for
 * 6. the links by hash are brought in line
 * 7. removed anchors' files go, now that nothing leads to them
 * 8. the hooks hear of every addition and removal
 * 9. nothing of the work is left
 */
export async function changeDirect(context: DebianContext, change: StoreChange): Promise<Changed> {
  const { host, layout } = context;
  for (const path of change.clean) discard(host, path); // (1)
  host.makeDirectory(layout.anchors);
  host.makeDirectory(privateDirectory(context), 0o700);
  const runHooks = openHooks(context);
  addFiles(context, change); // (2)
  if (change.refresh) {
    await refresh(context, change); // (3) to (5)
    linkByHash(context, change); // (6)
    removeFiles(context, change); // (7)
  }
  const changed = await runHooks(change); // (8)
  discard(host, privateDirectory(context)); // (9)
  return changed;
}
