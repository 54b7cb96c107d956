// An agent that leaves the refresh to the host. What stands in for the host's units here: a function that is called
// whenever the agent waits, and does what they do, by the little host's own refresh command.
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/host/clock.ts';
import { type Host, openHost } from '../../../src/host/host.ts';
import { noLock } from '../../../src/host/lock.ts';
import { Problem } from '../../../src/host/problem.ts';
import { type Reconciler, openReconciler } from '../../../src/reconcile.ts';
import { openStore } from '../../../src/stores/detect.ts';
import { leaveToUnit, requestPath } from '../../../src/stores/unit.ts';
import { type Fixture, east, north, south } from '../support/fixtures.ts';
import { type LittleHost, bundlePath, littleHost } from '../support/little-host.ts';

type Unit = (host: LittleHost) => void;

const works: Unit = (host) => {
  if (!fs.existsSync(host.path(requestPath))) return;
  fs.rmSync(host.path(requestPath));
  execFileSync('chroot', [host.root, 'update-ca-certificates']);
};
const isMissing: Unit = () => undefined;
/** It hears, and its tool fails. */
const fails: Unit = (host) => {
  fs.rmSync(host.path(requestPath), { force: true });
};

interface Scene {
  readonly host: LittleHost;
  readonly reconciler: Reconciler;
  /** What the agent wants from now on, and what serves it. */
  readonly want: (unit: Unit, ...certificates: readonly Fixture[]) => void;
  /** Lets time pass without a pass. */
  readonly pass: (ms: number) => void;
  /** How often it has waited since then. */
  readonly waits: () => number;
}

function scene(removeAll = false, host = littleHost()): Scene {
  let [unit, wanted, waited]: [Unit, readonly Fixture[], number] = [works, [], 0];
  let late = 0;
  const clock: Clock = {
    now: () => Date.now() + late,
    steady: () => late,
    sleep: (ms) => {
      late += ms;
      waited += 1;
      unit(host);
      return Promise.resolve();
    },
  };
  const settings = {
    hostRoot: host.root,
    instance: 'default',
    rules: { allowLeaf: false, allowEmpty: false, maxCertificates: 100 },
    policy: { strict: false, removeAll },
    dryRun: false,
    lockWaitMs: 0,
    storeRefresh: 'unit',
    refresh: 'auto',
    registries: [],
    probes: [],
  } as const;
  const read = () => [
    {
      files: wanted.map(({ pem, fingerprint }) => ({ source: fingerprint, bytes: Buffer.from(pem) })),
      findings: [],
    },
  ];
  return {
    host,
    reconciler: openReconciler(settings, read, clock),
    want: (by, ...certificates) => {
      [unit, wanted, waited] = [by, certificates, 0];
    },
    pass: (ms) => {
      late += ms;
    },
    waits: () => waited,
  };
}

const missing =
  /^the refresh has not run within 20 s after it was asked for .*: is node-ca-trust-refresh\.path enabled there\?/;

describe.skipIf(process.getuid?.() !== 0)('a pass that leaves the refresh to a unit of the host', () => {
  it('writes the files, asks, and proves what the unit made of them', async () => {
    const { host, reconciler, want } = scene();
    want(works, north, south);
    const { report } = await reconciler.pass();
    expect(report).toMatchObject({ converged: true, reasons: [], refreshed: ['2 to install'] });
    expect([host.trusts(north), host.trusts(south)]).toEqual([true, true]);
    expect(host.runs()).toBe(1);
    expect(fs.existsSync(host.path(requestPath))).toBe(false);
  });

  it('rotates and removes', async () => {
    const { host, reconciler, want } = scene();
    want(works, north);
    await reconciler.pass();
    want(works, south);
    expect((await reconciler.pass()).report).toMatchObject({ converged: true, removed: [north.fingerprint] });
    expect([host.trusts(north), host.trusts(south)]).toEqual([false, true]);
    const before = host.snapshot();
    expect((await scene(true, host).reconciler.pass()).report).toMatchObject({ converged: true });
    expect([host.trusts(south), host.anchors()]).toEqual([false, []]);
    expect(before.has('var/lib/node-ca-trust/default.json')).toBe(true);
    expect(fs.existsSync(host.path('/var/lib/node-ca-trust/default.json'))).toBe(false);
  });

  it('takes the old CA off only when the new one is linked by its hash', async () => {
    const { host, reconciler, want } = scene();
    want(works, north);
    await reconciler.pass();
    const seen: (readonly string[])[] = [];
    const watches: Unit = (on) => {
      if (fs.existsSync(on.path(requestPath))) seen.push(on.anchors());
      works(on);
    };
    want(watches, south);
    expect((await reconciler.pass()).report).toMatchObject({ converged: true, removed: [north.fingerprint] });
    expect(seen.map((anchors) => anchors.length)).toEqual([2, 1]);
    expect([host.trusts(north), host.trusts(south)]).toEqual([false, true]);
  });

  it('leaves the old CA where the run that links the new one does not come', async () => {
    const { host, reconciler, want } = scene();
    want(works, north);
    await reconciler.pass();
    want(isMissing, south);
    expect((await reconciler.pass()).report).toMatchObject({ converged: false });
    expect([host.anchors().length, host.trusts(north)]).toEqual([2, true]);
    works(host);
    const later = scene(false, host);
    later.want(works, south);
    expect((await later.reconciler.pass()).report).toMatchObject({ converged: true });
    expect([host.trusts(north), host.trusts(south)]).toEqual([false, true]);
  });

  it('takes away what a request that was killed has left, and leaves nothing when all goes', async () => {
    const { host, reconciler, want } = scene();
    want(works, north);
    await reconciler.pass();
    fs.writeFileSync(host.path('/var/lib/node-ca-trust/._refresh.0123abcd.tmp'), '');
    expect((await scene(true, host).reconciler.pass()).report).toMatchObject({ converged: true });
    expect(fs.existsSync(host.path('/var/lib/node-ca-trust'))).toBe(false);
  });

  it('has nothing to do on a host that is as it should be', async () => {
    const { host, reconciler, want, waits } = scene();
    want(works, north);
    await reconciler.pass();
    want(isMissing, north);
    const before = host.snapshot();
    expect((await reconciler.pass()).report).toMatchObject({ converged: true, refreshed: [] });
    expect(waits()).toBe(0);
    expect(host.snapshot()).toEqual(before);
  });

  it('has what somebody undid put back', async () => {
    const { host, reconciler, want } = scene();
    want(works, north);
    await reconciler.pass();
    fs.copyFileSync(host.path('/usr/share/ca-certificates/world.crt'), host.path(bundlePath));
    expect((await reconciler.pass()).report).toMatchObject({ converged: true, repaired: [north.fingerprint] });
    expect(host.trusts(north)).toBe(true);
  });

  it('says what to do where there is no such unit: once after a while, then at once; and goes on when it comes', async () => {
    const { host, reconciler, want, waits } = scene();
    want(isMissing, north);
    expect((await reconciler.pass()).report).toMatchObject({
      converged: false,
      reasons: [expect.stringMatching(missing)],
    });
    want(isMissing, north, east);
    expect((await reconciler.pass()).report.reasons).toEqual([expect.stringMatching(missing)]);
    expect(waits()).toBe(0);
    // The files are there for whoever refreshes.
    expect(host.anchors()).toHaveLength(2);
    works(host);
    expect((await reconciler.pass()).report).toMatchObject({ converged: true });
  });

  it('says the same in every pass until the unit comes: what changes is news to the Node, the log and whoever reads them', async () => {
    const { reconciler, want, pass } = scene();
    want(isMissing, north);
    const { reasons } = (await reconciler.pass()).report;
    for (const ms of [1_000, 60_000, 3_600_000]) {
      pass(ms);
      expect((await reconciler.pass()).report.reasons).toEqual(reasons);
    }
  });

  it('says where to look when the unit has run and the bundle lacks what is wanted', async () => {
    const { reconciler, want } = scene();
    want(fails, north);
    const said = /^the refresh has run and made no bundle .*journalctl -u node-ca-trust-refresh$/;
    expect((await reconciler.pass()).report.reasons).toEqual([expect.stringMatching(said)]);
  });

  it('asks for the refresh that puts a good bundle where one cannot be looked at', async () => {
    const little = littleHost();
    const inner = openHost(little.root);
    inner.makeDirectory('/var/lib/node-ca-trust');
    let isDead = true;
    const target: Host['target'] = (path) => {
      if (isDead && path === bundlePath) throw new Problem('its file system does not answer');
      return inner.target(path);
    };
    const host: Host = { ...inner, target };
    const sleep = (): Promise<void> => {
      works(little);
      isDead = false;
      return Promise.resolve();
    };
    const clock: Clock = { now: () => Date.now(), steady: () => 0, sleep };
    const told = { announced: [], present: [], unheard: [] };
    const change = { add: [], remove: [], clean: [], link: [], refresh: true, required: new Set<string>(), ...told };
    await leaveToUnit(openStore(host, 'default', clock), host, clock).change(change, noLock);
    expect([isDead, little.runs()]).toEqual([false, 1]);
  });
});
