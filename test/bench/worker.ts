// One long-lived process that makes a pass whenever it is told to, as the daemon does, and weighs each.
//
//   worker.cjs HOST-ROOT BUNDLE-DIRECTORY
import { openTidying } from '../../src/commands/tidying.ts';
import { openReconciler } from '../../src/reconcile.ts';
import { hasChanged } from '../../src/report/report.ts';
import { readSource } from '../../src/sources/directory.ts';
import { endedChildren } from './measure.ts';

export interface Weighed {
  readonly converged: boolean;
  readonly reasons: readonly string[];
  /** Why the refresh command ran; empty when it did not. */
  readonly refreshed: readonly string[];
  readonly wallMs: number;
  /** Of this process and of all that it started. */
  readonly cpuMs: number;
  /** Of this process alone. */
  readonly ownCpuMs: number;
  /** Page faults of the children that it started and that have ended: 0 when there was none. */
  readonly childFaults: number;
}

const [hostRoot = '/nowhere', directory = '/nowhere'] = process.argv.slice(2);
const reconciler = openReconciler(
  {
    hostRoot,
    instance: 'default',
    rules: { allowLeaf: false, allowEmpty: true, maxCertificates: 2_000 },
    policy: { strict: false, removeAll: false },
    dryRun: false,
    lockWaitMs: 60_000,
    refresh: 'auto',
    registries: [],
    probes: [],
  },
  () => [readSource(directory)],
  {
    now: () => Date.now(),
    steady: () => performance.now(),
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  },
);

const tidy = openTidying();

async function weigh(): Promise<Weighed> {
  const before = endedChildren();
  const own = process.cpuUsage();
  const start = performance.now();
  const { report } = await reconciler.pass();
  const wallMs = performance.now() - start;
  const { user, system } = process.cpuUsage(own);
  const after = endedChildren();
  const ownCpuMs = (user + system) / 1000;
  const { converged, reasons, refreshed } = report;
  // Once the pass is over, as the daemon does.
  tidy(hasChanged(report));
  return {
    converged,
    reasons,
    refreshed,
    wallMs,
    cpuMs: ownCpuMs + after.cpuMs - before.cpuMs,
    ownCpuMs,
    childFaults: after.faults - before.faults,
  };
}

process.on('message', () => void weigh().then((weighed) => process.send?.(weighed)));
process.on('disconnect', () => process.exit());
process.send?.('ready');
