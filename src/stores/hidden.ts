/**
 * What an agent does not see that has a part of the host's root alone (docs/privileges.md): a link that leads out of that
 * part looks like one that leads nowhere, though for the host it leads to a certificate.
 */
import { posix } from 'node:path';
import type { Host } from '../host/host.ts';
import { Problem, caught } from '../host/problem.ts';

/** What every agent has as a whole. Elsewhere there may be no more than the ways to its mounts. */
const whole = ['/usr/', '/etc/'];

/** Such an agent serves Debian's family alone (detect.ts), each of whose systems has this. */
const farFromMounts = '/var/lib/dpkg';

/** Whether what is not in a directory is not on the host either. */
function isWhole(host: Host, directory: string): boolean {
  if (whole.some((path) => `${directory}/`.startsWith(path))) return true;
  return directory !== '/' && host.target(farFromMounts) !== undefined;
}

/** Whether a link, as it is written, leads to a neighbour or below one: what that leads to is asked of the neighbour. */
export function isToNeighbour(target: string | undefined): boolean {
  return target !== undefined && !/^\/|(?:^|\/)\.\.(?:\/|$)/.test(target);
}

/**
 * Where a path leads at which the agent sees nothing, and the host may have something. A link that dangles in a directory
 * that is there is really broken; of one that leads to a directory missing from the root itself no agent can tell.
 * @returns undefined for what leads nowhere on the host either
 */
export function hiddenEnd(host: Host, path: string): string | undefined {
  const end = caught(() => host.real(path));
  // A circle of links leads nowhere.
  if (end instanceof Problem) return undefined;
  let above = posix.dirname(end);
  while (above !== '/' && host.target(above) === undefined) above = posix.dirname(above);
  return isWhole(host, above) ? undefined : end;
}

/** What is said of a file to which a hidden end leads. */
export function hiddenProblem(end: string): string {
  return `it leads to ${end}, and the agent sees nothing of the host there; put the file itself in its place`;
}
