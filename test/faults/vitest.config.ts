import { defineConfig } from 'vitest/config';
import { slowestFirst } from '../setup/slowest-first.ts';

export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts'],
    globalSetup: ['test/setup/untouched.ts', 'test/faults/setup.ts'],
    reporters: ['default', './test/faults/table.ts'],
    // Each file keeps one core busy.
    maxWorkers: 2,
    sequence: { sequencer: slowestFirst('agent', 'programs', 'direct', 'disk') },
    testTimeout: process.env['NODE_CA_TRUST_FULL'] === '1' ? 28_800_000 : 900_000,
    hookTimeout: 120_000,
  },
});
