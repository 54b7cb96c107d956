// A system whose trust store is tried: what has to be laid out on a view of this machine, and which of it is not the
// system's own. A family is added by one file in this folder, NAME.test.ts, that gives one of these to `tryFamily`.
import type { World } from '../sandbox/harness/world.ts';

export interface System {
  /** The column of the table. */
  readonly name: string;
  /** The family as the report names it. */
  readonly family: string;
  /** Its os-release. */
  readonly release: string;
  /** What of it is not the system's own; empty when all is. */
  readonly emulated: string;
  readonly anchors: string;
  readonly bundle: string;
  /** Where openssl looks by hash; none where the system has no such directory. */
  readonly hashed: readonly string[];
  /** The directory whose disk fills up when bundles are made. */
  readonly disk: string;
  /** The system's own refresh command. */
  readonly refresh: readonly [string, ...string[]];
  /** A file without which the family is refused, and the package that brings it. */
  readonly needed: readonly [path: string, pack: string];
  /** Whether its tool drops what is no CA of TLS servers without a word. */
  readonly drops: boolean;
  /** What its own tool does is done here without it: it plays the other writer's part only. */
  readonly isDirect?: true;
  /** Its own tool knows nothing of our anchors: each run of it takes them out of the bundle until the next pass. */
  readonly ignores?: true;
  /** Its own tool takes the links by hash away while it runs, ours too: a pass that looks meanwhile says so. */
  readonly unlinks?: true;
  /** Lays it out, its bundle made from a handful of public CAs. */
  build(world: World): Promise<void>;
}
