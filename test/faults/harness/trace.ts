// Runs the shipped program under strace(1), which says what calls its main thread makes, and lets one of them go wrong.
// Without --follow-forks neither the pool of threads nor what the program starts is traced: on them nothing is written.
import { execa } from 'execa';
import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cleanEnvironment } from '../../sandbox/harness/environment.ts';

/** One call that changes the host, or starts a process. */
export interface Call {
  readonly name: string;
  /** strace counts the calls of each name by themselves. */
  readonly ordinal: number;
  /** What it is about, the same in every run. */
  readonly label: string;
}

export type Errno = 'ENOSPC' | 'EIO' | 'EACCES' | 'EMFILE';
export const errnos: readonly [Errno, ...Errno[]] = ['ENOSPC', 'EIO', 'EACCES', 'EMFILE'];

export interface Fault {
  readonly call: Call;
  /** Killed as it enters the call; or the call fails once, or it and all later ones of its name. */
  readonly kind: 'kill' | Errno;
  readonly lasting?: boolean;
  /** All that the program has started dies with it, as when a container is killed. */
  readonly asContainer?: boolean;
}

export interface Ended {
  /** Undefined when it was killed. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly calls: readonly Call[];
  /** The calls that went wrong. */
  readonly hit: readonly Call[];
}

/** Every name under which the program, or Node for it, changes files or starts processes. */
const mutators = [
  ...['open', 'openat', 'creat', 'write', 'writev', 'pwrite64', 'pwritev', 'ftruncate', 'truncate', 'fallocate'],
  ...['rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir', 'mkdir', 'mkdirat'],
  ...['link', 'linkat', 'symlink', 'symlinkat', 'fsync', 'fdatasync', 'copy_file_range', 'sendfile'],
  ...['chmod', 'fchmod', 'fchmodat', 'chown', 'fchown', 'lchown', 'fchownat', 'utimensat'],
  ...['clone', 'clone3', 'fork', 'vfork', 'socketpair', 'pipe2', 'flock'],
];

/** For strace, which passes over those that this machine's kernel has not. */
export const names = mutators.map((name) => `?${name}`).join(',');

/** What the program starts: the ends of its pipes first. The threads of Node are not meant. */
const spawning = /^(socketpair|fork|vfork)\(|^clone3?\((?!.*CLONE_THREAD)/;

/** Opened for reading, which changes nothing. */
const reading = /^open(at)?\(.*O_RDONLY/;

function isMeant(line: string, root: string, started: boolean): boolean {
  if (reading.test(line)) return false;
  if (spawning.test(line) || (started && line.startsWith('pipe2('))) return true;
  return line.includes(`${root}/`) || line.startsWith('write(1<');
}

function labelOf(line: string, root: string): string {
  const text = line
    .replaceAll(root, '')
    .replace(/\.[0-9a-f]{8}\.tmp/g, '.*.tmp')
    .replace(/(ca-certificates\.tmp\.)\w{6}/g, '$1*')
    .replace(/\d+<([^>]*)>/g, '<$1>')
    .replace(/(pipe|socket):\[\d+\]/g, '$1')
    .replace(/AT_FDCWD<[^>]*>, /, '');
  if (spawning.test(line) || line.startsWith('pipe2(')) return line.replace(/\(.*$/, '');
  if (/^p?writev?\d*\(/.test(line)) return text.replace(/>, .*$/, '>)');
  return text.replace(/\)? += .*$|\)? <unfinished.*$/, ')');
}

export interface Line {
  readonly call: Call;
  readonly isMeant: boolean;
  readonly isHit: boolean;
}

/** The lines of a log. The last one of a program that was killed has no result. */
export function linesIn(log: string, root: string, isKill: boolean): readonly Line[] {
  const counts = new Map<string, number>();
  const texts = log.split('\n').filter((line) => /^(\d+ +)?\w+\(/.test(line));
  // A program that is no Node has no pipes of its own for anything else.
  let started = root === '';
  // Files are reached by way of their directory, which is held open.
  const directories = new Map<string, string>();
  return texts.map((whole, index) => {
    const [, process = '', written = '', name = ''] = /^(?:(\d+) +)?((\w+)\(.*)$/.exec(whole) ?? [];
    const text = written.replace(
      /\/proc\/self\/fd\/(\d+)/g,
      (path, descriptor: string) => directories.get(descriptor) ?? path,
    );
    const [, descriptor = '', directory = ''] = /O_DIRECTORY.* = (\d+)<(.*)>$/.exec(text) ?? [];
    if (directory !== '') directories.set(descriptor, directory);
    // Each thread and each process is counted by itself.
    const ordinal = (counts.get(`${process}:${name}`) ?? 0) + 1;
    counts.set(`${process}:${name}`, ordinal);
    started ||= name === 'socketpair';
    const isHit = isKill ? index === texts.length - 1 : text.includes('(INJECTED)');
    return { call: { name, ordinal, label: labelOf(text, root) }, isMeant: isMeant(text, root, started), isHit };
  });
}

/**
 * Runs the program to its end.
 * @param command Node with its options, and the program
 * @param longestMs after which it is killed: a pass on a host so small takes a second, on a busy machine some
 */
export async function trace(
  command: readonly string[],
  words: readonly string[],
  root: string,
  fault?: Fault,
  longestMs = 60_000,
): Promise<Ended> {
  const file = join(tmpdir(), `trace-${randomUUID()}`);
  const isKill = fault?.kind === 'kill';
  const what = isKill ? 'signal=KILL' : `error=${fault?.kind ?? ''}`;
  const injected =
    fault === undefined
      ? []
      : ['-e', `inject=${fault.call.name}:${what}:when=${fault.call.ordinal}${fault.lasting === true ? '+' : ''}`];
  const container = fault?.asContainer === true ? ['unshare', '--pid', '--fork', '--kill-child=KILL'] : [];
  const [first = '', ...rest] = [
    ...[...container, 'strace', '-qq', '-y', '-s', '0', '-o', file, '-e', `trace=${names}`, ...injected],
    ...[...command, ...words],
  ];
  const options = { env: cleanEnvironment, extendEnv: false, reject: false, stripFinalNewline: false } as const;
  const running = execa(first, rest, { ...options, detached: true });
  // Node waits for itself, for ever, when the write fails by which it lets go of its signals: another call was hit than meant.
  const watchdog = setTimeout(() => {
    if (running.pid !== undefined) process.kill(-running.pid, 'SIGKILL');
  }, longestMs);
  try {
    const { exitCode, stdout, stderr } = await running;
    const lines = linesIn(await readFile(file, 'utf8'), root, isKill);
    const calls = lines.filter((line) => line.isMeant).map(({ call }) => call);
    const hit = fault === undefined ? [] : lines.filter(({ isHit }) => isHit).map(({ call }) => call);
    return { code: exitCode === 137 ? undefined : exitCode, stdout, stderr, calls, hit };
  } finally {
    clearTimeout(watchdog);
    await rm(file, { force: true });
  }
}
