/**
 * Where a Debian-family host keeps what its update-ca-certificates(8) reads and writes.
 */
import { posix } from 'node:path';
import type { Host } from '../host/host.ts';
import type { StoreContext } from './anchor-files.ts';

export const debian = {
  anchors: '/usr/local/share/ca-certificates',
  certs: '/etc/ssl/certs',
  bundle: '/etc/ssl/certs/ca-certificates.crt',
  /** The name, fixed, under which every plain run builds its bundle. */
  plainTemporary: '/etc/ssl/certs/ca-certificates.crt.new',
  configuration: '/etc/ca-certificates.conf',
  distribution: '/usr/share/ca-certificates',
  hooks: '/etc/ca-certificates/update.d',
} as const;

/**
 * Where an instance has its bundle built: beside the certificate directory, since Go programs trust every file inside
 * it, and for root alone, since the tool copies another's private key into it like anything else. Beside where the
 * directory really is, since the tool names it from within.
 */
export function privateDirectory({ host, instance }: StoreContext): string {
  return posix.join(host.real(debian.certs), '..', `.node-ca-trust-${instance}`);
}

export function privateBundle(context: StoreContext): string {
  return `${privateDirectory(context)}/bundle.crt`;
}

/** `find -L` stops at loops too; nobody nests certificates deeper. */
const maxDepth = 8;

/** Every file that update-ca-certificates takes from a directory: `find -L DIR -type f -name '*.crt'`. */
export function certificatePaths(host: Host, directory: string, depth = 0): readonly string[] {
  if (depth > maxDepth) return [];
  return (host.list(directory) ?? []).flatMap((name) => {
    const path = `${directory}/${name}`;
    const kind = host.target(path)?.kind;
    if (kind === 'directory') return certificatePaths(host, path, depth + 1);
    return kind === 'file' && name.endsWith('.crt') ? [path] : [];
  });
}

/** The distribution's certificates that /etc/ca-certificates.conf selects. */
export function selectedPaths(host: Host): readonly string[] {
  const lines = host.read(debian.configuration)?.toString('utf8').split('\n') ?? [];
  return lines.filter((line) => line !== '' && !/^[#!]/.test(line)).map((line) => `${debian.distribution}/${line}`);
}
