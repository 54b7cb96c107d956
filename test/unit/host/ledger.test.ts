import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Host } from '../../../src/host/host.ts';
import { type Ledger, readLedger, removeLedger, stateDirectory, writeLedger } from '../../../src/host/ledger.ts';
import { emptyHost } from '../support/directories.ts';
import { diskSteps } from '../support/disk-steps.ts';

const path = `${stateDirectory}/default.json`;
const nameIn = (instance: string): string => `node-ca-trust-${instance}-0123456789abcdef.crt`;
const ledger: Ledger = {
  version: 1,
  store: 'debian',
  files: [{ name: nameIn('default'), fingerprint: 'f'.repeat(64) }],
  announced: [nameIn('default')],
  made: [],
};

function put(host: Host, text: string): void {
  mkdirSync(join(host.root, stateDirectory), { recursive: true });
  writeFileSync(join(host.root, path), text);
}

describe('readLedger', () => {
  it('is empty where there is none', () => {
    expect(readLedger(emptyHost(), 'default', { family: 'debian' })).toEqual({
      state: 'absent',
      ledger: { version: 1, store: 'debian', files: [], announced: [], made: [] },
    });
  });

  it('reads back what was written', () => {
    const host = emptyHost();
    writeLedger(host, 'default', ledger);
    expect(readLedger(host, 'default', { family: 'debian' })).toEqual({ state: 'kept', ledger });
  });

  it('is empty where the store forgets and the machine was started anew since, unlike one where it remembers', () => {
    const host = emptyHost();
    mkdirSync(join(host.root, 'proc/sys/kernel/random'), { recursive: true });
    writeFileSync(join(host.root, 'proc/sys/kernel/random/boot_id'), 'now\n');
    writeFileSync(join(host.root, 'proc/uptime'), '12.5 20.0\n');
    const read = (volatile?: true) => readLedger(host, 'default', { family: 'cos', ...(volatile && { volatile }) });
    writeLedger(host, 'default', { ...ledger, added: { boot: 'now', seconds: 1 } });
    expect(read(true).ledger.announced).toEqual(ledger.announced);
    writeLedger(host, 'default', { ...ledger, added: { boot: 'before', seconds: 1 } });
    expect(read(true)).toEqual({
      state: 'kept',
      ledger: { version: 1, store: 'cos', files: [], announced: [], made: [] },
    });
    expect(read().ledger.announced).toEqual(ledger.announced);
  });

  it('keeps instances apart', () => {
    const host = emptyHost();
    writeLedger(host, 'pool-a', ledger);
    expect(readLedger(host, 'pool-b', { family: 'debian' }).state).toBe('absent');
  });

  it.each([
    ['nothing', ''],
    ['half of it', JSON.stringify(ledger).slice(0, 40)],
    ['no JSON', 'hello'],
    ['null', 'null'],
    ['a list', '[]'],
    ['zeros, as a crash leaves them', '\0'.repeat(200)],
    ['another version', JSON.stringify({ ...ledger, version: 2 })],
    ['a path for a name', JSON.stringify({ ...ledger, files: [{ name: '../../../etc/passwd', fingerprint: 'f' }] })],
    ["another's file", JSON.stringify({ ...ledger, announced: ['custom-ca.crt'] })],
    ["another instance's date", JSON.stringify({ ...ledger, dated: [nameIn('other')] })],
    ["another instance's file", JSON.stringify({ ...ledger, announced: [nameIn('other')] })],
    ['a field of another kind', JSON.stringify({ ...ledger, files: [{ name: 1 }] })],
    ['a field too few', JSON.stringify({ ...ledger, announced: undefined })],
  ])('counts as lost when it holds %s', (_, text) => {
    const host = emptyHost();
    put(host, text);
    expect(readLedger(host, 'default', { family: 'debian' })).toMatchObject({
      state: 'broken',
      ledger: { files: [], announced: [] },
    });
  });
});

describe('writeLedger', () => {
  it('does not write again what is there already', () => {
    const host = emptyHost();
    writeLedger(host, 'default', ledger);
    const before = host.entry(path)?.version;
    writeLedger(host, 'default', ledger);
    expect(host.entry(path)?.version).toBe(before);
    const { version, ...rest } = ledger;
    writeLedger(host, 'default', { ...rest, version });
    expect(host.entry(path)?.version).toBe(before);
    writeLedger(host, 'default', { ...ledger, announced: [] });
    expect(host.entry(path)?.version).not.toBe(before);
  });

  it('has it on the disk before it takes the place of the last one', () => {
    const host = emptyHost();
    writeLedger(host, 'default', ledger);
    const steps = diskSteps();
    writeLedger(host, 'default', { ...ledger, announced: [] });
    expect(steps.map((step) => step.replace(/[0-9a-f]{8}\.tmp/, 'tmp'))).toEqual([
      'sync node-ca-trust/.default.json.tmp',
      'rename node-ca-trust/.default.json.tmp node-ca-trust/default.json',
    ]);
  });

  it('is for people to read', () => {
    const host = emptyHost();
    writeLedger(host, 'default', ledger);
    expect(statSync(join(host.root, path)).mode & 0o777).toBe(0o644);
    expect(host.read(path)?.toString()).toMatch(/^\{\n {2}"version": 1,/);
  });
});

describe('removeLedger', () => {
  it('takes off the ledger and the directories that were made', () => {
    const host = emptyHost();
    mkdirSync(join(host.root, 'var/lib'), { recursive: true });
    writeLedger(host, 'default', ledger);
    host.makeDirectory('/usr/local/share');
    removeLedger(host, 'default', { ...ledger, made: ['/usr/local', '/usr/local/share'] });
    expect([host.list('/var/lib'), host.list('/usr')]).toEqual([[], []]);
  });

  it('leaves directories in which another put something, and the ledger of another instance', () => {
    const host = emptyHost();
    writeLedger(host, 'default', ledger);
    writeLedger(host, 'other', ledger);
    host.makeDirectory('/usr/local');
    host.write('/usr/local/by-hand.crt', 'x');
    removeLedger(host, 'default', { ...ledger, made: ['/usr/local'] });
    expect(host.list(stateDirectory)).toEqual(['other.json']);
    expect(host.list('/usr/local')).toEqual(['by-hand.crt']);
  });

  it('is content when there is none', () => {
    const host = emptyHost();
    removeLedger(host, 'default', ledger);
    expect(host.list('/')).toEqual(['etc', 'usr']);
  });

  it('is written over what a killed write left beside it', () => {
    const host = emptyHost();
    mkdirSync(join(host.root, 'var/lib'), { recursive: true });
    writeLedger(host, 'default', ledger);
    host.write(`${stateDirectory}/.default.json.0123abcd.tmp`, '{');
    writeLedger(host, 'default', ledger);
    expect(host.list(stateDirectory)).toEqual(['default.json']);
  });

  it('takes off what a killed write left beside it', () => {
    const host = emptyHost();
    mkdirSync(join(host.root, 'var/lib'), { recursive: true });
    writeLedger(host, 'default', ledger);
    host.write(`${stateDirectory}/.default.json.0123abcd.tmp`, '{');
    removeLedger(host, 'default', ledger);
    expect(host.list('/var/lib')).toEqual([]);
  });
});
