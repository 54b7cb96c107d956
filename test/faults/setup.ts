// Builds the program as it is shipped once for all tests of this folder.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { type Production, buildProduction } from '../bench/production.ts';

declare module 'vitest' {
  interface ProvidedContext {
    production: Production;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'faults-'));
  project.provide('production', await buildProduction(join(directory, 'build')));
  return () => rm(directory, { recursive: true, force: true });
}
