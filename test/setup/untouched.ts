// A net below all tests of a suite: what they change is a view of this machine's root, never its own trust store.
import { changedPaths, snapshotStore } from '../sandbox/harness/snapshot.ts';

export default async function setup(): Promise<() => Promise<void>> {
  const before = await snapshotStore('/');
  return async () => {
    const changed = changedPaths(before, await snapshotStore('/'));
    if (changed.length > 0) {
      throw new Error(`the tests have changed this machine's own trust store: ${changed.join(', ')}`);
    }
  };
}
