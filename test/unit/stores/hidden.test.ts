import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { hiddenEnd } from '../../../src/stores/hidden.ts';
import { emptyHost } from '../support/directories.ts';

const link = '/usr/local/share/ca-certificates/corp.crt';

function endOf(target: string, there: readonly string[] = []): string | undefined {
  const host = emptyHost();
  for (const path of [link, ...there]) mkdirSync(join(host.root, dirname(path)), { recursive: true });
  for (const path of there.filter((one) => !one.endsWith('/'))) writeFileSync(join(host.root, path), '');
  symlinkSync(target, join(host.root, link));
  return hiddenEnd(host, link);
}

it.each<[string, string, readonly string[], string | undefined]>([
  ['out of what is mounted', '/opt/corp/ca.pem', [], '/opt/corp/ca.pem'],
  ['out of it by a relative way', '../../../../opt/corp/ca.pem', [], '/opt/corp/ca.pem'],
  [
    'beside a mount, on the way to it',
    '/var/lib/corp.pem',
    ['/var/lib/node-ca-trust/default.json'],
    '/var/lib/corp.pem',
  ],
  ['into the root itself', '/corp.pem', ['/var/lib/dpkg/status'], '/corp.pem'],
  ['to what is gone from where something else is', '/etc/corp/ca.pem', ['/etc/corp/other.pem'], undefined],
  ['to what is gone from a directory that is mounted', '/usr/share/corp/ca.pem', [], undefined],
  ['to what is gone where the root is seen as a whole', '/var/corp/ca.pem', ['/var/lib/dpkg/status'], undefined],
  ['to itself', 'corp.crt', [], undefined],
])('a link %s', (_, target, there, end) => {
  expect(endOf(target, there)).toBe(end);
});
