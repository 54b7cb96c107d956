// Many agents in this process, each with its own Node, its own pod's token and its own connections. All is the agent's own
// code but for the host: a pass takes what the Secret holds for proven. No trust store is touched.
import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { openApi } from '../../src/api/api.ts';
import { readBundle } from '../../src/bundle/bundle.ts';
import type { Bundle, Reading } from '../../src/bundle/types.ts';
import { systemClock } from '../../src/commands/clock.ts';
import { openCluster } from '../../src/commands/cluster.ts';
import type { RunConfig } from '../../src/commands/config.ts';
import { type PassEnd, openLoop } from '../../src/commands/loop.ts';
import { outside } from '../../src/commands/run.ts';
import { openLog } from '../../src/report/log.ts';
import { mountAccount, namespace, secretName } from '../api/harness/account.ts';
import { apiHost, apiPort } from '../api/harness/api-server.ts';
import { passOf } from '../unit/support/anchors.ts';

export interface Pacing {
  readonly random: () => number;
  readonly resyncMs: number;
}

export interface Agent {
  readonly node: string;
  /** When it had proven each bundle: milliseconds since the epoch, by digest. */
  readonly proven: ReadonlyMap<string, number>;
  /** Passes so far. */
  readonly passes: () => number;
  /** Each line of its log that is a warning or worse. */
  readonly said: readonly string[];
  stop(): Promise<void>;
}

function configOf(nodeName: string, resyncMs: number): RunConfig {
  return {
    hostRoot: '/nowhere',
    instance: 'default',
    bundle: ['/nowhere'],
    secret: { namespace, name: secretName },
    nodeName,
    nodeLabel: [],
    version: '0.1.0',
    resyncMs,
    strict: false,
    allowLeaf: false,
    allowEmpty: false,
    maxCertificates: 100,
    runtimeRefresh: 'off',
    listen: { host: apiHost, port: 0 },
    logLevel: 'warn',
  };
}

/** What the host part of a pass would find in it, read once: all agents have the same, and this is one process. */
const bundles = new Map<string, Bundle>();

function bundleOf(readings: readonly Reading[], config: RunConfig): Bundle {
  const files = readings.flatMap((reading) => reading.files);
  const key = files.map(({ bytes }) => createHash('sha256').update(bytes).digest('hex')).join();
  const known = bundles.get(key) ?? readBundle(readings, { ...config, now: new Date() });
  if (files.length > 0) bundles.set(key, known);
  return known;
}

/** Starts the agent of a node. @param token its pod's */
export async function startAgent(
  node: string,
  account: { readonly token: string; readonly ca: string },
  { random, resyncMs }: Pacing,
): Promise<Agent> {
  const root = mkdtempSync(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? '/nowhere', 'pod-'));
  mountAccount(root, account.token, account.ca);
  Object.assign(process.env, { KUBERNETES_SERVICE_HOST: apiHost, KUBERNETES_SERVICE_PORT: String(apiPort) });
  const config = configOf(node, resyncMs);
  const said: string[] = [];
  const log = openLog(config.logLevel, config.instance, { write: (line: string) => said.push(line) > 0 });
  const loop = openLoop({ ...outside.pacing, resyncMs }, systemClock, random);
  const daemon = { ...outside, config, log, random, openApi: () => Promise.resolve(openApi(root)) };
  const cluster = await openCluster(daemon, () => {
    loop.trigger('whole');
  });
  const proven = new Map<string, number>();
  let passes = 0;
  let last = '';
  const pass = (): Promise<PassEnd> => {
    passes += 1;
    const { digest, anchors, findings, provisional } = bundleOf(cluster.sources.read(), config);
    const changed = digest !== last;
    last = digest;
    if (!proven.has(digest)) proven.set(digest, Date.now());
    if (provisional?.soon !== true) cluster.node?.tell(passOf({ digest, anchors, findings }));
    return Promise.resolve({ converged: true, changed, failedHalfWay: false });
  };
  const end = new AbortController();
  const following = cluster.follow(end.signal);
  const running = cluster.sources.settled(end.signal).then(() => loop.run(pass));
  return {
    node,
    proven,
    passes: () => passes,
    said,
    stop: async () => {
      end.abort();
      await Promise.all([loop.stop(), following]);
      await running;
    },
  };
}
