import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bundleTargets } from '../../../src/commands/bundle-targets.ts';
import { temporaryDirectory } from '../support/directories.ts';
import { lookedAt, watching } from '../support/watching.ts';

describe('the watch of a bundle that is a file', () => {
  const write = (file: string): void => {
    fs.writeFileSync(file, 'two');
  };

  it.each<readonly [string, (file: string) => void]>([
    ['written in place', write],
    [
      'replaced',
      (file) => {
        fs.renameSync(`${file}.new`, file);
      },
    ],
    ['removed', fs.rmSync],
  ])('tells when it is %s, and then written', async (_, change) => {
    const file = join(temporaryDirectory(), 'ca.pem');
    for (const path of [file, `${file}.new`]) fs.writeFileSync(path, 'one');
    const before = watching();
    await before.watch.follow(bundleTargets([file]));
    change(file);
    await before.seen();
    const after = watching();
    await after.watch.follow(bundleTargets([file]));
    write(file);
    await after.seen();
  });

  it('looks at nothing of what lies beside it: the mounts there may not answer', async () => {
    const parent = temporaryDirectory();
    for (const name of ['theirs', 'elsewhere', 'elsewhere/theirs']) fs.mkdirSync(join(parent, name));
    fs.writeFileSync(join(parent, 'elsewhere/ca.pem'), '');
    fs.symlinkSync('elsewhere/ca.pem', join(parent, 'ca.pem'));
    fs.writeFileSync(join(parent, 'other.pem'), '');
    const looked = lookedAt();
    const { watch } = watching();
    await watch.follow(bundleTargets([join(parent, 'ca.pem'), join(parent, 'other.pem')]));
    expect(looked).toEqual([]);
  });
});
