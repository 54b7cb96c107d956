import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/image/**/*.test.ts'],
    globalSetup: ['test/setup/untouched.ts', 'test/image/setup.ts'],
    // One after the other: each of them keeps both cores busy.
    fileParallelism: false,
    // An image is built in them, from a cold cache on a slow network.
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});
