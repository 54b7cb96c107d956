/**
 * `check`: validates bundles with no host at hand.
 */
import { existsSync } from 'node:fs';
import { maxFileBytes, readBundle } from '../bundle/bundle.ts';
import { type Bundle, type Reading, hasErrors } from '../bundle/types.ts';
import { UsageProblem } from '../host/problem.ts';
import { readSource } from '../sources/directory.ts';
import { readObject } from '../sources/object.ts';
import { type CheckConfig, type Streams, exitCodes } from './config.ts';
import { bundleTable } from './tables.ts';

/** A Secret of 1 MiB as JSON: in base64, and with all that kubectl and others have noted in it. */
const maxInputBytes = 4 * maxFileBytes;

/** All of standard input, a file or an object of the API; what exceeds a file's limit is refused with its own finding. */
async function readInput(stdin: NodeJS.ReadableStream): Promise<Reading> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stdin) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    chunks.push(bytes);
    size += bytes.length;
    if (size > maxInputBytes) break;
  }
  const bytes = Buffer.concat(chunks);
  return readObject(bytes) ?? { files: [{ source: 'stdin', bytes }], findings: [] };
}

function readPath(path: string): Reading {
  if (!existsSync(path)) throw new UsageProblem(`${path}: no such file or directory`);
  return readSource(path);
}

function asJson({ anchors, findings, digest }: Bundle): string {
  const described = anchors.map(({ fingerprint, subject, issuer, notBefore, notAfter, key, carriers }) => ({
    fingerprint,
    subject,
    issuer,
    notBefore,
    notAfter,
    key,
    sources: carriers,
  }));
  return `${JSON.stringify({ digest, anchors: described, findings }, undefined, 2)}\n`;
}

/** Reads files, directories and, as `-`, standard input. @throws UsageProblem for a path that is not there */
export async function readPaths(paths: readonly string[], stdin: NodeJS.ReadableStream): Promise<readonly Reading[]> {
  const readings: Reading[] = [];
  for (const path of paths) readings.push(path === '-' ? await readInput(stdin) : readPath(path));
  return readings;
}

/** @returns the exit code: 0 when the bundle has no error */
export async function check(config: CheckConfig, streams: Streams, now: Date): Promise<number> {
  const bundle = readBundle(await readPaths(config.paths, streams.stdin), { ...config, now });
  streams.stdout.write(config.output === 'json' ? asJson(bundle) : bundleTable(bundle, streams.stdout, now));
  return hasErrors(bundle.findings) ? exitCodes.refused : exitCodes.ok;
}
