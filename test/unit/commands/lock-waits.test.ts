// How long a pass waits for another one on the same host: a person longer than a pod, which has to end in time.
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { apply } from '../../../src/commands/apply.ts';
import type { TrustConfig } from '../../../src/commands/config.ts';
import { outside, run } from '../../../src/commands/run.ts';
import { openHost } from '../../../src/host/host.ts';
import { stateDirectory } from '../../../src/host/ledger.ts';
import { type Lock, lockDirectory } from '../../../src/host/lock.ts';
import { isWaitedFor } from '../../sandbox/harness/lock-queue.ts';
import { temporaryDirectory } from '../support/directories.ts';
import { north } from '../support/fixtures.ts';
import { type LittleHost, littleHost } from '../support/little-host.ts';
import { capturedStreams } from '../support/streams.ts';

const patience = { timeout: 20_000 };

interface LockedHost {
  readonly host: LittleHost;
  readonly config: TrustConfig;
  /** Ends the other pass, and gives time back to the machine. */
  readonly unlock: () => void;
}

/** A host whose lock another pass has, and time that goes on only as the test lets it. */
async function lockedHost(): Promise<LockedHost> {
  const host = littleHost();
  let lock: Lock | undefined = await lockDirectory(openHost(host.root), stateDirectory, 10_000);
  const bundle = temporaryDirectory();
  fs.writeFileSync(join(bundle, 'ca.crt'), north.pem);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const unlock = (): void => {
    vi.useRealTimers();
    lock?.release();
    lock = undefined;
  };
  onTestFinished(unlock);
  const { root: hostRoot } = host;
  const rules = { allowLeaf: false, allowEmpty: false, maxCertificates: 100, strict: false };
  const config = { hostRoot, instance: 'default', bundle: [bundle], runtimeRefresh: 'auto', ...rules } as const;
  return { host, config, unlock };
}

/** Until the host's flock has asked for the lock. */
async function waitsForLock(host: LittleHost): Promise<void> {
  await vi.waitUntil(() => isWaitedFor(host.path(stateDirectory)), patience);
}

describe.skipIf(process.getuid?.() !== 0)('another pass that has the lock', () => {
  it('is waited for by apply for two minutes, and named then', async () => {
    const { host, config } = await lockedHost();
    const streams = capturedStreams();
    const applied = apply({ ...config, dryRun: false, output: 'json' }, streams);
    await waitsForLock(host);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(await applied).toBe(1);
    expect(streams.stderr.text).toMatch(/^node-ca-trust: \S+ on the host has been locked for 120 s by another pass; /);
  });

  it('is waited for by the daemon for a minute, and named then; the next pass is made once it has ended', async () => {
    const { host, config, unlock } = await lockedHost();
    const streams = capturedStreams();
    const stop = new AbortController();
    const nodeLabel = [{ key: 'node-ca-trust.io/enabled', value: 'true' }];
    const own = { version: '1.2.3', resyncMs: 600_000, listen: { host: '127.0.0.1', port: 0 }, logLevel: 'info' };
    const running = run({ ...config, ...own, nodeLabel }, streams, stop.signal, outside);
    onTestFinished(async () => {
      unlock();
      stop.abort();
      await running;
    });
    await waitsForLock(host);
    await vi.advanceTimersByTimeAsync(60_000);
    await vi.waitFor(() => {
      expect(streams.stdout.text).toContain('has been locked for 60 s by another pass');
    }, patience);
    unlock();
    await vi.waitUntil(() => host.trusts(north), patience);
  });
});
