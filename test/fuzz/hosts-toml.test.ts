/**
 * Hundreds of edited hosts.toml, read by both of the TOML readers that containerd is built with: neither sees anything
 * but the trust, nor another order of the hosts. Ours is a third reader, and a rule that holds for it alone helps no pull.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addTrust } from '../../src/runtimes/hosts-toml.ts';
import { ca, hostsTexts } from '../unit/runtimes/hosts-toml-texts.ts';
import { environment } from '../unit/bundle/openssl.ts';

const inputs = Number(process.env['NODE_CA_TRUST_INPUTS'] ?? 500);
const seed = Number(process.env['NODE_CA_TRUST_SEED'] ?? 20_261_123);

interface Table {
  ca?: string | readonly string[];
  readonly skip_verify?: boolean;
  readonly server?: string;
}

/** What one of the readers makes of a text. */
interface Reading {
  readonly error?: string;
  readonly data: (Table & { readonly host?: Readonly<Record<string, Table>> }) | null;
  readonly hosts: readonly string[] | null;
}

const directory = mkdtempSync(join(tmpdir(), 'gotoml-'));
const env = { ...environment, GOFLAGS: '', GOTOOLCHAIN: 'local', GOWORK: 'off' };
const go = (...words: readonly string[]): boolean => spawnSync('go', words, { cwd: directory, env }).status === 0;
cpSync(join(import.meta.dirname, 'gotoml'), directory, { recursive: true });
const hasGo = go('mod', 'download');
if (!hasGo) {
  const lack = 'no go on the PATH, or no modules for it';
  if (process.env['CI'] !== undefined) throw new Error(`in CI it has to run: there is ${lack}`);
  console.log(`${lack}: what containerd makes of a hosts.toml is not compared`);
}

beforeAll(() => {
  if (hasGo) execFileSync('go', ['build', '.'], { cwd: directory, env });
});

afterAll(() => {
  rmSync(directory, { recursive: true });
});

function read(texts: readonly string[]): readonly (readonly [Reading, Reading])[] {
  const input = texts.map((text) => `${JSON.stringify(text)}\n`).join('');
  const output = execFileSync(join(directory, 'gotoml'), { input, maxBuffer: 1024 * 1024 * 1024 });
  return output
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as readonly [Reading, Reading]);
}

function trust(table: Table, url: string): void {
  const own = table.ca === undefined ? [] : [table.ca].flat();
  if (url.startsWith('http:') || table.skip_verify === true || own.includes(ca)) return;
  table.ca = table.ca === undefined ? ca : [...own, ca];
}

/** The reading with the trust in it. */
function trusting(reading: Reading): Reading {
  const { data } = structuredClone(reading);
  if (data === null) return reading;
  trust(data, data.server ?? '');
  for (const [url, table] of Object.entries(data.host ?? {})) trust(table, url);
  return { ...reading, data };
}

function edited(text: string): string {
  const trusted = addTrust(text, ca);
  if (trusted.kind === 'problem') throw new Error(trusted.problem);
  return trusted.text;
}

it.skipIf(!hasGo)(`${inputs} edits mean to containerd what they mean to us`, () => {
  // An empty file stays one.
  const texts = fc.sample(hostsTexts, { numRuns: inputs, seed }).filter((text) => text !== '');
  const before = read(texts);
  const after = read(texts.map(edited));
  for (const reader of [0, 1] as const) {
    const readings = before.map((both) => both[reader]);
    // A text that a reader refuses is refused as before, and containerd goes on with the *.crt beside it.
    const refused = readings.filter(({ error }) => error !== undefined).length;
    expect(refused).toBeLessThan(texts.length / 2);
    for (const [index, reading] of readings.entries()) {
      const got = after[index]?.[reader];
      if (reading.error === undefined) expect(got, texts[index]).toEqual(trusting(reading));
      else expect(got?.error, texts[index]).toBeDefined();
    }
    console.log(
      `go-toml ${reader + 1}: ${texts.length - refused} edits are read as meant; ${refused} texts it refuses anyway`,
    );
  }
});
