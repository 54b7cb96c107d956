// Names that mean harm, in a certificate and of a file on the host, on their way to all who read of them: a terminal, a log,
// a probe, Prometheus, a script.
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { toPem } from '../../src/bundle/pem.ts';
import { endedChildren } from '../bench/measure.ts';
import { attribute, build, commonName, hugeCertificate, nameOf, tlv } from '../unit/bundle/odd-certificates.ts';
import { agent, eventually } from './harness/agent.ts';
import { anchors, everywhere, nowhere, ourFiles, scene, trust } from './harness/host.ts';

/** Paints and clears a terminal in both ways, ends lines in all ways, turns the reading direction, and is long. */
const evil = `a\u001b[2J\u009b31m\r\n\u2028\u0085\u0007\u202e\u2066\u200b"\\{x="y"}\0${'z'.repeat(4_000)}`;
const cleared = /a\\u\{1b\}\[2J\\u\{9b\}31m\\u\{d\}\\u\{a\}\\u\{2028\}\\u\{85\}\\u\{7\}\\u\{202e\}/;
const fileName = 'a\u001b[2J\u009b31m\r\n\u202e.crt';

/** What does not print as itself, but for the ends of lines. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

function expectClean(text: string): void {
  for (const line of text.split('\n')) expect(line.replaceAll('\t', ' ')).not.toMatch(unprintable);
}

test('names that mean harm reach nobody as they are', async () => {
  const { world, secret } = await scene({
    'a.crt': toPem(build({ subject: commonName(evil), issuer: commonName(evil) })),
  });
  await writeFile(world.path(`${anchors}/${fileName}`), 'x');
  const { apply, cli, run } = agent(world);
  const json = await apply(secret.directory);
  expect(json.code).toBe(0);
  expect(json.report.notes.join('\n')).toMatch(/ca-certificates\/a\\u\{1b\}\[2J/);
  const words = ['--bundle', secret.directory, '--host-root', world.root];
  const outputs = [
    json,
    await cli('apply', ...words),
    await cli('check', secret.directory),
    await cli('check', '--output', 'json', secret.directory),
  ];
  for (const { stdout, stderr } of outputs) {
    expectClean(stdout);
    expectClean(stderr);
  }
  expect(outputs.map(({ stdout }) => stdout).join()).toMatch(cleared);
  expect(await ourFiles(world)).toEqual([expect.stringMatching(/^node-ca-trust-default-[0-9a-f]{16}\.crt$/)]);

  const daemon = run(secret.directory);
  expectClean(await daemon.ready());
  const metrics = (await daemon.get('/metrics')).text;
  expectClean(metrics);
  expect(metrics.replaceAll('\\\\', '\\')).toMatch(cleared);
  // A broken entry beside it: now the subject is part of a reason.
  await secret.swap({
    'a.crt': toPem(build({ subject: commonName(evil), tail: Buffer.from([5, 0]), serial: Buffer.from([2, 1, 0x80]) })),
  });
  const why = await daemon.notReady(/not-a-certificate/);
  expectClean(why);
  await eventually(() => {
    expect(daemon.log().some(({ level }) => level === 'error')).toBe(true);
  });
  await daemon.stop();
  const { stdout, stderr } = await daemon.ended;
  expectClean(stdout);
  expectClean(stderr);
  for (const line of stdout.split('\n')) expect(line.length).toBeLessThan(8_000);
});

test('CAs of ten thousand names, and with a key of 16 kbit, come and go within seconds', async () => {
  const name = nameOf(...Array.from({ length: 10_000 }, (_, at) => attribute(tlv(0x0c, Buffer.from(`name ${at}`)))));
  const pems = [hugeCertificate, build({ subject: name, issuer: name })].map((der) => toPem(der));
  const { world, secret } = await scene(Object.fromEntries(pems.map((pem, at) => [`${at}.crt`, pem])));
  const { apply, remove, run } = agent(world);
  // Of this process and of all that the pass starts, in milliseconds.
  const spent = (): number => process.cpuUsage().user / 1_000 + endedChildren().cpuMs;
  const before = spent();
  expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { reasons: [] } });
  expect(spent() - before).toBeLessThan(10_000);
  for (const pem of pems) expect(await trust(world, { pem })).toEqual(everywhere);
  const daemon = run(secret.directory);
  await daemon.ready();
  const { text } = await daemon.get('/metrics');
  for (const line of text.split('\n')) expect(line.length).toBeLessThan(8_000);
  await daemon.stop();
  expect(await remove()).toMatchObject({ code: 0, report: { reasons: [] } });
  for (const pem of pems) expect(await trust(world, { pem })).toEqual(nowhere);
});
