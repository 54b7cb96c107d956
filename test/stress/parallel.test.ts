// Our rotations beside as many plain runs of the host's own tool, read all the time; and for comparison the loop
// that people write by hand: copy the certificate, run the tool, twice at once.
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { agent } from '../sandbox/harness/agent.ts';
import { makeCert } from '../sandbox/harness/certs.ts';
import { anchors, danglingLinks, everywhere, inBundle, nowhere, trust } from '../sandbox/harness/host.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { watchBundle, type WatcherReport } from '../sandbox/harness/watcher.ts';
import { createWorld } from '../sandbox/harness/world.ts';

/** Fifty with NODE_CA_TRUST_FULL=1. */
const runs = process.env['NODE_CA_TRUST_FULL'] === '1' ? 50 : 20;

function tell(who: string, { reads, versions, counts, firstBad }: WatcherReport, after: string): void {
  const { whole, ...bad } = counts;
  const sum = Object.values(bad).reduce((total, count) => total + count, 0);
  console.log(
    `${who}: ${reads} reads of ${versions} versions, ${whole} whole, ${sum} bad ${JSON.stringify(bad)}; ${after}`,
    firstBad,
  );
}

test(`${runs} rotations beside ${runs} plain runs: no bad read, and each pass proves what it says`, async () => {
  await using world = await createWorld();
  const distribution = [...(await inBundle(world))];
  const [kept, one, two] = await Promise.all([makeCert(), makeCert(), makeCert()]);
  await using secret = await mountSecret({ 'kept.crt': kept.pem, 'ca.crt': one.pem });
  const { apply } = agent(world);
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  await using watcher = await watchBundle(world, {
    floor: distribution.length + 2,
    all: [...distribution, kept.fingerprint],
    any: [one.fingerprint, two.fingerprint],
  });
  const others = (async () => {
    for (let run = 0; run < runs; run += 1) await world.exec('update-ca-certificates');
  })();
  const failures: string[] = [];
  for (let round = 0; round < runs; round += 1) {
    const [next, old] = round % 2 === 0 ? [two, one] : [one, two];
    await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': next.pem });
    const { code, report } = await apply(secret.directory);
    const held = await inBundle(world);
    if (code !== 0) failures.push(`round ${round}: ${report.reasons.join('; ')}`);
    else if (!held.has(next.fingerprint)) failures.push(`round ${round}: said to be trusted, and is not`);
    else if (held.has(old.fingerprint)) failures.push(`round ${round}: said to be removed, and is trusted`);
  }
  await others;
  const report = await watcher.stop();
  const last = await apply(secret.directory);
  const held = await inBundle(world);
  tell('node-ca-trust beside plain runs', report, `${held.size} of ${distribution.length + 2} CAs in the end`);
  expect(failures).toEqual([]);
  expect(last).toMatchObject({ code: 0, report: { converged: true } });
  expect(report.firstBad).toEqual({});
  expect(held.size).toBe(distribution.length + 2);
  for (const ca of [kept, one]) expect(await trust(world, ca)).toEqual(everywhere);
  expect(await trust(world, two)).toEqual(nowhere);
  expect(await danglingLinks(world)).toEqual([]);
});

test(`for comparison: ${runs} times copy and run, two at once, spoils what readers see`, async () => {
  await using world = await createWorld();
  const distribution = [...(await inBundle(world))];
  const [one, two] = await Promise.all([makeCert(), makeCert()]);
  for (const [index, ca] of [one, two].entries()) await writeFile(world.path(`/tmp/${index}.crt`), ca.pem);
  const floor = distribution.length;
  await using watcher = await watchBundle(world, { floor, all: distribution });
  const loop = (index: number) =>
    world.exec(
      'sh',
      ['-c', `for i in $(seq ${runs / 2}); do cp /tmp/${index}.crt ${anchors}/; update-ca-certificates; done`],
      { timeout: 600_000 },
    );
  await Promise.all([loop(0), loop(1)]);
  const report = await watcher.stop();
  const { size } = await inBundle(world).catch(() => new Set<string>());
  tell('copy and run, two at once', report, `${size} of ${floor + 2} CAs in the end`);
  expect(report.reads).toBeGreaterThan(report.counts.whole);
});
