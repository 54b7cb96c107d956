// Makes a fresh checkout ready, then runs a command in it:
//
//   node test/setup/ready.mjs [--tools openssl,curl,...|all] -- COMMAND ARGS...
//
// 1. node_modules is brought in line with package-lock.json;
// 2. missing system tools are installed (root, apt) or named (everybody else; exit code 2);
// 3. the command runs with node_modules/.bin first on PATH: its `node` is the one of the lock file.
//
// Runs on Node 18 and later with nothing installed, so it imports nothing that is not in Node.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { become, fail } from './run.mjs';

const project = fileURLToPath(new URL('../..', import.meta.url));

/** The Debian package of each tool that tests may ask for. */
const packages = {
  openssl: 'openssl',
  certtool: 'gnutls-bin',
  curl: 'curl',
  chroot: 'coreutils',
  flock: 'util-linux',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  findmnt: 'util-linux',
  mount: 'mount',
  'update-ca-certificates': 'ca-certificates',
  busybox: 'busybox-static',
  trust: 'p11-kit',
  buildah: 'buildah',
  debootstrap: 'debootstrap',
  'qemu-aarch64-static': 'qemu-user-static',
  strace: 'strace',
  containerd: 'containerd',
  runc: 'runc',
  iptables: 'iptables',
  ip: 'iproute2',
  'apt-get': 'apt',
  dpkg: 'dpkg',
  faketime: 'faketime',
  pgrep: 'procps',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
};

const { tools, command, args } = parse(process.argv.slice(2));
// An ordinary user's PATH lacks the directories where chroot and update-ca-certificates live.
const searched = `${process.env.PATH ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`;
modulesReady();
toolsReady();
const path = `${join(project, 'node_modules', '.bin')}${delimiter}${searched}`;
nodeReady();
become(command, args, { ...process.env, PATH: path });

/** @param {string[]} argv */
function parse(argv) {
  const end = argv.indexOf('--');
  const usage = 'usage: ready.mjs [--tools TOOL,TOOL,...|all] -- COMMAND ARGS...';
  if (end < 0 || argv[end + 1] === undefined) fail(usage);
  if (end !== 0 && !(end === 2 && argv[0] === '--tools')) fail(usage);
  const tools = end === 0 ? [] : argv[1] === 'all' ? Object.keys(packages) : argv[1].split(',');
  const unknown = tools.find((tool) => !(tool in packages));
  if (unknown !== undefined) fail(`unknown tool ${unknown}; known are ${Object.keys(packages).join(', ')}`);
  return { tools, command: argv[end + 1], args: argv.slice(end + 2) };
}

function modulesReady() {
  if (modulesMatchLock()) return;
  console.error('setup: npm ci: bringing node_modules in line with package-lock.json');
  const npm = quietly('npm', ['ci', '--no-audit', '--no-fund'], { cwd: project });
  if (npm.status !== 0) fail(`npm ci failed:\n${npm.output}`);
}

/** npm notes in node_modules/.package-lock.json what it installed: the lock file's entries, without other platforms'. */
function modulesMatchLock() {
  const wanted = lockedPackages('package-lock.json');
  const installed = lockedPackages('node_modules/.package-lock.json');
  if (wanted === undefined) fail('package-lock.json is missing or broken: take it from the repository again');
  if (installed === undefined) return false;
  const names = Object.keys(wanted).filter((name) => name !== '');
  return (
    names.every((name) =>
      installed[name] === undefined
        ? mayBeAbsent(wanted[name])
        : exists(join(project, name, 'package.json')) &&
          JSON.stringify(installed[name]) === JSON.stringify(wanted[name]),
    ) && Object.keys(installed).every((name) => name in wanted)
  );
}

function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(join(project, file), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Optional packages may be absent, but not when they name this very platform (the libc is npm's to judge). */
function mayBeAbsent({ optional, os, cpu, libc }) {
  const forHere =
    os !== undefined && [os].flat().includes(process.platform) && [cpu].flat().includes(process.arch) && !libc;
  return optional === true && !forHere;
}

function toolsReady() {
  const missing = [...new Set(tools.filter((tool) => !onPath(tool)).map((tool) => packages[tool]))];
  if (missing.length === 0) return;
  const list = missing.join(' ');
  if (process.getuid?.() !== 0 || !onPath('apt-get')) fail(`these packages are missing; install them: ${list}`);
  console.error(`setup: apt-get install: ${list}`);
  // Nothing that is installed is started: a container runtime would be taken for the node's own.
  const environment = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', SYSTEMD_OFFLINE: '1' } };
  // A machine that has just booted installs something of its own.
  const patience = ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3'];
  for (const step of [['update'], ['install', '-y', '--no-install-recommends', ...missing]]) {
    const apt = quietly('apt-get', [...patience, ...step], environment);
    if (apt.status !== 0) fail(`apt-get ${step.join(' ')} failed:\n${apt.output}`);
  }
}

/** On a platform without a Node of its own in the lock file the machine's has to do. */
function nodeReady() {
  const node = spawnSync('node', ['--version'], { encoding: 'utf8', env: { ...process.env, PATH: path } });
  const major = Number(/^v(\d+)/.exec(node.stdout ?? '')?.[1] ?? 0);
  if (major < 24) fail(`Node 24 or later is needed, found ${node.stdout?.trim() || 'none'}; install it`);
}

function quietly(program, programArgs, options) {
  const result = spawnSync(program, programArgs, { encoding: 'utf8', maxBuffer: 2 ** 26, ...options });
  return { status: result.status, output: result.error?.message ?? `${result.stdout}${result.stderr}` };
}

function onPath(tool) {
  if (tool.startsWith('/')) return exists(tool, constants.X_OK);
  return searched
    .split(delimiter)
    .some((directory) => directory !== '' && exists(join(directory, tool), constants.X_OK));
}

function exists(file, mode = constants.F_OK) {
  try {
    accessSync(file, mode);
    return true;
  } catch {
    return false;
  }
}
