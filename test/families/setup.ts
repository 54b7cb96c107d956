// Builds the judge that looks into the store as containerd and the kubelet do.
import { execa } from 'execa';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** A program without libraries that runs in any root. */
    goverify: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'goverify-'));
  await cp(join(import.meta.dirname, 'goverify'), directory, { recursive: true });
  const program = join(directory, 'goverify');
  const env = { CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOPROXY: 'off' };
  await execa('go', ['build', '-o', program, '.'], { cwd: directory, env });
  project.provide('goverify', program);
  return () => rm(directory, { recursive: true, force: true });
}
