import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/scale/**/*.test.ts'],
    globalSetup: 'test/api/setup.ts',
    testTimeout: 1_800_000,
    hookTimeout: 300_000,
  },
});
