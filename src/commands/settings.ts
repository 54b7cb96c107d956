/**
 * From what a command was asked to do to what a pass has to know.
 */
import type { PassSettings } from '../reconcile.ts';
import type { HostConfig, TrustConfig } from './config.ts';

type Settings = Omit<PassSettings, 'dryRun' | 'lockWaitMs'>;

/** A pass that makes the host trust a bundle. */
export function settingsOf(config: TrustConfig): Settings {
  const {
    hostRoot,
    instance,
    storeRefresh = 'command',
    strict,
    runtimeRefresh: refresh,
    registry = [],
    probe = [],
  } = config;
  const policy = { strict, removeAll: false };
  return { hostRoot, instance, storeRefresh, rules: config, policy, refresh, registries: registry, probes: probe };
}

/** A pass that takes everything of an instance off the host. */
export function removalOf({ hostRoot, instance, storeRefresh = 'command' }: HostConfig): Settings {
  const rules = { allowLeaf: false, allowEmpty: true, maxCertificates: 1 };
  const policy = { strict: false, removeAll: true };
  return { hostRoot, instance, storeRefresh, rules, policy, refresh: 'auto', registries: [], probes: [] };
}
