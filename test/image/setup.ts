// Builds the images once for all tests of this folder.
import { rmSync } from 'node:fs';
import type { TestProject } from 'vitest/node';
import { bringOnPath } from '../cluster/binaries.ts';
import { ensureBase } from './base.ts';
import { buildImage, type Image } from './image.ts';
import {
  builderFor,
  makeRunDirectory,
  needs,
  ownArchitecture,
  timed,
  type Architecture,
  type Builder,
} from './machine.ts';

declare module 'vitest' {
  interface ProvidedContext {
    builder: Builder;
    image: Image;
    /** The image for arm64, where that is not this machine's own architecture. */
    foreign: Image | undefined;
  }
}

export default async function setup(project: TestProject): Promise<() => void> {
  needs('buildah', 'debootstrap', 'chroot', 'unshare', 'tar', 'npm', 'strace', 'qemu-aarch64-static');
  await bringOnPath('kubectl', 'actionlint');
  const directory = makeRunDirectory();
  const tearDown = (): void => {
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    project.provide('builder', builderFor(directory));
    project.provide('image', build(directory, ownArchitecture));
    project.provide('foreign', ownArchitecture === 'amd64' ? build(directory, 'arm64') : undefined);
  } catch (error) {
    tearDown();
    throw error;
  }
  return tearDown;
}

function build(directory: string, architecture: Architecture): Image {
  const builder = builderFor(directory, architecture);
  timed(`base for ${architecture}`, () => {
    ensureBase(builder);
  });
  return timed(`image for ${architecture}`, () => buildImage(builder));
}
