/**
 * A watch of a test's own, which ends with it, and what it looks at.
 */
import * as fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { onTestFinished, vi } from 'vitest';
import { type Watch, openWatch } from '../../../src/host/watch.ts';

export interface Watching {
  readonly watch: Watch;
  /** Resolves once a change was told of since the last call. */
  readonly seen: () => Promise<void>;
  /** How often something was told of. */
  readonly count: () => number;
}

export function watching(): Watching {
  let count = 0;
  let looked = 0;
  const watch = openWatch(
    () => {
      count += 1;
    },
    (reason) => {
      throw new Error(reason);
    },
  );
  onTestFinished(() => watch.close());
  return {
    watch,
    count: () => count,
    seen: async () => {
      await vi.waitUntil(() => count > looked, { timeout: 20_000, interval: 5 });
      looked = count;
    },
  };
}

/** The paths that are looked at from now on, until the test ends. */
export function lookedAt(): readonly string[] {
  const looked: string[] = [];
  const real = { lstat: fs.promises.lstat, stat: fs.promises.stat };
  const spy = (name: keyof typeof real) => (path: fs.PathLike, options?: object) => {
    looked.push(String(path));
    return (real[name] as (path: fs.PathLike, options?: object) => Promise<unknown>)(path, options);
  };
  Object.assign(fs.promises, { lstat: spy('lstat'), stat: spy('stat') });
  syncBuiltinESMExports();
  onTestFinished(() => {
    Object.assign(fs.promises, real);
    syncBuiltinESMExports();
  });
  return looked;
}
