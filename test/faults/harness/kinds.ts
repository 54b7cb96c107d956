// The hosts on which passes go wrong: whose trust store it is, and what of it is looked at.
import { readFile, rm, symlink } from 'node:fs/promises';
import { anchors, bundle, certs } from '../../sandbox/harness/host.ts';
import type { World } from '../../sandbox/harness/world.ts';
import { alpine as alpineSystem } from '../../families/systems/alpine.ts';
import { flatcar as flatcarSystem } from '../../families/systems/flatcar.ts';
import { fedora as fedoraSystem, rhel as rhelSystem } from '../../families/systems/rhel.ts';
import { put } from '../../families/systems/p11-kit.ts';
import { suse as suseSystem } from '../../families/systems/suse.ts';
import type { System } from '../../families/system.ts';

/** Whose store it is. */
export interface Kind extends Pick<System, 'name' | 'anchors' | 'bundle'> {
  /** How the names of anchors end. */
  readonly extension: '.crt' | '.pem';
  /** What comes before the name of an anchor's link where Go programs read every file; none where they read the bundle. */
  readonly linkPrefix?: string;
  /** Whether hooks hear of what comes and goes. */
  readonly isHeard: boolean;
  /** Whether the directory of anchors is ours. */
  readonly isMade: boolean;
  /** What is looked at. */
  readonly looked: readonly string[];
  /** Of that, what the host's own tool makes beside the bundle, one thing after the other: in line when it has ended. */
  readonly made: readonly string[];
  /** It has failed to: how it ended is told, and what it did not make is not held against a pass. */
  readonly isToolFailed?: boolean;
  /** Where the bundle is made. */
  readonly workshop: string;
  /** Its refresh is left to a unit of the host. */
  readonly isUnit?: true;
  /** Lays it out on a small Debian host; nothing to do where it is one. */
  build?(world: World): Promise<void>;
  /** Makes a host without anchors what it is when no pass has ever been there. */
  begin?(world: World): Promise<void>;
}

const edited = '/etc/containerd';

function layOut(system: System): (world: World) => Promise<void> {
  return async (world) => {
    await put(world, '/etc/os-release', system.release);
    await system.build(world);
  };
}

/** A shell script of the host's that makes the store for Java, in which the time stands. */
async function stopTime(world: World, path: string): Promise<void> {
  const text = await readFile(world.path(path), 'utf8');
  await put(world, path, text.replace('\n', '\nexport SOURCE_DATE_EPOCH=1\n'), 0o755);
}

export const debian: Kind = {
  ...{ name: 'debian', anchors, bundle, extension: '.crt', linkPrefix: '', isHeard: true, isMade: true },
  ...{ looked: [edited], made: [], workshop: '/etc/ssl' },
};

/** Its refresh command runs by itself, as the units do that are rendered for it. */
export const unit: Kind = { ...debian, name: 'unit', looked: [edited, '/etc/node-ca-trust'], isUnit: true };

export const alpine: Kind = { ...debian, name: 'alpine', linkPrefix: 'ca-cert-', build: layOut(alpineSystem) };

export const flatcar: Kind = {
  ...{ name: 'flatcar', anchors: certs, bundle, extension: '.pem', linkPrefix: '', isHeard: false, isMade: false },
  ...{ looked: [], made: [], workshop: '/etc/ssl' },
  async build(world) {
    // No hook is known there.
    await rm(world.path('/etc/ca-certificates'), { recursive: true });
    await layOut(flatcarSystem)(world);
  },
  async begin(world) {
    await rm(world.path(bundle));
    await symlink('../../../usr/share/ca-certificates/ca-certificates.crt', world.path(bundle));
  },
};

const extracted = '/etc/pki/ca-trust/extracted';

/** @param made what of the tool's own is looked at */
function redHat(name: string, system: System, made: readonly string[]): Kind {
  return {
    ...{ name, anchors: system.anchors, bundle: system.bundle, extension: '.crt', isHeard: false, isMade: false },
    ...{ looked: ['/etc/pki/ca-trust', ...made], made: [extracted, ...made], workshop: extracted },
    async build(world) {
      await layOut(system)(world);
      await stopTime(world, '/usr/bin/update-ca-trust');
    },
  };
}

export const rhel = redHat('rhel', rhelSystem, []);
/** It makes look-ups by hash, too, and links to them in another directory. */
export const fedora = redHat('fedora', fedoraSystem, ['/etc/pki/tls/certs']);

const output = '/var/lib/ca-certificates';

export const suse: Kind = {
  ...{ name: 'suse', anchors: suseSystem.anchors, bundle: suseSystem.bundle, extension: '.crt' },
  ...{ isHeard: false, isMade: false, looked: ['/etc/pki/trust', output], made: [output], workshop: output },
  async build(world) {
    await layOut(suseSystem)(world);
    await stopTime(world, '/usr/sbin/update-ca-certificates');
  },
};
