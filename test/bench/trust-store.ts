// A world's trust store: changed by hand and the bare refresh command, and brought back to where it began.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Expectation, classify, readBundle } from '../sandbox/harness/classify.ts';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import type { World } from '../sandbox/harness/world.ts';
import type { BenchAnchor } from './anchors.ts';
import { endedChildren } from './measure.ts';

const anchorDirectory = '/usr/local/share/ca-certificates';
const certs = '/etc/ssl/certs';
const bundle = `${certs}/ca-certificates.crt`;
const state = '/var/lib/node-ca-trust';

/** The environment that the agent gives the command too: in another locale sed and sort take longer. */
const environment = { ...cleanEnvironment, LC_ALL: 'C' };

export interface BareRun {
  readonly wallMs: number;
  /** Of the command and of all that it started. */
  readonly cpuMs: number;
}

export interface TrustStore {
  /** Fingerprints in the host's bundle as it began. */
  readonly base: ReadonlySet<string>;
  /** Puts everything back: files, links, bundle; no trace of the program stays. Starts no process. */
  restore(): void;
  /** Writes a certificate file into the anchor directory, as an admin does. */
  put(name: string, anchor: BenchAnchor): void;
  take(name: string): void;
  /** Runs update-ca-certificates as an admin does. Throws when it fails. */
  refresh(): Promise<BareRun>;
  /** What a reader makes of the host's bundle now: `whole`, or what is wrong with it. */
  state(expectation: Expectation): string;
}

/** Takes hold of a world's trust store, once its own refresh command has put it in order. */
export async function openTrustStore(world: World): Promise<TrustStore> {
  const refresh = (): Promise<BareRun> => bareRefresh(world.root);
  mkdirSync(world.path(anchorDirectory), { recursive: true });
  await refresh();
  const anchorNames = new Set(readdirSync(world.path(anchorDirectory)));
  const names = new Set(readdirSync(world.path(certs)));
  const links = linksIn(world.path(certs));
  const bytes = readFileSync(world.path(bundle));
  return {
    base: readBundle(bytes.toString('latin1')).fingerprints,
    restore() {
      removeOthers(world.path(anchorDirectory), anchorNames);
      removeOthers(world.path(certs), names);
      for (const [name, target] of links) restoreLink(join(world.path(certs), name), target);
      writeFileSync(world.path('/etc/ssl/.bench'), bytes);
      renameSync(world.path('/etc/ssl/.bench'), world.path(bundle));
      rmSync(world.path(state), { recursive: true, force: true });
    },
    put(name, { pem }) {
      writeFileSync(world.path(`${anchorDirectory}/${name}`), pem);
    },
    take(name) {
      rmSync(world.path(`${anchorDirectory}/${name}`));
    },
    refresh,
    state: (expectation) => classify(readFileSync(world.path(bundle)), expectation).state,
  };
}

async function bareRefresh(root: string): Promise<BareRun> {
  const before = endedChildren();
  const start = performance.now();
  const child = spawn('chroot', [root, 'update-ca-certificates'], { env: environment, stdio: 'ignore' });
  const [code] = (await once(child, 'exit')) as [number | null];
  const wallMs = performance.now() - start;
  if (code !== 0) throw new Error(`update-ca-certificates ended with exit code ${code ?? 'none'}`);
  return { wallMs, cpuMs: endedChildren().cpuMs - before.cpuMs };
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function linksIn(directory: string): ReadonlyMap<string, string> {
  const links = new Map<string, string>();
  for (const name of readdirSync(directory)) {
    const target = linkOf(join(directory, name));
    if (target !== undefined) links.set(name, target);
  }
  return links;
}

function removeOthers(directory: string, names: ReadonlySet<string>): void {
  for (const name of readdirSync(directory)) if (!names.has(name)) rmSync(join(directory, name), { recursive: true });
}

function restoreLink(path: string, target: string): void {
  if (linkOf(path) === target) return;
  rmSync(path, { force: true });
  symlinkSync(target, path);
}
