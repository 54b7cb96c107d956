import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/api/**/*.test.ts'],
    globalSetup: ['test/setup/untouched.ts', 'test/api/setup.ts'],
    // One API server at a time: it keeps a core busy when it starts.
    fileParallelism: false,
    // What memory is held is known after a collection only.
    execArgv: ['--expose-gc'],
    testTimeout: 300_000,
    hookTimeout: 120_000,
  },
});
