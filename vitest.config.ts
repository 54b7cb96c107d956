import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/unit/**/*.test.ts', 'test/sandbox/**/*.test.ts', 'test/fuzz/**/*.test.ts'],
    globalSetup: 'test/setup/untouched.ts',
    // Sandbox tests run the real tools one after the other; two cores gain nothing from more.
    maxWorkers: 2,
    // Whoever reads the output without colours has tables with colours tested all the same.
    env: { NO_COLOR: '' },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      exclude: ['src/main.ts'],
      reporter: ['text-summary', 'html'],
      thresholds: { lines: 90, branches: 90 },
    },
  },
});
