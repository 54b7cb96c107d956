/**
 * Files of this process's view, read and written whole: what is below the host's root is for host.ts to say.
 */
import * as fs from 'node:fs';
import { randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import { Problem, errnoOf } from './problem.ts';

export interface Rights {
  readonly mode: number;
  readonly user: number;
  readonly group: number;
}

export interface WriteOptions {
  /** Wait until the content is on the disk before it takes its place. Not needed where content proves itself. */
  readonly durable?: boolean;
  /** Root's own, readable by all, unless told otherwise. */
  readonly rights?: Rights;
  /** What the temporary file's name begins with, so that it is known as ours; the target's name unless told otherwise. */
  readonly temporaryName?: string;
}

/** Larger than any bundle of certificates, in bytes; what is larger is not read: the pod's memory is counted. */
export const readLimit = 8 * 1024 * 1024;

function tooLarge(path: string): Problem {
  return new Problem(`${path} is larger than ${readLimit} bytes; remove it`);
}

const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW, O_DIRECTORY } = fs.constants;

/**
 * The bytes of an open file: by one question where it has as many as it says. One of /proc says that it has none, and some
 * of those have no end.
 * @param size what it says
 * @returns at most a little more than `readLimit`
 */
export function readOpen(descriptor: number, size: number): Buffer {
  const room = Buffer.allocUnsafe(size === 0 ? 64 * 1024 : size + 1);
  const chunks: Buffer[] = [];
  for (let length = 0; length <= readLimit;) {
    const count = fs.readSync(descriptor, room);
    length += count;
    if (count === size && chunks.length === 0) return room.subarray(0, count);
    if (count === 0) break;
    chunks.push(Buffer.from(room.subarray(0, count)));
  }
  return Buffer.concat(chunks);
}

function noProc(cause: unknown): Problem {
  return new Problem('/proc of this process is not there, and nothing on the host is used without it; mount it', {
    cause,
  });
}

/** Holds a place without opening what is there (open(2)), which Node has no name for. */
const O_PATH = 0o10_000_000;

/** Opens what is held. */
function reopen(held: number): number {
  try {
    return fs.openSync(`/proc/self/fd/${held}`, O_RDONLY | O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && !fs.existsSync('/proc/self/fd')) throw noProc(error);
    throw error;
  }
}

/**
 * Opens a regular file, and nothing else: to open a device may be to use it, a watchdog say.
 *
 * 1. The place is held, so that nothing else takes it; a link there is not followed.
 * 2. What is held is opened, if it is a file.
 */
function openRegular(path: string): { descriptor: number; size: number } {
  const held = fs.openSync(path, O_PATH | O_NOFOLLOW); // (1)
  try {
    const stats = fs.fstatSync(held);
    if (!stats.isFile()) throw new Problem(`${path} is not a regular file; remove it`);
    if (stats.size > readLimit) throw tooLarge(path);
    return { descriptor: reopen(held), size: stats.size }; // (2)
  } finally {
    fs.closeSync(held);
  }
}

/**
 * Reads a regular file of this process's view. A FIFO or a device planted there must not block or flood us, nor a link
 * that has taken its place since it was looked at lead out of the host's root.
 */
export function readRegular(path: string): Buffer {
  const { descriptor, size } = openRegular(path);
  try {
    const bytes = readOpen(descriptor, size);
    if (bytes.length > readLimit) throw tooLarge(path);
    return bytes;
  } finally {
    fs.closeSync(descriptor);
  }
}

/** @param place of an open file, so it is there if anything is */
function linkOf(place: string): string {
  try {
    return fs.readlinkSync(place);
  } catch (error) {
    throw noProc(error);
  }
}

/** Directories that are open: a pass writes a thousand files into one, so each is opened once in one turn of the event loop. */
const openPlaces = new Map<string, string>();

/** One that is gone must not be written to when another is made in its place. */
export function closePlace(directory: string): void {
  const place = openPlaces.get(directory);
  if (place === undefined) return;
  openPlaces.delete(directory);
  fs.closeSync(Number(posix.basename(place)));
}

function closePlaces(): void {
  for (const directory of [...openPlaces.keys()]) closePlace(directory);
}

/** @returns a path to it that leads to no other */
function openPlace(directory: string): string {
  const descriptor = fs.openSync(directory, O_RDONLY | O_DIRECTORY);
  const place = `/proc/self/fd/${descriptor}`;
  try {
    if (linkOf(place) !== directory) throw new Problem(`${directory} was replaced; the next pass goes on`);
  } catch (error) {
    fs.closeSync(descriptor);
    throw error;
  }
  if (openPlaces.size === 0) queueMicrotask(closePlaces);
  openPlaces.set(directory, place);
  return place;
}

/**
 * Does something in a directory, and in no other that takes its place meanwhile: who may write above it can swap it for a
 * link between two calls.
 * @param path of something in it; the directory's own has no link in it
 * @param action is given a path to the same, by way of the open directory
 */
export function inPlace<T>(path: string, action: (path: string) => T): T {
  const directory = posix.dirname(path);
  return action(`${openPlaces.get(directory) ?? openPlace(directory)}/${posix.basename(path)}`);
}

export function syncPath(path: string): void {
  const descriptor = fs.openSync(path, fs.constants.O_RDONLY);
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Where this process begins to count; another one that writes at the same moment begins elsewhere. */
let serial = randomBytes(4).readUInt32LE();

/** A name that no reader of the directory takes for a certificate. */
function temporaryBeside(path: string, name = posix.basename(path)): string {
  serial = (serial + 1) >>> 0;
  return `${posix.dirname(path)}/.${name}.${serial.toString(16).padStart(8, '0')}.tmp`;
}

/** Where there is one already, under another name first: a reader finds the old one or the new one, never none. */
export function linkWhole(path: string, target: string): void {
  try {
    fs.symlinkSync(target, path);
    return;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  const temporary = temporaryBeside(path);
  fs.symlinkSync(target, temporary);
  try {
    fs.renameSync(temporary, path);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Writes a file whole.
 *
 * 1. a new file beside the target
 * 2. the content, and its rights whatever the umask
 * 3. the content onto the disk, when asked for
 * 4. over the target in one step
 * When a step fails the new file is removed, and the target is as it was.
 */
export function writeWhole(path: string, content: string | Buffer, options: WriteOptions): void {
  const temporary = temporaryBeside(path, options.temporaryName);
  try {
    const descriptor = fs.openSync(temporary, 'wx', 0o600); // (1)
    try {
      fs.writeFileSync(descriptor, content); // (2)
      fs.fchmodSync(descriptor, options.rights?.mode ?? 0o644);
      if (options.rights !== undefined) fs.fchownSync(descriptor, options.rights.user, options.rights.group);
      if (options.durable === true) fs.fsyncSync(descriptor); // (3)
    } finally {
      fs.closeSync(descriptor);
    }
    fs.renameSync(temporary, path); // (4)
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}
