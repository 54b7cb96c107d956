/**
 * What a daemon has of the cluster that it runs in: the Secret as the API server gives it, and the Node to be told. Off a
 * cluster it has neither, and the client is not even loaded.
 */
import { UsageProblem } from '../host/problem.ts';
import type { NodeReport } from '../report/node.ts';
import { type Sources, openSources } from '../sources/sources.ts';
import type { Daemon } from './daemon.ts';

export interface Cluster {
  readonly sources: Sources;
  /** Undefined where there is no Node to tell. */
  readonly node: NodeReport | undefined;
  /** Does what is to be done beside the passes, until `signal` is aborted. */
  follow(signal: AbortSignal): Promise<void>;
}

/**
 * Opens what the configuration asks for.
 * @param changed the bundle may have changed
 * @throws UsageProblem when a Secret is to be followed where there is no cluster
 */
export async function openCluster(daemon: Daemon, changed: () => void): Promise<Cluster> {
  const { config, openApi, log, random, clock } = daemon;
  const { bundle, secret, nodeName } = config;
  const api = secret === undefined && nodeName === undefined ? undefined : await openApi();
  if (secret !== undefined && api === undefined)
    throw new UsageProblem('--secret: no cluster here (KUBERNETES_SERVICE_HOST is not set); leave it out');
  const outside = {
    ...clock,
    random,
    changed,
    failed: (line: string) => {
      log.warn(line);
    },
    recovered: (line: string) => {
      log.info(line);
    },
  };
  const sources = await (async () => {
    if (secret === undefined || api === undefined) return openSources(bundle);
    const { openSecret, secretPacing } = await import('../sources/secret.ts');
    return openSources(bundle, { ...outside, secret: openSecret(secret, { ...outside, api, pacing: secretPacing }) });
  })();
  const node = await (async () => {
    if (nodeName === undefined || api === undefined) return undefined;
    const { openNode } = await import('../report/node.ts');
    return openNode({ ...config, nodeName }, { ...outside, api });
  })();
  return {
    sources,
    node,
    follow: async (signal) => {
      await Promise.all([sources.follow(signal), node?.follow(signal)]);
    },
  };
}
