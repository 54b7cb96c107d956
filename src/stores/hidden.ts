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

function isOfWhole(path: string): boolean {
  return whole.some((above) => `${path}/`.startsWith(above));
}

/** Whether the agent has all of the host's root, but for what may be missing from the root itself. */
function seesAll(host: Host): boolean {
  return host.target(farFromMounts) !== undefined;
}

/** Whether what is not in a directory is not on the host either. */
function isWhole(host: Host, directory: string): boolean {
  return isOfWhole(directory) || (directory !== '/' && seesAll(host));
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

/**
 * The same of a link of another's, by as few looks as will do: what it leads to may be on a mount that does not answer, or
 * not for the agent to look through. That is hidden too.
 */
export function hiddenLinkEnd(host: Host, path: string): string | undefined {
  const end = posix.resolve(host.real(posix.dirname(path)), host.link(path) ?? posix.basename(path));
  if (seesAll(host) && !isOfWhole(end)) {
    const [, top = ''] = end.split('/');
    return host.list('/')?.includes(top) === true ? undefined : end;
  }
  const found = caught(() => (host.target(path) === undefined ? hiddenEnd(host, path) : undefined));
  return found instanceof Problem ? end : found;
}

/** What is said of a file to which a hidden end leads. */
export function hiddenProblem(end: string): string {
  return `it leads to ${end}, and the agent sees nothing of the host there; put the file itself in its place`;
}
