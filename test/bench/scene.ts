// What every row of the bench has at hand.
import type { SecretMount } from '../sandbox/harness/secret-mount.ts';
import type { World } from '../sandbox/harness/world.ts';
import type { Mint } from './anchors.ts';
import type { Passes } from './passes.ts';
import type { Production } from './production.ts';
import type { TrustStore } from './trust-store.ts';

export interface Bench {
  readonly production: Production;
  /** A host without hooks, and its trust store. */
  readonly world: World;
  readonly store: TrustStore;
  /** What `passes` installs on that host. */
  readonly mount: SecretMount;
  readonly passes: Passes;
  readonly mint: Mint;
  /** Tells who waits what is under way. */
  readonly say: (what: string) => void;
}
