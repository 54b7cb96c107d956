/**
 * From what a command was asked to do to what a pass has to know.
 */
import type { PassSettings } from '../reconcile.ts';
import type { HostConfig, TrustConfig } from './config.ts';

type Settings = Omit<PassSettings, 'dryRun' | 'lockWaitMs'>;

/** A pass that makes the host trust a bundle. */
export function settingsOf(config: TrustConfig): Settings {
  const { strict, runtimeRefresh: refresh, registry: registries = [], probe: probes = [] } = config;
  return { ...config, rules: config, policy: { strict, removeAll: false }, refresh, registries, probes };
}

/** A pass that takes everything of an instance off the host. */
export function removalOf(config: HostConfig): Settings {
  const rules = { allowLeaf: false, allowEmpty: true, maxCertificates: 1 };
  const policy = { strict: false, removeAll: true };
  return { ...config, rules, policy, refresh: 'auto', registries: [], probes: [] };
}
