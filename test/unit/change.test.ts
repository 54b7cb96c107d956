// What a change comes to that fails half-way, as those of p11-kit do for an anchor that it leaves out, and what is dated then.
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readBundle } from '../../src/bundle/bundle.ts';
import { type Outcome, changeUntilProven } from '../../src/change.ts';
import { type Host, openHost } from '../../src/host/host.ts';
import { stateDirectory } from '../../src/host/ledger.ts';
import { lockDirectory } from '../../src/host/lock.ts';
import { Problem } from '../../src/host/problem.ts';
import { openStore } from '../../src/stores/detect.ts';
import type { TrustStore } from '../../src/stores/store.ts';
import { type Fixture, north, south } from './support/fixtures.ts';
import { type LittleHost, bundlePath, littleHost } from './support/little-host.ts';
import { setUptime } from './support/runtime.ts';

type Change = (...args: Parameters<TrustStore['change']>) => ReturnType<TrustStore['change']>;

interface Bench {
  readonly little: LittleHost;
  readonly clock: { now: () => number };
  /** The next looks at what the bundle's path leads to fail, as on a dead mount, until the bundle is replaced. */
  readonly deaden: () => void;
  /** Changes the host until it trusts these, by a change that goes as told. */
  readonly change: (certificates: readonly Fixture[], how?: (change: Change) => Change) => Promise<Outcome>;
}

function bench(): Bench {
  const little = littleHost();
  const inner = openHost(little.root);
  let dead: string | undefined;
  const target: Host['target'] = (path) => {
    if (path === bundlePath && inner.entry(path)?.identity === dead)
      throw new Problem('its file system does not answer');
    return inner.target(path);
  };
  const host: Host = { ...inner, target };
  const clock = { now: () => Date.now(), steady: () => 0, sleep: () => Promise.resolve() };
  const store = openStore(host, 'default', clock);
  const rules = { now: new Date(), allowLeaf: false, allowEmpty: false, maxCertificates: 9 };
  const change: Bench['change'] = async (certificates, how = (same) => same) => {
    const files = certificates.map(({ pem, fingerprint }) => ({ source: fingerprint, bytes: Buffer.from(pem) }));
    const bundle = readBundle([{ files, findings: [] }], rules);
    const policy = { strict: false, removeAll: false };
    const used = { ...store, change: how((...args) => store.change(...args)) };
    const lock = await lockDirectory(host, stateDirectory, 10_000);
    const scene = { host, store: used, clock, instance: 'default', policy, bundle, retell: false };
    return changeUntilProven(scene, lock).finally(() => {
      lock.release();
    });
  };
  const deaden = (): void => {
    dead = inner.entry(bundlePath)?.identity;
  };
  return { little, clock, deaden, change };
}

const ending =
  (error: Error) =>
  (change: Change): Change =>
  async (...args) => {
    await change(...args);
    throw error;
  };
const failing = ending(new Problem('it leaves out 1 anchors'));

/** Another's refresh: the bundle is replaced by this. */
function publish(little: LittleHost, text: string | Buffer): void {
  fs.writeFileSync(little.path('/another'), text);
  fs.renameSync(little.path('/another'), little.path(bundlePath));
}

const readBundleOf = (little: LittleHost): Buffer => fs.readFileSync(little.path(bundlePath));
const ledgerOf = (little: LittleHost): string =>
  fs.readFileSync(little.path('/var/lib/node-ca-trust/default.json'), 'utf8');

describe.skipIf(process.getuid?.() !== 0)('what a host trusts', () => {
  it('by a change that fails is told and dated, and once', async () => {
    const { little, clock, change } = bench();
    setUptime(little.root, 100);
    await change([north]);
    setUptime(little.root, 200);
    const outcome = await change([north, south], failing);
    expect(outcome).toMatchObject({ isFailed: true, isSound: true, added: [south.fingerprint], refreshed: [] });
    expect(outcome.proof.hostReasons).toEqual(['it leaves out 1 anchors']);
    expect(outcome.ledger.added).toMatchObject({ seconds: 200 });

    // Others refresh the store meanwhile, and publish the same.
    publish(little, readBundleOf(little));
    const published = fs.statSync(little.path(bundlePath)).ctimeMs;
    clock.now = () => published + 10_000;
    setUptime(little.root, 300);
    const again = await change([north, south], failing);
    expect(again).toMatchObject({ isFailed: true, added: [], ledger: { added: outcome.ledger.added } });

    clock.now = () => published + 1_000_000;
    expect(await change([north, south])).toMatchObject({ isFailed: false, added: [], proof: { hostReasons: [] } });
  });

  it('by the refresh of another is dated by it, where no pass of ours had proven it', async () => {
    const { little, clock, change } = bench();
    setUptime(little.root, 100);
    await change([north]);
    const before = readBundleOf(little);
    const undone = await change([north, south], (make) => async (...args) => {
      const made = await make(...args);
      publish(little, before);
      return made;
    });
    expect(undone.proof.hostReasons).toHaveLength(1);
    expect(undone.ledger.added).toMatchObject({ seconds: 100 });

    publish(little, Buffer.concat([before, Buffer.from(south.pem)]));
    const published = fs.statSync(little.path(bundlePath)).ctimeMs;
    clock.now = () => published + 100_000;
    setUptime(little.root, 300);
    const runs = little.runs();
    const outcome = await change([north, south]);
    expect(outcome).toMatchObject({ added: [], repaired: [], refreshed: [], proof: { hostReasons: [] } });
    expect(outcome.ledger.added?.seconds).toBeCloseTo(200, 0);
    expect(little.runs()).toBe(runs);

    const ledger = ledgerOf(little);
    publish(little, readBundleOf(little));
    clock.now = () => published + 200_000;
    expect(await change([north, south])).toMatchObject({ ledger: { added: outcome.ledger.added } });
    expect(ledgerOf(little)).toBe(ledger);
  });

  it('is mended and dated, where its bundle cannot be looked at', async () => {
    const { little, deaden, change } = bench();
    setUptime(little.root, 100);
    await change([north]);
    deaden();
    setUptime(little.root, 200);
    expect(await change([north, south])).toMatchObject({
      repaired: [north.fingerprint],
      proof: { hostReasons: [] },
      ledger: { added: { seconds: 200 } },
    });
    expect(little.trusts(south)).toBe(true);
  });

  it('again by a repair that was killed once it had published is dated anew', async () => {
    const { little, clock, change } = bench();
    setUptime(little.root, 100);
    await change([north, south]);
    publish(little, readBundleOf(little).toString('latin1').replace(south.pem, ''));
    setUptime(little.root, 200);
    await expect(change([north, south], ending(new Error('killed')))).rejects.toThrow('killed');
    const published = fs.statSync(little.path(bundlePath)).ctimeMs;
    clock.now = () => published + 100_000;
    setUptime(little.root, 300);
    const outcome = await change([north, south]);
    expect(outcome).toMatchObject({ repaired: [], refreshed: [], proof: { hostReasons: [] } });
    expect(outcome.ledger.added?.seconds).toBeCloseTo(200, 0);
  });
});
