import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/cluster/**/*.test.ts'],
    // It starts and ends the one cluster of the machine itself: harness.config.ts.
    exclude: ['test/cluster/harness.test.ts'],
    globalSetup: 'test/cluster/setup.ts',
    // One after the other: there is one cluster.
    fileParallelism: false,
    // A reboot, a rollout, and a Secret that the kubelet brings to a pod at its leisure.
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});
