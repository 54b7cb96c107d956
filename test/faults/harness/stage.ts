// A small Debian host on which passes go wrong: the real refresh command, a hook that listens, and a containerd whose
// directories of registries are edited.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { agent, eventually, type PassOutcome } from '../../sandbox/harness/agent.ts';
import { makeThree, type Cert } from '../../sandbox/harness/certs.ts';
import { inBundle, smallWorld } from '../../sandbox/harness/host.ts';
import { mountSecret, type SecretFiles, type SecretMount } from '../../sandbox/harness/secret-mount.ts';
import type { World } from '../../sandbox/harness/world.ts';
import { answerVersion } from '../../unit/support/runtime.ts';
import { type Kind, debian } from './kinds.ts';
import { type Unit, startUnit } from './unit.ts';

export const certsDirectory = '/etc/containerd/certs.d';

/** What the hook has been told, in order. */
const heard = '/tmp/heard';

/** Registries of another: a file with text, an empty directory, a default of the admin's own. */
export const registries: Readonly<Record<string, string | undefined>> = {
  'registry.test:5443': '# The registry of the company.\nserver = "https://registry.test:5443"\n',
  'mirrored.test': 'server = "https://mirrored.test"\n\n[host."https://mirror.test"]\n  capabilities = ["pull"]\n',
  'empty.test': undefined,
};

export interface Stage extends AsyncDisposable {
  readonly world: World;
  readonly kind: Kind;
  readonly secret: SecretMount;
  /** One that stays, and two that take turns. */
  readonly certs: { readonly kept: Cert; readonly old: Cert; readonly next: Cert };
  /** The distribution's own CAs. */
  readonly distribution: readonly string[];
  readonly unit: Unit | undefined;
}

export interface Pass {
  readonly files: SecretFiles;
  readonly removes?: boolean;
  readonly options: readonly string[];
}

/** What one pass does, and from what. */
export interface Scenario {
  readonly name: string;
  readonly before: Pass;
  readonly pass: Pass;
  /** Whom readers find whatever happens, beside the distribution's own. */
  readonly stays: readonly Cert[];
  /** Of these, one at least. */
  readonly oneOf: readonly Cert[];
  readonly appears: readonly Cert[];
  readonly vanishes: readonly Cert[];
}

const apart = ['--runtime-refresh', 'off'];
const edited = ['--runtime-refresh', 'certs.d'];

export function scenarios({ kept, old, next }: Stage['certs']): readonly Scenario[] {
  const first = { 'kept.crt': kept.pem, 'ca.crt': old.pem };
  const second = { 'kept.crt': kept.pem, 'ca.crt': next.pem };
  const nothing: Pass = { files: {}, removes: true, options: [] };
  const one: Pass = { files: first, options: apart };
  const two: Pass = { files: second, options: apart };
  const all = [kept, next];
  return [
    { name: 'adds', before: nothing, pass: one, stays: [], oneOf: [], appears: [kept, old], vanishes: [] },
    { name: 'rotates', before: one, pass: two, stays: [kept], oneOf: [old, next], appears: [next], vanishes: [old] },
    { name: 'removes all', before: two, pass: nothing, stays: [], oneOf: [], appears: [], vanishes: all },
    {
      ...{ name: 'edits registries', before: two, pass: { ...two, options: edited } },
      ...{ stays: all, oneOf: [], appears: [], vanishes: [] },
    },
    {
      ...{ name: 'undoes the edits', before: { ...two, options: edited }, pass: two },
      ...{ stays: all, oneOf: [], appears: [], vanishes: [] },
    },
  ];
}

const optionsOf = ({ kind }: Stage, { options }: Pass): readonly string[] =>
  kind.isUnit === true ? ['--store-refresh', 'unit', ...options] : options;

/** The words of a pass, for a process of its own. */
export function wordsOf(stage: Stage, pass: Pass): readonly string[] {
  const { world, secret } = stage;
  const common = ['--host-root', world.root, '--output', 'json', ...optionsOf(stage, pass)];
  return pass.removes === true ? ['remove', ...common] : ['apply', '--bundle', secret.directory, ...common];
}

/** Makes a pass that nothing disturbs, in this process. */
export async function makePass(stage: Stage, pass: Pass): Promise<PassOutcome> {
  const { apply, remove } = agent(stage.world);
  const options = optionsOf(stage, pass);
  if (pass.removes !== true) await stage.secret.swap(pass.files);
  const outcome = await (pass.removes === true ? remove(...options) : apply(stage.secret.directory, ...options));
  await stage.unit?.settle();
  return outcome;
}

export async function put(world: World, path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(world.path(path)), { recursive: true });
  await writeFile(world.path(path), text);
  await chmod(world.path(path), mode);
}

/** What the hook has heard since it was asked last. */
export async function takeHeard(world: World): Promise<readonly string[]> {
  const text = await readFile(world.path(heard), 'utf8').catch(() => '');
  await rm(world.path(heard), { force: true });
  return text.split('\n').filter(Boolean);
}

/**
 * A stand-in for containerd: cat(1) under its name, and a socket that says its version. The agent looks at no more of
 * one than its process, its configuration and that answer.
 */
async function startContainerd(world: World, isAlone: boolean): Promise<() => Promise<void>> {
  for (const [name, text] of Object.entries(registries)) {
    await mkdir(world.path(`${certsDirectory}/${name}`), { recursive: true });
    if (text === undefined) continue;
    await put(world, `${certsDirectory}/${name}/hosts.toml`, text, 0o640);
    await chown(world.path(`${certsDirectory}/${name}/hosts.toml`), 0, 34);
  }
  const config = `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "${certsDirectory}"\n`;
  await put(world, '/etc/containerd/config.toml', config);
  await copyFile(world.path('/usr/bin/cat'), world.path('/usr/bin/containerd'));
  await answerVersion(world.root, '/run/containerd/containerd.sock', '1.7.24');
  const script = isAlone ? 'mount -t proc proc "$1/proc"; exec chroot "$@"' : 'exec chroot "$@"';
  const words = ['sh', '-euc', script, 'sh', world.root, '/usr/bin/containerd'];
  const [command = '', ...args] = isAlone ? ['unshare', '--pid', '--fork', ...words] : words;
  const child = spawn(command, args, { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  await eventually(async () => {
    const name = await readFile(isAlone ? world.path('/proc/1/comm') : `/proc/${child.pid ?? 0}/comm`, 'utf8');
    if (name !== 'containerd\n') throw new Error(`the stand-in is still ${name}`);
  });
  return async () => {
    child.stdin.end();
    await ended;
  };
}

/**
 * Sets the stage. Nobody has ever written to its anchor directory: it is not there.
 * @param isAlone no process shows in its /proc but the containerd: a pass opens as many files as the one before it
 */
export async function openStage(isAlone: boolean, kind = debian): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const world = stack.use(await smallWorld({ view: 'overlay' }));
  // A copy: what somebody changes in the machine's own store meanwhile would show through the view of it.
  stack.use(await world.limitSpace('/etc/ssl', 16 * 2 ** 20));
  await rm(world.path('/etc/containerd'), { recursive: true, force: true });
  await put(world, '/etc/ca-certificates/update.d/listener', `#!/bin/sh\nexec cat >> ${heard}\n`, 0o755);
  stack.defer(await startContainerd(world, isAlone));
  await kind.build?.(world);
  if (kind.isMade) await rm(world.path(kind.anchors), { recursive: true, force: true });
  const unit = kind.isUnit === true ? stack.use(await startUnit(world)) : undefined;
  const secret = stack.use(await mountSecret({}));
  const distribution = [...(await inBundle(world, kind.bundle))];
  const [kept, old, next] = await makeThree();
  const held = stack.move();
  return {
    ...{ world, kind, secret, certs: { kept, old, next }, distribution, unit },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}
