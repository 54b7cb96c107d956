/**
 * The new bundle of a store that has links by hash, before it is published: put together as the host's tool does it, but of
 * certificates alone, and checked.
 */
import { readLimit } from '../host/files.ts';
import { Problem } from '../host/problem.ts';
import type { StoreContext } from './anchor-files.ts';
import { isBare, plainLabel } from './certificate-files.ts';
import { privateBundle } from './debian-layout.ts';
import { type StoreChange, isTakenBy } from './store.ts';

/** A file of so many characters is taken as it is; a longer one may be blank for the most part. */
const longestAsItIs = 64 * 1024;

/**
 * What of a file comes into the bundle: not the broken blocks of another's, since one truncated block breaks curl for
 * every site, nor what else is in it, since what only root can read, a private key say, would be there for all to read.
 * @param seen the certificates that are in the bundle by now, in the form that all programs read
 */
function contribution({ host, files }: StoreContext, path: string, seen: Set<string>): string {
  const file = files.read(path);
  if (file === undefined || file.fingerprints.length === 0) return '';
  const text = host.read(path)?.toString('latin1') ?? '';
  // Each is enough once; but one that OpenSSL alone reads is not the same certificate to all programs.
  const missing = new Set(file.plain.filter((fingerprint) => !seen.has(fingerprint)));
  const isRepeated = missing.size < file.plain.length;
  const isAsItIs = !isRepeated && file.problems.length === 0 && text.length <= longestAsItIs && isBare(text);
  const isWanted = (print: string, label: string): boolean => {
    if (label !== plainLabel) return true;
    const isNew = !seen.has(print);
    seen.add(print);
    return isNew;
  };
  if (!isAsItIs) return files.goodBlocks(text, isWanted);
  for (const fingerprint of missing) seen.add(fingerprint);
  return text;
}

/**
 * What the present bundle holds and no file that can be read. While there is one that cannot, by the agent's rights or
 * for a disk's fault, it may be that one's, and programs rely on it: it stays.
 */
function unaccounted({ host, files, bundle }: StoreContext, paths: readonly string[], change: StoreChange): string {
  const read = paths.map((path) => files.read(path));
  if (!read.some((file) => file?.unread === 'denied')) return '';
  const carried = new Set(read.flatMap((file) => file?.fingerprints ?? []));
  const isTaken = isTakenBy(change);
  const text = host.read(bundle)?.toString('latin1') ?? '';
  return files.goodBlocks(text, (fingerprint) => !carried.has(fingerprint) && !isTaken(fingerprint));
}

/** @throws Problem at once when they are more than is read back of a bundle: all in memory would be too much */
function contributions(context: StoreContext, paths: readonly string[]): readonly string[] {
  let length = 0;
  let largest = { path: '', length: 0 };
  const seen = new Set<string>();
  return paths.map((path) => {
    const text = contribution(context, path, seen);
    length += text.length;
    if (text.length > largest.length) largest = { path, length: text.length };
    if (length <= readLimit) return text;
    throw new Problem(
      `the certificates on the host are more than ${readLimit} bytes together; remove some: ${largest.path} has ${largest.length}`,
    );
  });
}

/** The bundle as the tool makes it, all files one after the other. */
export function concatenation(context: StoreContext, paths: readonly string[], change: StoreChange): Buffer {
  const texts = [...contributions(context, paths), unaccounted(context, paths, change)];
  const ended = texts.map((text) => (text === '' || text.endsWith('\n') ? text : `${text}\n`));
  return Buffer.from(ended.join(''), 'latin1');
}

/** What is wrong with the private bundle; undefined for a good one. */
function flawOf(context: StoreContext, paths: readonly string[], { required }: StoreChange): string | undefined {
  const { files } = context;
  const built = files.read(privateBundle(context));
  const [problem] = built?.problems ?? [];
  if (problem !== undefined) return `is broken: ${problem}`;
  const [held, plain] = [new Set(built?.fingerprints), new Set(built?.plain)];
  const ofAll = paths.flatMap((path) => files.read(path)?.fingerprints ?? []);
  const lost = [...required].filter((one) => !plain.has(one)).concat(ofAll.filter((one) => !held.has(one)));
  if (lost.length === 0) return undefined;
  return `lacks ${lost.length} certificates (${lost[0]?.slice(0, 16) ?? ''}...)`;
}

/**
 * Refuses a bundle that would lack most of what the host trusts beside ours: a selection that was lost, or files in other
 * places than this program knows. Who wants it so runs the host's own tool.
 */
function refuseLoss(context: StoreContext, change: StoreChange): void {
  const { files, bundle } = context;
  const isTaken = isTakenBy(change);
  const othersIn = (path: string): ReadonlySet<string> => {
    const held = files.read(path)?.fingerprints ?? [];
    return new Set(held.filter((fingerprint) => !change.required.has(fingerprint) && !isTaken(fingerprint)));
  };
  const held = othersIn(privateBundle(context));
  const lost = [...othersIn(bundle)].filter((fingerprint) => !held.has(fingerprint)).length;
  if (lost <= held.size) return;
  throw new Problem(
    `${bundle} on the host holds ${lost} certificates of others that no file which counts there carries; it is left as it was, since they would be lost: look for what has become of their files and of what selects them, or, if they are to go, run update-ca-certificates on the host`,
  );
}

/**
 * Checks the private bundle, and leaves out of it what another's broken file brought in.
 * @param sources gives the files that it is made of
 * @throws Problem when a certificate that must be there is not: what is required of us, all that the host's own carry, and
 *   most of what the host's bundle holds
 */
export function check(context: StoreContext, sources: () => readonly string[], change: StoreChange): void {
  const { host, files } = context;
  const bundle = privateBundle(context);
  const isClean = files.read(bundle)?.problems.length === 0 && isBare(host.read(bundle)?.toString('latin1') ?? '');
  if (!isClean) host.write(bundle, concatenation(context, sources(), change));
  const flaw = host.atOnce(() => flawOf(context, sources(), change));
  if (flaw !== undefined) {
    throw new Problem(`the bundle that was built on the host ${flaw}; it is not published, the host's is as it was`);
  }
  refuseLoss(context, change);
}
