// Who makes the cluster: this machine by itself, or kind where CLUSTER=kind asks for it.
import { bare } from './bare/bare.ts';
import type { Provider } from './cluster.ts';
import { kind } from './kind.ts';

/** Throws when CLUSTER names neither. */
export function provider(): Provider {
  const name = process.env['CLUSTER'] ?? 'bare';
  const found = { bare, kind }[name];
  if (found === undefined) throw new Error(`CLUSTER=${name}: it is bare (the default) or kind`);
  return found;
}
