// What tests of the store do on the host again and again: lay out a small one, look whom it trusts, listen to its hooks.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { onTestFinished, type TestContext } from 'vitest';
import { eventually } from './agent.ts';
import { readBundle } from './classify.ts';
import type { Cert } from './certs.ts';
import { mountSecret, type SecretFiles, type SecretMount } from './secret-mount.ts';
import { bundleFile, hashedDirectory, opensslTrusts } from './tls-server.ts';
import { wholeView } from './leave-out.ts';
import { isWaitedFor } from './lock-queue.ts';
import { createWorld, type Undo, type World, type WorldOptions } from './world.ts';

export const anchors = '/usr/local/share/ca-certificates';
export const certs = '/etc/ssl/certs';
export const bundle = `${certs}/ca-certificates.crt`;
export const plainTemporary = `${bundle}.new`;
export const state = '/var/lib/node-ca-trust';
export const ledger = `${state}/default.json`;

/** The name of a certificate's file; `.pem` is its link in the certificate directory. */
export function nameOf({ fingerprint }: Pick<Cert, 'fingerprint'>, extension = '.crt', instance = 'default'): string {
  return `node-ca-trust-${instance}-${fingerprint.slice(0, 16)}${extension}`;
}

/** The host path of a certificate's file. */
export function fileOf(cert: Pick<Cert, 'fingerprint'>, instance = 'default'): string {
  return `${anchors}/${nameOf(cert, '.crt', instance)}`;
}

/**
 * A world whose distribution selects only a few CAs: its update-ca-certificates, the real one, takes a tenth of a
 * second instead of one.
 */
export async function smallWorld(options: WorldOptions = {}): Promise<World> {
  const world = await createWorld(options);
  await shrink(world);
  return world;
}

/** Lets the distribution of a world select a few CAs only, and takes off what else is in the store. */
export async function shrink(world: World): Promise<void> {
  const selection = await readFile(world.path('/etc/ca-certificates.conf'), 'utf8');
  const selected = selection.split('\n').filter((line) => line !== '' && !/^[#!]/.test(line));
  await writeFile(world.path('/etc/ca-certificates.conf'), `${selected.slice(0, 6).join('\n')}\n`);
  for (const directory of [certs, anchors]) {
    for (const name of await readdir(world.path(directory)).catch(() => [])) {
      await rm(world.path(`${directory}/${name}`), { recursive: true });
    }
  }
  await mkdir(world.path(anchors), { recursive: true });
  await plainRun(world);
}

/** A small world any part of which may be changed; without one, as for an ordinary user, the test is left out. */
export async function wholeWorld(context: TestContext): Promise<World> {
  const world = await wholeView(context);
  await shrink(world);
  return world;
}

/** A small world and a mounted Secret. They end with the test. */
export async function scene(files: SecretFiles = {}): Promise<{ readonly world: World; readonly secret: SecretMount }> {
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  return { world: stack.use(await smallWorld()), secret: stack.use(await mountSecret(files)) };
}

/** The host's own tool, run by somebody else. */
export async function plainRun(world: World): Promise<void> {
  const { code, stderr } = await world.exec('update-ca-certificates');
  if (code !== 0) throw new Error(`update-ca-certificates ended with ${code}: ${stderr}`);
}

/** Whether readers of the bundle and of the hashed directory trust a self-signed CA. */
export async function trust(world: World, { pem }: Pick<Cert, 'pem'>): Promise<{ bundle: boolean; hashed: boolean }> {
  const [inBundle, inDirectory] = await Promise.all([
    opensslTrusts(world, pem, bundleFile),
    opensslTrusts(world, pem, hashedDirectory),
  ]);
  return { bundle: inBundle.trusted, hashed: inDirectory.trusted };
}

export const everywhere = { bundle: true, hashed: true };
export const nowhere = { bundle: false, hashed: false };

/** The fingerprints in the host's bundle. Throws when it is broken. */
export async function inBundle(world: World, path = bundle): Promise<ReadonlySet<string>> {
  const { fingerprints, broken } = readBundle(await readFile(world.path(path), 'latin1'));
  if (broken !== undefined) throw new Error(`${path} is broken: ${broken}`);
  return fingerprints;
}

/** The names of our files in the anchor directory. */
export async function ourFiles(world: World): Promise<readonly string[]> {
  return (await readdir(world.path(anchors))).filter((name) => name.startsWith('node-ca-trust-')).sort();
}

/** Names in the certificate directory of links that lead nowhere. */
export async function danglingLinks(world: World): Promise<readonly string[]> {
  const { stdout } = await world.exec('find', [certs, '-xtype', 'l']);
  return stdout.split('\n').filter(Boolean);
}

/** Holds the lock that passes take, as another pass would. */
export async function holdLock(world: World): Promise<Undo> {
  await mkdir(world.path(state), { recursive: true, mode: 0o700 });
  // It ends with its standard input, however this process does.
  const child = spawn('flock', ['-x', world.path(state), 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  const undo = async (): Promise<void> => {
    child.stdin.end();
    await ended;
  };
  return { undo, [Symbol.asyncDispose]: undo };
}

/** Waits until a pass waits for the lock that another has. */
export async function waitsForLock(world: World): Promise<void> {
  await eventually(async () => {
    if (!(await isWaitedFor(world.path(state)))) throw new Error('no pass waits for the lock yet');
  });
}

export interface Hook {
  /** What each call was told, in order, and the fingerprints that the host's bundle held then. */
  calls(): Promise<readonly { readonly lines: readonly string[]; readonly held: ReadonlySet<string> }[]>;
}

/** Installs a hook that records; it ends with this exit code. */
export async function installHook(world: World, code = 0): Promise<Hook> {
  const directory = '/etc/ca-certificates/update.d';
  const record = '/tmp/hook';
  await mkdir(world.path(directory), { recursive: true });
  await mkdir(world.path(record));
  const script = `#!/bin/sh
call=$(ls ${record} | wc -l)
mkdir ${record}/$call
cat > ${record}/$call/lines
cp ${bundle} ${record}/$call/bundle
echo "the recorder ends with ${code}"
exit ${code}
`;
  await writeFile(world.path(`${directory}/recorder`), script);
  await chmod(world.path(`${directory}/recorder`), 0o755);
  return {
    async calls() {
      const numbers = (await readdir(world.path(record))).map(Number).sort((a, b) => a - b);
      const call = async (number: number) => ({
        lines: (await readFile(world.path(`${record}/${number}/lines`), 'utf8')).split('\n').filter(Boolean),
        held: await inBundle(world, `${record}/${number}/bundle`),
      });
      return Promise.all(numbers.map(call));
    },
  };
}
