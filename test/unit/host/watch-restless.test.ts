import { EventEmitter } from 'node:events';
import { expect, it, vi } from 'vitest';
import { openWatch } from '../../../src/host/watch.ts';
import { temporaryDirectory } from '../support/directories.ts';

// A directory in which somebody writes all the time never comes to rest, and what does not answer never ends.
vi.mock('chokidar', () => ({
  watch: () => Object.assign(new EventEmitter(), { close: () => new Promise(() => undefined) }),
}));

it('a directory that never comes to rest holds nothing up for long', async () => {
  const failed = vi.fn();
  const watch = openWatch(() => undefined, failed);
  expect(await watch.follow([{ path: temporaryDirectory(), concerns: () => true }])).toBe(true);
  await watch.close();
  expect(failed).not.toHaveBeenCalled();
}, 60_000);
