/**
 * The values of options: text to what it means, or what was expected.
 */
import { isIP, isIPv6 } from 'node:net';
import { InvalidArgumentError } from 'commander';
import type { NodeLabel } from '../sources/node-label.ts';
import type { SecretName } from '../sources/secret.ts';
import type { Address } from '../stores/probe.ts';

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Longer waits than this are cut to nothing by setTimeout(). */
const longestMs = 24 * 86_400_000;

/** A duration such as 90s, 10m or 2h, in milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  const ms = Number(match?.[1]) * (units[match?.[2] ?? ''] ?? Number.NaN);
  if (!(ms >= 1_000 && ms <= longestMs))
    throw new InvalidArgumentError('a duration from 1s to 24d, such as 90s, 10m or 2h.');
  return ms;
}

/** Takes what is of this form as it is. */
const ofForm =
  (form: RegExp, expected: string): ((text: string) => string) =>
  (text) => {
    if (!form.test(text)) throw new InvalidArgumentError(expected);
    return text;
  };

export const parseCount = (text: string): number =>
  Number(ofForm(/^[1-9]\d{0,5}$/, 'a whole number from 1 to 999999.')(text));

/**
 * HOST:PORT; undefined for anything else. An IPv6 address needs no brackets, since there is always a port: a manifest
 * that fills in the node's address cannot know its kind.
 */
function addressOf(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^[\]\s/]+)):(\d{1,5})$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535) || (host.includes(':') && !isIPv6(host))) return undefined;
  return { host, port };
}

export function parseListen(text: string): Address {
  const address = addressOf(text);
  if (address === undefined) throw new InvalidArgumentError('ADDRESS:PORT, such as 127.0.0.1:9641.');
  return address;
}

/** A name that DNS can have (RFC 1123), or an address. */
function isHost(text: string): boolean {
  const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
  return isIP(text) !== 0 || (text.length <= 253 && text.split('.').every((part) => label.test(part)));
}

/** HOST:PORT of a server that speaks TLS; repeated ones add up. */
export function collectProbes(text: string, before: readonly Address[] | undefined): readonly Address[] {
  const address = addressOf(text);
  if (address === undefined || !isHost(address.host))
    throw new InvalidArgumentError('HOST:PORT, such as registry.example.com:443.');
  return [...(before ?? []), address];
}

/** HOST or HOST:PORT, as the name of an image begins; repeated ones add up. */
export function collectRegistries(text: string, before: readonly string[] | undefined): readonly string[] {
  const [, host = '', port = '443'] = /^([^:[\]]+|\[[^[\]]+\])(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (!isHost(host.replace(/^\[(.*)\]$/, '$1')) || Number(port) > 65_535) {
    throw new InvalidArgumentError('HOST or HOST:PORT, as the name of an image begins.');
  }
  return [...(before ?? []), text.toLowerCase()];
}

export const parseInstance = ofForm(
  /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/,
  '1 to 40 lower-case letters, digits and hyphens, with no hyphen at either end.',
);

export const parseDirectory = ofForm(/^\//, 'an absolute path, such as /host.');

/** Repeated options add up; those of the environment are separated by colons, as in PATH. */
export function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  if (text === '') throw new InvalidArgumentError('a path.');
  return [...(before ?? []), text];
}

/** The name of a Node: a DNS subdomain (RFC 1123). */
export const parseNodeName = ofForm(
  /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
  'the name of a Node, as kubectl get nodes prints it.',
);

/** NAMESPACE/NAME: a DNS label and a DNS subdomain (RFC 1123). */
export function parseSecret(text: string): SecretName {
  const match = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)\/([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)$/.exec(text);
  const [, namespace, , name] = match ?? [];
  if (namespace === undefined || name === undefined) {
    throw new InvalidArgumentError('NAMESPACE/NAME of a Secret, such as node-ca-trust/node-ca-trust.');
  }
  return { namespace, name };
}

/** KEY=VALUE, as kubectl label takes it; repeated ones add up. */
export function collectLabels(text: string, before: readonly NodeLabel[] | undefined): readonly NodeLabel[] {
  const match = /^((?:[a-z0-9.-]+\/)?[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?)=([\w.-]*)$/.exec(text);
  const [, key, , value] = match ?? [];
  if (key === undefined || value === undefined) throw new InvalidArgumentError('KEY=VALUE, as kubectl label takes it.');
  return [...(before ?? []), { key, value }];
}

/** A namespace: a DNS label (RFC 1123). */
export const parseNamespace = ofForm(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'the name of a namespace.');

/** A bundle's digest, or how it begins: as few digits as never meet by chance. */
export const parseDigest = (text: string): string =>
  ofForm(
    /^[0-9a-f]{12,64}$/i,
    'a digest as check prints it: 64 hex digits, or the first 12 or more.',
  )(text).toLowerCase();
