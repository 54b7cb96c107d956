import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/deploy/**/*.test.ts'],
    globalSetup: 'test/deploy/setup.ts',
    // Each rendering starts a program or two; two cores gain nothing from more.
    maxWorkers: 2,
    testTimeout: 60_000,
  },
});
