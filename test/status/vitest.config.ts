import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/status/**/*.test.ts'],
    globalSetup: 'test/api/setup.ts',
    // One API server at a time: it keeps a core busy when it starts.
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
