// Builds the image once for all tests of this folder.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { bringOnPath } from '../cluster/binaries.ts';
import { ensureBase } from './base.ts';
import { buildImage, type Image } from './image.ts';
import { cacheDirectory, needs, timed } from './machine.ts';

declare module 'vitest' {
  interface ProvidedContext {
    image: Image;
  }
}

export default async function setup(project: TestProject): Promise<() => void> {
  needs('buildah', 'debootstrap', 'chroot', 'unshare', 'tar', 'npm');
  await bringOnPath('kubectl');
  mkdirSync(cacheDirectory, { recursive: true });
  const directory = mkdtempSync(join(cacheDirectory, 'run-'));
  const tearDown = (): void => {
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    timed('base', () => {
      ensureBase(directory);
    });
    project.provide(
      'image',
      timed('image', () => buildImage(directory)),
    );
  } catch (error) {
    tearDown();
    throw error;
  }
  return tearDown;
}
