/**
 * The hooks of a host of Debian's kind: programs in one directory, Java's key store among them, that hear of each
 * certificate that came or went. They are run here and not by the host's tool, which would run them before the publication.
 */
import { posix } from 'node:path';
import * as z from 'zod/mini';
import { workDirectory } from '../host/ledger.ts';
import { Problem, caught } from '../host/problem.ts';
import { type StoreContext, discard, lastLine } from './anchor-files.ts';
import { type DebianContext, debian, fileNameOf, linkNameOf } from './debian-layout.ts';
import { markerOf } from './debian-links.ts';
import { type Changed, type StoreChange, nothingToTell } from './store.ts';

type Links = ReadonlyMap<string, string>;

/** Names of the links in the certificate directory that carry certificates, with where each points. */
function certificateLinks({ host }: StoreContext): Links {
  return host.atOnce(() => {
    const links = (host.list(debian.certs) ?? []).flatMap((name): readonly (readonly [string, string])[] => {
      const target = name.endsWith('.pem') ? host.link(`${debian.certs}/${name}`) : undefined;
      return target === undefined ? [] : [[name, target]];
    });
    return new Map(links);
  });
}

/**
 * What the hooks are told: `+` or `-` and the link's path, additions first, as the tool words it. Of ours, what they have
 * not heard yet, also when a killed pass made the change; of others', what the tool changed in this run.
 */
function hookLines(context: DebianContext, before: Links, { announced, present }: StoreChange): readonly string[] {
  const after = certificateLinks(context);
  const isOurs = (name: string): boolean => fileNameOf(context, name) !== undefined;
  const linkOf = (name: string): string => linkNameOf(context, name);
  const added = [...after]
    .filter(([name, target]) => !isOurs(name) && before.get(name) !== target)
    .map(([name]) => name);
  const gone = [...before.keys()].filter((name) => !isOurs(name) && !after.has(name));
  const ourAdded = present.filter((name) => !announced.includes(name)).map(linkOf);
  // Without a ledger nothing counts as heard of: what had a link is told again, rather than not at all.
  const linked = [...before.keys()].filter((name) => isOurs(name) && name !== linkOf(markerOf(context)));
  const expected = new Set(present.map(linkOf));
  const ourGone = [...new Set([...announced.map(linkOf), ...linked])].filter((name) => !expected.has(name));
  return [
    ...[...added, ...ourAdded].map((name) => `+${debian.certs}/${name}`),
    ...[...gone, ...ourGone].map((name) => `-${debian.certs}/${name}`),
  ];
}

/** The host's hooks, as run-parts(8) chooses and orders them for the tool: programs whose names are plain. */
function hooksOf({ host }: DebianContext): readonly string[] {
  const paths = (host.list(debian.hooks) ?? [])
    .filter((name) => /^[\w-]+$/.test(name))
    .map((name) => `${debian.hooks}/${name}`);
  return paths.filter((path) => {
    const entry = caught(() => host.target(path));
    return !(entry instanceof Problem) && entry?.kind === 'file' && (entry.rights.mode & 0o111) !== 0;
  });
}

/** What is told now, and what was not heard before and is still so: the later word on each path, additions first. */
function told({ host }: StoreContext, lines: readonly string[], { unheard }: StoreChange): readonly string[] {
  const isThere = (path: string): boolean => host.target(path) !== undefined;
  const still = unheard.filter((line) => isThere(line.slice(1)) === line.startsWith('+'));
  const latest = new Map([...still, ...lines].map((line) => [line.slice(1), line]));
  const [added, gone] = ['+', '-'].map((sign) => [...latest.values()].filter((line) => line.startsWith(sign)));
  return [...(added ?? []), ...(gone ?? [])];
}

/** The links as they were before a change, until its hooks have heard: a pass may end once the tool has made others. */
function recordPath({ instance }: StoreContext): string {
  return `${workDirectory(instance)}/linked.json`;
}

/** What a change that did not come to its hooks has found; undefined when there was none. */
function recordedLinks(context: StoreContext): Links | undefined {
  try {
    const text = context.host.read(recordPath(context))?.toString('utf8');
    return text === undefined ? undefined : new Map(recordShape.parse(JSON.parse(text)));
  } catch {
    return undefined;
  }
}

const recordShape = z.array(z.tuple([z.string(), z.string()]));

/** Takes off what is left over; in our work directory not what tells of the links as they were. */
export function clean(context: DebianContext, leftovers: readonly string[]): void {
  const { host } = context;
  const record = recordPath(context);
  for (const path of leftovers) {
    const isWork = path === posix.dirname(record) && host.entry(record)?.kind === 'file';
    const paths = isWork ? (host.list(path) ?? []).map((name) => `${path}/${name}`) : [path];
    for (const one of paths) if (one !== record) discard(host, one);
  }
}

/**
 * Looks, before a change, at what its hooks will be told of. The work directory has to be there, and to stay until they
 * have been.
 * @returns what runs the host's hooks as the tool does, after the publication, so that they see what they are told of
 */
export function openHooks(context: DebianContext): (change: StoreChange) => Promise<Changed> {
  const { host } = context;
  const hooks = hooksOf(context);
  // Most hosts have none, and a thousand links take their time.
  if (hooks.length === 0) return async () => Promise.resolve(nothingToTell);
  const recorded = recordedLinks(context);
  const before = recorded ?? certificateLinks(context);
  if (recorded === undefined) host.write(recordPath(context), JSON.stringify([...before]));
  return async (change) => {
    const lines = told(context, hookLines(context, before, change), change);
    if (!change.refresh && lines.length === 0) return nothingToTell;
    const notes: string[] = [];
    for (const hook of hooks) {
      // By env, so that one whose interpreter is gone ends with an exit code, wherever the host's root is.
      const result = await host.run('env', [hook], { input: lines.map((line) => `${line}\n`).join('') });
      if (result.code === 0) continue;
      notes.push(`${hook} on the host ended with exit code ${result.code ?? '?'}: ${lastLine(result.output)}`);
    }
    return { notes, unheard: notes.length > 0 ? lines : [] };
  };
}
