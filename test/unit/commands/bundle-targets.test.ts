import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bundleTargets } from '../../../src/commands/bundle-targets.ts';
import { temporaryDirectory } from '../support/directories.ts';
import { lookedAt, watching } from '../support/watching.ts';

describe('the watch of a bundle that is a directory', () => {
  it('tells of what happens in the directories in it, which are read too', async () => {
    const bundle = temporaryDirectory();
    const nested = join(bundle, 'team-a/more');
    fs.mkdirSync(nested, { recursive: true });
    const file = join(nested, 'ca.crt');
    const { watch, seen } = watching();
    await watch.follow(bundleTargets([bundle]));
    fs.writeFileSync(file, 'one');
    await seen();
    fs.rmSync(file);
    await seen();
  });

  it('takes a volume of the kubelet’s by its top alone', () => {
    const volume = temporaryDirectory();
    fs.mkdirSync(join(volume, '..version_1/keys'), { recursive: true });
    fs.symlinkSync('..version_1', join(volume, '..data'));
    fs.symlinkSync('..data/keys', join(volume, 'keys'));
    expect(bundleTargets([volume]).map(({ path }) => path)).toEqual([volume]);
  });

  it('comes to an end where links lead back', () => {
    const bundle = temporaryDirectory();
    fs.symlinkSync('.', join(bundle, 'again'));
    for (let count = 0; count < 10; count += 1) fs.symlinkSync('.', join(bundle, `again-${count}`));
    expect(bundleTargets([bundle]).map(({ path }) => path)).toEqual([bundle]);
  });

  it('stays in it, whatever a link there leads to: the rest is refused', () => {
    const parent = temporaryDirectory();
    for (const name of ['bundle/team', 'bundle-b', 'other/more']) fs.mkdirSync(join(parent, name), { recursive: true });
    const bundle = join(parent, 'bundle');
    fs.symlinkSync('../other', join(bundle, 'out'));
    fs.symlinkSync('../bundle-b', join(bundle, 'beside'));
    fs.symlinkSync('team', join(bundle, 'twice'));
    const targets = bundleTargets([bundle]);
    expect(new Set(targets.map(({ path }) => fs.realpathSync(path)))).toEqual(new Set([bundle, join(bundle, 'team')]));
    expect(targets).toHaveLength(2);
  });
});

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

  it.each<readonly [string, string, string]>([
    ['to the directory of the file', 'opt/current', 'v2'],
    ['to the file', 'opt/ca.pem', 'v2/ca.pem'],
    ['to both', 'ca.pem', 'opt/v2/ca.pem'],
  ])('tells when a link on the way comes to lead elsewhere: the link %s', async (_, link, to) => {
    const parent = temporaryDirectory();
    for (const name of ['v1', 'v2']) {
      fs.mkdirSync(join(parent, 'opt', name), { recursive: true });
      fs.writeFileSync(join(parent, 'opt', name, 'ca.pem'), name);
    }
    fs.symlinkSync('v1', join(parent, 'opt/current'));
    fs.symlinkSync('current/ca.pem', join(parent, 'opt/ca.pem'));
    fs.symlinkSync('opt/ca.pem', join(parent, 'ca.pem'));
    const { watch, seen } = watching();
    await watch.follow(bundleTargets([join(parent, 'ca.pem')]));
    fs.symlinkSync(to, join(parent, 'new'));
    fs.renameSync(join(parent, 'new'), join(parent, link));
    await seen();
  });

  it('tells of another file in the same directory, once the link to it leads there', async () => {
    const parent = temporaryDirectory();
    for (const name of ['v1.pem', 'v2.pem']) fs.writeFileSync(join(parent, name), name);
    fs.symlinkSync('v1.pem', join(parent, 'ca.pem'));
    const { watch, seen } = watching();
    const targets = (): ReturnType<typeof bundleTargets> => bundleTargets([join(parent, 'ca.pem')]);
    await watch.follow(targets());
    fs.symlinkSync('v2.pem', join(parent, 'new'));
    fs.renameSync(join(parent, 'new'), join(parent, 'ca.pem'));
    await seen();
    // What was written there before is for the pass that comes of it.
    expect(await watch.follow(targets())).toBe(true);
    expect(await watch.follow(targets())).toBe(false);
    fs.writeFileSync(join(parent, 'v2.pem'), 'again');
    await seen();
  });

  it('tells when the file behind its links is written', async () => {
    const parent = temporaryDirectory();
    fs.mkdirSync(join(parent, 'below'));
    fs.writeFileSync(join(parent, 'below/ca.pem'), 'one');
    fs.symlinkSync('below/ca.pem', join(parent, 'ca.pem'));
    const { watch, seen } = watching();
    await watch.follow(bundleTargets([join(parent, 'ca.pem')]));
    fs.writeFileSync(join(parent, 'below/ca.pem'), 'two');
    await seen();
  });

  it("starts nothing anew with each of the kubelet's versions", async () => {
    const volume = temporaryDirectory();
    const swap = (version: string): void => {
      fs.mkdirSync(join(volume, version));
      fs.writeFileSync(join(volume, version, 'ca.pem'), version);
      fs.symlinkSync(version, join(volume, '..data_tmp'));
      fs.renameSync(join(volume, '..data_tmp'), join(volume, '..data'));
    };
    swap('..one');
    fs.symlinkSync('..data/ca.pem', join(volume, 'ca.pem'));
    const { watch, seen } = watching();
    const follow = (): Promise<boolean> => watch.follow(bundleTargets([join(volume, 'ca.pem')]));
    await follow();
    swap('..two');
    await seen();
    expect(await follow()).toBe(false);
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
