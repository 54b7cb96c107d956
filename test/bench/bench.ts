// The bench: one command, one table. What each figure means and how it is taken stands at the top of its row's file.
//
//   npm run bench [-- --json FILE] [--short|--full] [--rows adding,fast,idle,image,parallel,registries,rest,trust]
//
// It takes some five minutes; with --full four times as many samples are taken, in up to four times the time. With --short
// it is over in half of it: every row, by as few samples as it makes sense with, a thousand anchors by a single pair.
//
// Exit code 1 when something was seen that must never be, more memory than its bound among it, or the bench broke down; 3 when
// another bound is not met that says something about the program, which a busy machine may be the reason of.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createWorld } from '../sandbox/harness/world.ts';
import { openMint } from './anchors.ts';
import { type Line, table, verdicts } from './line.ts';
import { type Machine, describeMachine } from './machine.ts';
import { openPasses } from './passes.ts';
import { buildProduction } from './production.ts';
import { measureAdding } from './row-adding.ts';
import { measureFast } from './row-fast.ts';
import { measureIdle } from './row-idle.ts';
import { measureImage } from './row-image.ts';
import { measureParallel } from './row-parallel.ts';
import { measureRegistries } from './row-registries.ts';
import { measureRest } from './row-rest.ts';
import { measureTrust } from './row-trust.ts';
import type { Bench } from './scene.ts';
import { openTrustStore } from './trust-store.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';

const rows = {
  adding: measureAdding,
  fast: measureFast,
  idle: measureIdle,
  image: measureImage,
  parallel: measureParallel,
  registries: measureRegistries,
  rest: measureRest,
  trust: measureTrust,
};

const { json, rows: wanted } = parseArgs({
  // --full and --short are for measure.ts.
  options: {
    json: { type: 'string' },
    full: { type: 'boolean' },
    short: { type: 'boolean' },
    rows: { type: 'string', default: Object.keys(rows).join() },
  },
}).values;

const begun = performance.now();
const machine = describeMachine();
say('building');
const production = await buildProduction(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '/nowhere', 'production'));
const lines = await measure();
const seconds = Math.round((performance.now() - begun) / 1000);
const found = verdicts(lines);

console.log(`${machineLine(machine)}; ${seconds} s\n\n${table(lines)}\n\n${found.map(({ text }) => text).join('\n')}`);
if (json !== undefined) {
  writeFileSync(json, `${JSON.stringify({ machine, seconds, lines, verdicts: found }, undefined, 2)}\n`);
}
process.exitCode = exitCode();

function exitCode(): number {
  const failed = found.filter(({ fails }) => fails);
  if (failed.some(({ isNever }) => isNever)) return 1;
  return failed.length > 0 ? 3 : 0;
}

/** Progress, for who waits: on stderr, so that stdout is the table alone. */
function say(what: string): void {
  console.error(`bench: ${Math.round((performance.now() - begun) / 1000)} s: ${what}`);
}

async function measure(): Promise<readonly Line[]> {
  await using world = await createWorld();
  await using mount = await mountSecret({});
  const store = await openTrustStore(world);
  const mint = await openMint();
  await using passes = await openPasses(production, world.root, mount.directory);
  const bench: Bench = { production, world, store, mount, mint, passes, say };
  const found: Line[] = [];
  for (const [name, row] of Object.entries(rows)) {
    if (wanted.split(',').includes(name)) found.push(...(await row(bench)));
  }
  return found;
}

function machineLine(found: Machine): string {
  const { version, commit, architecture, processor, cores, memoryMiB, load } = found;
  return [
    `node-ca-trust ${version}, commit ${commit}`,
    `${processor} (${architecture}), ${cores} cores, ${memoryMiB} MiB, load ${load.toFixed(1)}`,
    `${found.distribution}, Linux ${found.kernel}`,
    `Node ${found.node}, OpenSSL ${found.openssl}, ca-certificates ${found.caCertificates}`,
  ].join('; ');
}
