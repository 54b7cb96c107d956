import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts'],
    reporters: ['default', './test/faults/table.ts'],
    // Each file keeps one core busy.
    maxWorkers: 2,
    testTimeout: process.env['NODE_CA_TRUST_FULL'] === '1' ? 28_800_000 : 900_000,
    hookTimeout: 120_000,
  },
});
