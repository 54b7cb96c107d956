import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/families/**/*.test.ts'],
    globalSetup: 'test/families/setup.ts',
    reporters: ['default', './test/families/table.ts'],
    // Each family has a file and worlds of its own; two of them keep two cores busy.
    maxWorkers: 2,
    testTimeout: 240_000,
    hookTimeout: 120_000,
  },
});
