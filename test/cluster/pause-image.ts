// The image of a pod's first container, made of one program and without a registry.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { binary } from './binaries.ts';
import { run } from './process.ts';

/** Writes the image as an archive of the kind that `docker save` writes. */
export async function writePauseImage(archive: string, name: string): Promise<void> {
  const directory = mkdtempSync(`${archive}-`);
  try {
    mkdirSync(join(directory, 'root'));
    copyFileSync(binary('pause'), join(directory, 'root/pause'));
    await tar(join(directory, 'layer.tar'), join(directory, 'root'), 'pause');
    const layer = createHash('sha256')
      .update(readFileSync(join(directory, 'layer.tar')))
      .digest('hex');
    const config = {
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Entrypoint: ['/pause'], User: '65535:65535' },
      rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
    };
    writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
    const manifest = [{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }];
    writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest));
    await tar(archive, directory, 'manifest.json', 'config.json', 'layer.tar');
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The same files make the same archive, whoever owns them and however old they are. */
async function tar(archive: string, directory: string, ...names: readonly string[]): Promise<void> {
  const same = ['--owner=0', '--group=0', '--numeric-owner', '--mtime=@0', '--mode=755'];
  await run('tar', ['-C', directory, ...same, '-cf', archive, ...names]);
}
