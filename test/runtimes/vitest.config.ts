import { defineConfig } from 'vitest/config';
import { slowestFirst } from '../setup/slowest-first.ts';

export default defineConfig({
  test: {
    include: ['test/runtimes/**/*.test.ts'],
    globalSetup: 'test/runtimes/setup.ts',
    // Each file has machines of its own; two of them keep two cores busy.
    maxWorkers: 2,
    sequence: { sequencer: slowestFirst('kills', 'containerd', 'table') },
    testTimeout: 900_000,
    hookTimeout: 180_000,
  },
});
