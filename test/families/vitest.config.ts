import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/families/**/*.test.ts'],
    globalSetup: ['test/setup/untouched.ts', 'test/families/setup.ts'],
    reporters: ['default', './test/families/table.ts'],
    // Each family has a file and worlds of its own; two of them keep two cores busy.
    maxWorkers: 2,
    // Flatcar's parallel row starts programs by the hundred.
    testTimeout: 900_000,
    hookTimeout: 120_000,
  },
});
