/**
 * From what a command was asked to do to what a pass has to know.
 */
import type { PassSettings } from '../reconcile.ts';
import type { HostConfig, TrustConfig } from './config.ts';

type Settings = Omit<PassSettings, 'dryRun' | 'lockWaitMs'>;

/** A pass that makes the host trust a bundle. */
export function settingsOf(config: TrustConfig): Settings {
  const { hostRoot, instance, strict, runtimeRefresh, registry = [], probe = [] } = config;
  const policy = { strict, removeAll: false };
  return { hostRoot, instance, rules: config, policy, refresh: runtimeRefresh, registries: registry, probes: probe };
}

/** A pass that takes everything of an instance off the host. */
export function removalOf({ hostRoot, instance }: HostConfig): Settings {
  const rules = { allowLeaf: false, allowEmpty: true, maxCertificates: 1 };
  const policy = { strict: false, removeAll: true };
  return { hostRoot, instance, rules, policy, refresh: 'auto', registries: [], probes: [] };
}
