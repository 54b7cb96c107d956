/**
 * The mounted source: a directory of certificates as the kubelet lays out a Secret, any other directory, or one file.
 * It reads whatever is there now; nothing in it can make it hang, grow or read outside of it.
 */
import * as fs from 'node:fs';
import { join, sep } from 'node:path';
import { maxFileBytes, maxFiles, maxTotalBytes, tooManyFiles } from '../bundle/bundle.ts';
import { attempt } from '../bundle/der.ts';
import { printable } from '../bundle/text.ts';
import type { Finding, Reading } from '../bundle/types.ts';
import { readOpen } from '../host/files.ts';
import { errnoOf, explain } from '../host/problem.ts';

/** Directories in directories: a projected volume may have some. */
export const maxDepth = 4;
/** How often a directory is read anew when the kubelet swaps it while it is read. */
const maxSwaps = 100;

/** The link that the kubelet swings from one version of a volume to the next. */
const versionLink = '..data';

function unreadable(source: string, message: string): Reading {
  // What the system says of a path may repeat the path.
  return { files: [], findings: [{ code: 'unreadable', severity: 'error', source, message: printable(message) }] };
}

function tooLarge(source: string, size: number): Finding {
  const message = `${size} bytes, and a file of certificates holds ${maxFileBytes} at most; split it`;
  return { code: 'too-large', severity: 'error', source, message };
}

function kindOf(stats: fs.Stats): string {
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isSocket()) return 'a socket';
  return stats.isDirectory() ? 'a directory' : 'a device';
}

/** Reads one regular file of limited size; opening never blocks, and the size counts as it is when open. */
function readFile(path: string, source: string): Reading {
  const descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const stats = fs.fstatSync(descriptor);
    if (!stats.isFile()) return unreadable(source, `it is ${kindOf(stats)}, not a file; remove it from the bundle`);
    if (stats.size > maxFileBytes) return { files: [], findings: [tooLarge(source, stats.size)] };
    return { files: [{ source, bytes: readOpen(descriptor, stats.size) }], findings: [] };
  } finally {
    fs.closeSync(descriptor);
  }
}

interface Place {
  /** The real directory that nothing may lead out of. */
  readonly boundary: string;
  readonly path: string;
  readonly source: string;
  readonly depth: number;
  readonly walk: Walk;
}

/** What one reading of a directory has seen so far, so that neither loops nor floods can make it long. */
interface Walk {
  readonly source: string;
  readonly directories: Set<string>;
  bytes: number;
  files: number;
  isTooMuch: boolean;
}

/** The bundle is refused; said once. */
function tooMuch({ walk }: Place): Reading {
  const findings = walk.isTooMuch ? [] : [tooManyFiles(walk.source)];
  walk.isTooMuch = true;
  return { files: [], findings };
}

function readFileOf(place: Place, real: string): Reading {
  // The bundle is refused anyway when all files together are too large; the rest of a flood need not be read.
  if (place.walk.bytes > maxTotalBytes) return { files: [], findings: [] };
  const reading = readFile(real, place.source);
  for (const { bytes } of reading.files) place.walk.bytes += bytes.length;
  return reading;
}

/** @param isFile what the directory says of it: a file is no link, so it is where it seems to be */
function readEntry(place: Place, isFile: boolean): Reading {
  place.walk.files += 1;
  if (place.walk.files > maxFiles) return tooMuch(place);
  try {
    if (isFile) return readFileOf(place, place.path);
    const real = fs.realpathSync.native(place.path);
    if (real !== place.boundary && !real.startsWith(place.boundary + sep)) {
      return unreadable(place.source, 'it is a link out of the bundle directory; put the certificate itself there');
    }
    const stats = fs.statSync(real);
    if (stats.isDirectory()) {
      place.walk.files -= 1;
      return readTree({ ...place, path: real, depth: place.depth + 1 });
    }
    return stats.isFile() ? readFileOf(place, real) : unreadable(place.source, `it is ${kindOf(stats)}; remove it`);
  } catch (error) {
    return unreadable(place.source, explain(error));
  }
}

function readTree(place: Place): Reading {
  if (place.depth > maxDepth)
    return unreadable(place.source, `directories nested deeper than ${maxDepth}; flatten them`);
  // A link may lead back to where the walk has been.
  if (place.walk.directories.has(place.path)) return { files: [], findings: [] };
  place.walk.directories.add(place.path);
  if (place.walk.directories.size > maxFiles) return tooMuch(place);
  const entries = fs.readdirSync(place.path, { withFileTypes: true });
  // Names that begin with two dots are the kubelet's own.
  const own = entries.filter(({ name }) => !name.startsWith('..'));
  const readings = own
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .map((entry) => {
      const source = printable(`${place.source}/${entry.name}`);
      return readEntry({ ...place, path: join(place.path, entry.name), source }, entry.isFile());
    });
  return { files: readings.flatMap(({ files }) => files), findings: readings.flatMap(({ findings }) => findings) };
}

/** The version of a volume that is in place now; undefined where the directory is not the kubelet's. */
const versionOf = (path: string): string | undefined => attempt(() => fs.realpathSync.native(join(path, versionLink)));

/** Reads a directory as of one moment: where the kubelet keeps versions, all files come from one of them. */
function readDirectory(path: string, source: string): Reading {
  for (let swaps = 0; ; swaps += 1) {
    const version = versionOf(path);
    try {
      const boundary = fs.realpathSync.native(version ?? path);
      const walk: Walk = { source, directories: new Set(), bytes: 0, files: 0, isTooMuch: false };
      const reading = readTree({ boundary, path: boundary, source, depth: 0, walk });
      if (versionOf(path) === version || swaps === maxSwaps) return reading;
    } catch (error) {
      if (versionOf(path) === version || swaps === maxSwaps) throw error;
    }
  }
}

/**
 * Reads a source.
 * @param path a directory or a file, as the admin named it; findings carry it in their source
 * @returns what could be read, and a finding for each entry that could not; it never throws
 */
export function readSource(path: string): Reading {
  const source = printable(path.replace(/(?<=.)\/+$/, ''));
  try {
    return fs.statSync(path).isDirectory() ? readDirectory(path, source) : readFile(path, source);
  } catch (error) {
    const missing = errnoOf(error) === 'ENOENT';
    return unreadable(source, missing ? 'no such file or directory; mount the bundle there' : explain(error));
  }
}
