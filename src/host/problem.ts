/**
 * Problems that a person can do something about: one line each, never a stack trace. Everything else that is thrown is
 * a defect of this program.
 */

/** Something outside this program is not as it must be. The message says what, where and what to do. */
export class Problem extends Error {
  override name = 'Problem';
}

/** The host root, or a path the admin named, is wrong: no later pass heals it without a change of the configuration. */
export class UsageProblem extends Problem {
  override name = 'UsageProblem';
}

/** What an errno means for an admin, and what to do. */
const advice: Readonly<Record<string, string>> = {
  EACCES: 'permission denied; run as root, or grant the access',
  EPERM: 'operation not permitted; run as root, or grant the privilege',
  ENOSPC: 'no space left on the device; free some, the next pass goes on by itself',
  EDQUOT: 'the disk quota is used up; free some, the next pass goes on by itself',
  EROFS: 'the file system is read-only; mount it writable, or put the bundle into the node image',
  EIO: 'input/output error; check the disk',
  EMFILE: 'too many open files; raise the limit',
  ENFILE: 'too many open files on the machine; raise the limit',
  EBUSY: 'the path is busy, often a mount of its own; unmount it',
  EXDEV: 'source and target are on different mounts; mount their common directory as one',
  ENOENT: 'no such file or directory',
  ENOTDIR: 'a part of the path is not a directory',
  EISDIR: 'it is a directory; move it away',
  ELOOP: 'too many symbolic links',
  ESTALE: 'stale file handle; mount it again',
  ENOTCONN: 'its file system does not answer; mount it again',
  ENAMETOOLONG: 'a name in the path is too long',
  EEXIST: 'something else is there already; the next pass goes on',
  ENOTEMPTY: 'the directory is not empty',
};

/** The errno code of a system error, or undefined for any other value. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** One line for a person: the advice for a system error, else the error's first line. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Of a host with several addresses, each of which was tried.
  if (error instanceof AggregateError && error.errors.length > 0) return explain(error.errors[0]);
  const code = errnoOf(error);
  const known = code === undefined ? undefined : advice[code];
  if (known !== undefined && code !== undefined) return `${known} (${code})`;
  return error.message.split('\n', 1)[0] ?? error.name;
}

/** Wraps what was thrown while doing `what` into a Problem, cause kept; Problems pass through unchanged. */
export function problemOf(what: string, error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(`${what}: ${explain(error)}`, { cause: error });
}

/**
 * What `action` gives, or the Problem that it meets: for what others may have put somewhere, which must end no pass.
 */
export function caught<T>(action: () => T): T | Problem {
  try {
    return action();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}
