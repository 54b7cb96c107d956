/**
 * Which trust store a host has: from its os-release (os-release(5)), held against what is there. Neither alone would do:
 * five programs are called update-ca-certificates, and a file of names can be wrong.
 */
import { printable } from '../bundle/text.ts';
import type { Clock } from '../host/clock.ts';
import type { Host } from '../host/host.ts';
import { Problem } from '../host/problem.ts';
import { alpineFamily } from './alpine.ts';
import { debianFamily } from './debian.ts';
import { cosFamily, flatcarFamily } from './flatcar.ts';
import { azureFamily, rhelFamily } from './rhel.ts';
import type { Family, TrustStore } from './store.ts';
import { suseFamily } from './suse.ts';

const families: readonly Family[] = [
  debianFamily,
  rhelFamily,
  azureFamily,
  suseFamily,
  alpineFamily,
  flatcarFamily,
  cosFamily,
];

/** Systems that are known, why this program cannot serve them, and what does. */
const unsupported: Readonly<Record<string, string>> = {
  talos:
    'its root is read-only and its trust store is set through its API; node-ca-trust render talos prints what does',
  bottlerocket:
    'its root is read-only and its trust store is set through its API; node-ca-trust render bottlerocket prints what does',
  nixos: 'its trust store is built from its configuration; put the certificates into security.pki.certificateFiles',
  'ubuntu-core': 'its root is read-only, trust store included, and no format of node-ca-trust render serves it',
  arch: 'its trust store is not served yet; put the certificates into /etc/ca-certificates/trust-source/anchors and run update-ca-trust',
};

interface Release {
  readonly name: string;
  /** ID, then each of ID_LIKE: from the nearest relative to the farthest. */
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
  return { name: printable(name), ids: ids.filter(Boolean) };
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

/** The family that the os-release names: by its ID, else by its nearest relative. */
function familyOf({ ids }: Release): Family | undefined {
  return ids.flatMap((id) => families.find((family) => family.ids.includes(id)) ?? [])[0];
}

function bears(host: Host, { marks }: Family): boolean {
  return marks.every((path) => host.target(path) !== undefined);
}

/** @throws Problem when the host bears the marks of another family, and not those of the one that it names */
function requireMarks(host: Host, { name }: Release, family: Family): void {
  const other = bears(host, family) ? undefined : families.find((one) => bears(host, one));
  if (other === undefined) return;
  throw new Problem(
    `the host's os-release says ${name}, but its trust store is that of ${other.name} (${other.marks.join(', ')}); nothing is changed until /etc/os-release is right`,
  );
}

/** @throws Problem when something is not there that a change of the store needs */
function requireTools(host: Host, { name }: Release, { needs }: Family): void {
  // In a restricted pod links lead to the host's /usr, which is all that is mounted of its programs.
  if (host.link('/bin') !== undefined && host.target('/bin/sh') === undefined) {
    throw new Problem(
      `the host runs ${name}, whose programs are not all below /usr, and an agent with less privilege sees no others (docs/privileges.md); use deploy/base there, with Helm privilege=full`,
    );
  }
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
  const release = readRelease(host);
  const { name, ids } = release;
  const refused = ids[0] === undefined ? undefined : unsupported[ids[0]];
  if (refused !== undefined) throw new Problem(`the host runs ${name}: ${refused}`);
  const family = familyOf(release);
  if (family === undefined) {
    const known = families.map((one) => one.name).join('; ');
    throw new Problem(`the host runs ${name}, whose trust store is not known here; supported: ${known}`);
  }
  requireMarks(host, release, family);
  const requireAll = (): void => {
    requireTools(host, release, family);
  };
  requireAll();
  return { ...family.open(host, instance, clock), requireTools: requireAll };
}
