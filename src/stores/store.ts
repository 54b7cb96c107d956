/**
 * What every trust store offers: the host's own mechanism, one per distribution family. A family is added by adding
 * one file and one line in detect.ts.
 */
import type { Anchor } from '../bundle/types.ts';
import type { Clock } from '../host/clock.ts';
import type { Host } from '../host/host.ts';
import type { Lock } from '../host/lock.ts';
import type { WatchTarget } from '../host/watch.ts';

/** A file in the anchor directory that bears this instance's name. */
export interface OwnFile {
  readonly name: string;
  /** intact: it holds the one certificate that its name says. directory: it is none. altered: anything else. */
  readonly content: 'intact' | 'altered' | 'directory';
  /** The fingerprint of what an intact file holds. */
  readonly fingerprint?: string;
}

/** What is on the host, as far as a pass must know. Reading it changes nothing and starts no process. */
export interface StoreState {
  readonly own: readonly OwnFile[];
  /** Fingerprints in the host's bundle, in the form that every program reads: Go passes over what OpenSSL alone does. */
  readonly trusted: ReadonlySet<string>;
  /** What is wrong with the host's bundle as a whole: missing, broken blocks, certificates of the host's own lost. */
  readonly problems: readonly string[];
  /** What else has to be made anew beside the bundle, and why. */
  readonly unmade?: readonly string[];
  /** Of the wanted anchors, the fingerprints that a hashed directory look-up does not find. */
  readonly unlinked: ReadonlySet<string>;
  /** Names of files of ours that are gone while a link to them is left. */
  readonly dangling: readonly string[];
  /** Files, not ours, that carry a certificate: fingerprint to host path. */
  readonly carriers: ReadonlyMap<string, string>;
  /** What to delete: our own temporaries and work directories, and another's temporary unchanged for a minute. */
  readonly leftovers: readonly string[];
  /** A pass of ours was ended while the host's own program may have been at work: it has to run again. */
  readonly isUnfinished?: boolean;
  /** Worth saying, not ours to change: broken files of others, by name. */
  readonly notes: readonly string[];
  /**
   * How many certificates of others the host's bundle holds, where its sources do not tell which must be there: fewer
   * than after the last change is a reason to refresh.
   */
  readonly others?: number;
}

/** What one change of the host consists of. */
export interface StoreChange {
  readonly add: readonly Anchor[];
  /** Names of files of ours to take off. */
  readonly remove: readonly string[];
  /** Leftovers to delete, directories with the files in them. */
  readonly clean: readonly string[];
  /** Those whose links have to be made: new ones, and those that a look-up by hash does not find. */
  readonly link: readonly Anchor[];
  /** Run the host's refresh command. */
  readonly refresh: boolean;
  /** All that the new bundle must hold to be published: fingerprints of ours. */
  readonly required: ReadonlySet<string>;
  /** Names of our files that the host's hooks have heard of, and of those that are there after the change. */
  readonly announced: readonly string[];
  readonly present: readonly string[];
  /** What they were told before, and have to be told again. */
  readonly unheard: readonly string[];
}

/** What came of a change. */
export interface Changed {
  /** What is worth saying of it. */
  readonly notes: readonly string[];
  /** What hooks that failed were told. */
  readonly unheard: readonly string[];
}

export const nothingToTell: Changed = { notes: [], unheard: [] };

export interface TrustStore {
  readonly family: string;
  /** The host's bundle, as the host knows it. */
  readonly bundle: string;
  readonly anchorDirectory: string;
  /** The host's own unit refreshes it, and takes the lock that keeps other instances out. */
  readonly isRefreshedByUnit?: true;
  /** What is written there is gone when the machine is started anew. */
  readonly volatile?: true;
  /** Directories in which a change can mean drift. */
  readonly watched: readonly WatchTarget[];
  /**
   * Why the host's tool leaves an anchor out without a word, as a phrase; undefined when it takes it. Such an anchor is
   * not installed and not asked for in the proof. A store without this takes every anchor.
   */
  drops?(anchor: Anchor): string | undefined;
  /** @throws Problem when the host has lost a program that a change needs: named, with what to install */
  requireTools(): void;
  /** The name of an anchor's file. */
  nameOf(fingerprint: string): string;
  /** What is on the host now, with regard to the wanted anchors. */
  observe(wanted: readonly Anchor[]): StoreState;
  /**
   * Files, then the new bundle in private, its check, its publication by or for the host's own tool, the hooks.
   * @throws Problem when a step fails; the host's bundle is then as it was
   */
  change(change: StoreChange, lock: Lock): Promise<Changed>;
  /**
   * Every fingerprint that some reader of the store trusts, with a file that holds it: proof of a removal. Reads more
   * than `observe`, so it is asked for removals only.
   */
  holders(): ReadonlyMap<string, string>;
}

/** A family of distributions, for the list of them in detect.ts. */
export interface Family {
  /** As people call its systems: "Debian and Ubuntu". */
  readonly name: string;
  /** What ID or ID_LIKE of their os-release says. */
  readonly ids: readonly string[];
  /** Paths that are there together on this family's systems alone: several programs share a name. */
  readonly marks: readonly string[];
  /** Paths without which its mechanism does not work, and the package that brings each. */
  readonly needs: Readonly<Record<string, string>>;
  open(host: Host, instance: string, clock: Clock): Omit<TrustStore, 'requireTools'>;
}

/** What the host's tool wants a file's name to end in. */
export type Extension = '.crt' | '.pem';

const fileName = /^node-ca-trust-([a-z0-9-]+)-([0-9a-f]{16})$/;

/** The name, without extension, of the file that holds an anchor (design, rule 2). */
export function stemOf(instance: string, fingerprint: string): string {
  return `node-ca-trust-${instance}-${fingerprint.slice(0, 16)}`;
}

/** Whether a certificate goes with the files of ours that are taken off. */
export function isTakenBy({ remove }: Pick<StoreChange, 'remove'>): (fingerprint: string) => boolean {
  const taken = new Set(remove.map((name) => /([0-9a-f]{16})\.\w+$/.exec(name)?.[1]));
  return (fingerprint) => taken.has(fingerprint.slice(0, 16));
}

/**
 * The first 16 hex digits of the fingerprint that a file name says.
 * @returns undefined when it is not a name of this instance with this extension
 */
export function prefixIn(instance: string, name: string, extension: Extension): string | undefined {
  const match = name.endsWith(extension) ? fileName.exec(name.slice(0, -extension.length)) : null;
  return match?.[1] === instance ? match[2] : undefined;
}
