/**
 * Which trust store a host has, from its os-release (os-release(5)) and from which tool is there.
 */
import type { Clock } from '../host/clock.ts';
import type { Host } from '../host/host.ts';
import { Problem } from '../host/problem.ts';
import { openDebianStore } from './debian.ts';
import type { TrustStore } from './store.ts';

/** Systems that are known, and why this program cannot serve them. */
const unsupported: Readonly<Record<string, string>> = {
  talos: 'its root is read-only and its trust store is set through its API',
  bottlerocket: 'its root is read-only and its trust store is set through its API',
  nixos: 'its trust store is built from security.pki.certificateFiles',
  'ubuntu-core': 'its root is read-only',
};

interface Release {
  readonly name: string;
  /** ID, then each of ID_LIKE. */
  readonly ids: readonly string[];
}

/** Reads the variables of an os-release file; values may be quoted as in a shell. */
function parseRelease(text: string): Release {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)=(["']?)(.*?)\2\s*$/.exec(line);
    if (match?.[1] !== undefined && match[3] !== undefined) values.set(match[1], match[3]);
  }
  const ids = [values.get('ID') ?? '', ...(values.get('ID_LIKE') ?? '').split(/\s+/)];
  const [name = 'an unknown system'] = [values.get('PRETTY_NAME') ?? '', ...ids].filter(Boolean);
  return { name, ids: ids.filter(Boolean) };
}

function readRelease(host: Host): Release {
  const bytes = host.read('/etc/os-release') ?? host.read('/usr/lib/os-release');
  if (bytes === undefined) {
    throw new Problem(
      `the host at ${host.root} has no /etc/os-release, so its distribution is unknown; is --host-root the host's own root?`,
    );
  }
  return parseRelease(bytes.toString('utf8'));
}

interface Family {
  readonly ids: readonly string[];
  /** Files without which the family's mechanism does not work, and the package that brings each. */
  readonly needs: Readonly<Record<string, string>>;
  open(host: Host, instance: string, clock: Clock): Omit<TrustStore, 'requireTools'>;
}

const families: readonly Family[] = [
  {
    ids: ['debian', 'ubuntu'],
    needs: {
      '/usr/sbin/update-ca-certificates': 'ca-certificates',
      '/usr/bin/openssl': 'openssl',
      '/usr/bin/flock': 'util-linux',
      '/etc/ssl/certs': 'ca-certificates',
    },
    open: openDebianStore,
  },
];

/** @throws Problem when something is not there that a change of the store needs */
function requireTools(host: Host, name: string, needs: Family['needs']): void {
  for (const [path, pack] of Object.entries(needs)) {
    if (host.target(path) === undefined) {
      throw new Problem(`the host runs ${name} but has no ${path}; install the package ${pack} on it`);
    }
  }
}

/**
 * Opens the trust store of the host.
 * @throws Problem when the distribution is unknown or not served, or its tool is not there: named, with what to do
 */
export function openStore(host: Host, instance: string, clock: Clock): TrustStore {
  const { name, ids } = readRelease(host);
  const refused = ids[0] === undefined ? undefined : unsupported[ids[0]];
  if (refused !== undefined) throw new Problem(`the host runs ${name}: ${refused}; this agent cannot change it`);
  const family = families.find((known) => ids.some((id) => known.ids.includes(id)));
  if (family === undefined) {
    throw new Problem(`the host runs ${name}, whose trust store is not known here; supported: Debian and Ubuntu`);
  }
  const requireAll = (): void => {
    requireTools(host, name, family.needs);
  };
  requireAll();
  return { ...family.open(host, instance, clock), requireTools: requireAll };
}
