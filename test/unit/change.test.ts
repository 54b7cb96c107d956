// What a change comes to that fails half-way, as those of p11-kit do for an anchor that it leaves out.
import * as fs from 'node:fs';
import { expect, it } from 'vitest';
import { readBundle } from '../../src/bundle/bundle.ts';
import { type Outcome, changeUntilProven } from '../../src/change.ts';
import { openHost } from '../../src/host/host.ts';
import { lockDirectory } from '../../src/host/lock.ts';
import { Problem } from '../../src/host/problem.ts';
import { openStore } from '../../src/stores/detect.ts';
import { north, south } from './support/fixtures.ts';
import { bundlePath, littleHost } from './support/little-host.ts';
import { setUptime } from './support/runtime.ts';

it.skipIf(process.getuid?.() !== 0)('what a change that fails has published is told and dated, and once', async () => {
  const little = littleHost();
  const { root } = little;
  const host = openHost(root);
  const clock = { now: () => Date.now(), steady: () => 0, sleep: () => Promise.resolve() };
  const store = openStore(host, 'default', clock);
  const files = [north, south].map(({ pem, fingerprint }) => ({ source: fingerprint, bytes: Buffer.from(pem) }));
  const rules = { now: new Date(), allowLeaf: false, allowEmpty: false, maxCertificates: 9 };
  const change = async (changes: readonly (typeof files)[number][], isFailing: boolean): Promise<Outcome> => {
    const failing: typeof store.change = async (...args) => {
      await store.change(...args);
      throw new Problem('it leaves out 1 anchors');
    };
    const bundle = readBundle([{ files: changes, findings: [] }], rules);
    const policy = { strict: false, removeAll: false };
    const used = isFailing ? { ...store, change: failing } : store;
    const lock = await lockDirectory(host, '/etc/ssl/certs', 10_000);
    const scene = { host, store: used, clock, instance: 'default', policy, bundle, retell: false };
    return changeUntilProven(scene, lock).finally(() => {
      lock.release();
    });
  };

  setUptime(root, 100);
  await change(files.slice(0, 1), false);
  setUptime(root, 200);
  const outcome = await change(files, true);
  expect(outcome).toMatchObject({ isFailed: true, isSound: true, added: [south.fingerprint], refreshed: [] });
  expect(outcome.proof.hostReasons).toEqual(['it leaves out 1 anchors']);
  expect(outcome.ledger.added).toMatchObject({ seconds: 200 });

  const published = fs.statSync(little.path(bundlePath)).ctimeMs;
  clock.now = () => published + 100_000;
  setUptime(root, 300);
  const again = await change(files, true);
  expect(again).toMatchObject({ isFailed: true, added: [] });
  expect(again.ledger.added?.seconds).toBeCloseTo(200, 0);

  clock.now = () => published + 1_000_000;
  expect(await change(files, false)).toMatchObject({ isFailed: false, added: [], proof: { hostReasons: [] } });
});
