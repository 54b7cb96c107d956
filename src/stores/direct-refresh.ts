/**
 * A change of a trust store whose own program cannot be told to build elsewhere. Alpine's takes no option and publishes
 * what it could write on a full disk; Flatcar's takes all hash links away before it makes them again; both leave what a
 * kill interrupts where Go programs read it. So what they do is done here, in an order in which nothing is missing at
 * any moment: a run of theirs before or after finds nothing to change.
 */
import { posix } from 'node:path';
import { workDirectory } from '../host/ledger.ts';
import { discard, writeAnchors } from './anchor-files.ts';
import { check, concatenation } from './debian-bundle.ts';
import { clean, openHooks } from './debian-hooks.ts';
import { type DebianContext, debian, privateBundle, privateDirectory } from './debian-layout.ts';
import { linkAnchors, removeLinked } from './debian-links.ts';
import { publish } from './debian-refresh.ts';
import type { Changed, StoreChange } from './store.ts';

/**
 * The programs have written their bundle within a blink, and do no harm when they find it gone: so what is this old, in
 * milliseconds, must not be trusted by Go programs for longer.
 */
export const deadAfterMs = 5_000;

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

/**
 * A change of the store.
 *
 * 1. leftovers of killed runs go, ours and another's abandoned one
 * 2. new anchors are written, each file whole
 * 3. the bundle is put together outside the certificate directory, without the anchors that go
 * 4. it is checked: everything that must be in it is, nothing broken
 * 5. it takes the place of the host's bundle in one step, and a run of another that was under way is waited for
 * 6. the links by hash are brought in line
 * 7. removed anchors' files go, now that nothing leads to them
 * 8. the hooks hear of every addition and removal
 * 9. nothing of the work is left
 */
export async function changeDirect(context: DebianContext, change: StoreChange): Promise<Changed> {
  const { host, layout } = context;
  clean(context, change.clean); // (1)
  host.makeDirectory(layout.anchors);
  host.makeDirectory(workDirectory(context.instance));
  host.makeDirectory(privateDirectory(context), 0o700);
  const runHooks = openHooks(context);
  addFiles(context, change); // (2)
  if (change.refresh) {
    await refresh(context, change); // (3) to (5)
    linkAnchors(context, change); // (6)
    removeLinked(context, change); // (7)
  }
  const changed = await runHooks(change); // (8)
  for (const directory of [workDirectory(context.instance), privateDirectory(context)]) discard(host, directory); // (9)
  return changed;
}
