// Subjects whose hash p11-kit takes in another way than OpenSSL.
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { toPem } from '../../src/bundle/pem.ts';
import { makeThree } from '../sandbox/harness/certs.ts';
import { inBundle } from '../sandbox/harness/host.ts';
import { attribute, build, caConstraints, nameOf, oid, tlv } from '../unit/bundle/odd-certificates.ts';
import { scene } from './rows.ts';
import { suse } from './systems/suse.ts';

const [kept] = await makeThree();

const utf8 = (text: string): Buffer => tlv(0x0c, Buffer.from(text));
const names: Readonly<Record<string, readonly [hashed: boolean, subject: Buffer]>> = {
  'Teletex beyond ASCII': [false, nameOf(attribute(tlv(0x14, Buffer.from('M\xfcller GmbH', 'latin1'))))],
  'Teletex that is UTF-8 as well': [false, nameOf(attribute(tlv(0x14, Buffer.from('Müller AG'))))],
  digits: [false, nameOf(attribute(utf8('Digits')), attribute(tlv(0x12, Buffer.from('12')), oid('2.5.4.5')))],
  'a zero octet': [false, nameOf(attribute(utf8('A\0B')))],
  'an empty set': [false, nameOf(Buffer.alloc(0), attribute(utf8('Empty set')))],
  Teletex: [true, nameOf(attribute(tlv(0x14, Buffer.from('Mueller  KG'))))],
  blanks: [true, nameOf(attribute(utf8('  A \t\v\f\r\n  b  ')))],
  'more than ASCII': [true, nameOf(attribute(utf8('\u00a0ÄÖÜ EXAMPLE straße 🔒\u00a0')))],
  'UCS-2': [true, nameOf(attribute(tlv(0x1e, Buffer.from('€uro CA', 'utf16le').swap16())))],
  'UCS-2 with a terminator': [true, nameOf(attribute(tlv(0x1e, Buffer.from('CA\0', 'utf16le').swap16())))],
  IA5: [true, nameOf(attribute(tlv(0x16, Buffer.from('CA@Example.COM')), oid('1.2.840.113549.1.9.1')))],
  'two in a set': [true, nameOf(Buffer.concat([attribute(utf8('A'), oid('2.5.4.11')), attribute(utf8('B'))]))],
  'one that another begins with': [true, nameOf(Buffer.concat([attribute(utf8('AA')), attribute(utf8('A'))]))],
  nothing: [true, nameOf()],
};

test('what p11-kit gives another hash is trusted and named, and no reason to run the tool again', async () => {
  const cas = Object.entries(names).map(([name, [hashed, subject]]) => {
    const der = build({ subject, issuer: subject, extensions: [caConstraints] });
    return { name, hashed, der, fingerprint: createHash('sha256').update(der).digest('hex') };
  });
  const files = Object.fromEntries(cas.map(({ name, der }) => [name.replaceAll(' ', '-'), der]));
  const { world, secret, apply } = await scene(suse, { 'ca.crt': kept.pem, ...files });
  const { code, report } = await apply(secret.directory);
  expect({ code, reasons: report.reasons, findings: report.findings }).toEqual({ code: 0, reasons: [], findings: [] });
  const named = cas.filter(({ fingerprint }) => report.notes.some((note) => note.startsWith(fingerprint.slice(0, 16))));
  expect(named.map(({ name }) => name)).toEqual(cas.filter(({ hashed }) => !hashed).map(({ name }) => name));
  const held = await inBundle(world, suse.bundle);
  for (const { fingerprint } of cas) expect(held).toContain(fingerprint);
  // What is named is really not found, or nobody need be told.
  for (const { name, hashed, der } of cas) {
    const hash = (
      await world.exec('openssl', ['x509', '-subject_hash', '-noout'], { input: toPem(der) })
    ).stdout.trim();
    const links = (await readdir(world.path('/etc/ssl/certs'))).filter((link) => link.startsWith(hash));
    const linked = await Promise.all(links.map((link) => readFile(world.path(`/etc/ssl/certs/${link}`), 'latin1')));
    expect({ name, hashed: linked.includes(toPem(der)) }).toEqual({ name, hashed });
  }
  expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [], notes: report.notes } });
});
