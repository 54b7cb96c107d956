import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/cluster/harness.test.ts'],
    // Beside the cluster that somebody may be using, and beside that of the harness of another directory.
    env: { NODE_CA_TRUST_CLUSTER: `${process.env['NODE_CA_TRUST_CLUSTER'] ?? '/var/tmp/node-ca-trust'}-harness` },
    testTimeout: 120_000,
    // The programs of the cluster may have to be built first.
    hookTimeout: 3_600_000,
  },
});
