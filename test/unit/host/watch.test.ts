import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { WatchTarget } from '../../../src/host/watch.ts';
import { temporaryDirectory } from '../support/directories.ts';
import { lookedAt, watching } from '../support/watching.ts';

const all = (path: string): WatchTarget => ({ path, concerns: () => true });
const only = (path: string, wanted: string): WatchTarget => ({ path, concerns: (name) => name === wanted });

/** A volume as the kubelet lays it out. */
function mountVolume(path: string): { swap(key: string, text: string): void } {
  let version = 0;
  const swap = (key: string, text: string): void => {
    const before = version;
    version += 1;
    fs.mkdirSync(join(path, `..version_${version}`));
    fs.writeFileSync(join(path, `..version_${version}`, key), text);
    fs.symlinkSync(`..version_${version}`, join(path, '..data_tmp'));
    fs.renameSync(join(path, '..data_tmp'), join(path, '..data'));
    if (!fs.existsSync(join(path, key))) fs.symlinkSync(`..data/${key}`, join(path, key));
    if (before > 0) fs.rmSync(join(path, `..version_${before}`), { recursive: true });
  };
  swap('ca.crt', 'first');
  return { swap };
}

describe('openWatch', () => {
  it('tells of a file that comes, changes, is replaced, and goes', async () => {
    const directory = temporaryDirectory();
    const { watch, seen } = watching();
    expect(await watch.follow([all(directory)])).toBe(true);
    const file = join(directory, 'ca.crt');
    fs.writeFileSync(file, 'one');
    await seen();
    fs.appendFileSync(file, 'two');
    await seen();
    fs.writeFileSync(`${file}.new`, 'three');
    await seen();
    fs.renameSync(`${file}.new`, file);
    await seen();
    fs.rmSync(file);
    await seen();
  });

  it('tells of every new version of a mounted Secret', async () => {
    const directory = temporaryDirectory();
    const volume = mountVolume(directory);
    const { watch, seen } = watching();
    await watch.follow([all(directory)]);
    for (let round = 0; round < 10; round += 1) {
      volume.swap('ca.crt', `version ${round}`);
      await seen();
    }
  });

  it('tells of a new version to who watches one file of a mounted Secret', async () => {
    const directory = temporaryDirectory();
    const volume = mountVolume(directory);
    const { watch, seen } = watching();
    await watch.follow([{ path: directory, concerns: (name) => name === 'ca.crt' || name.startsWith('..') }]);
    volume.swap('ca.crt', 'second');
    await seen();
  });

  it('is quiet when it begins, and about names that do not matter', async () => {
    const directory = temporaryDirectory();
    fs.writeFileSync(join(directory, 'there'), '');
    const { watch, seen, count } = watching();
    await watch.follow([only(directory, 'ours')]);
    for (let round = 0; round < 20; round += 1) fs.writeFileSync(join(directory, `theirs-${round}`), '');
    fs.writeFileSync(join(directory, 'ours'), '');
    await seen();
    expect(count()).toBeLessThan(5);
  });

  it('watches what two targets want of one directory', async () => {
    const directory = temporaryDirectory();
    const { watch, seen } = watching();
    await watch.follow([only(directory, 'one.crt'), only(directory, 'two.crt')]);
    fs.writeFileSync(join(directory, 'one.crt'), '');
    await seen();
    fs.writeFileSync(join(directory, 'two.crt'), '');
    await seen();
  });

  it('starts nothing anew while the directories are the same', async () => {
    const directory = temporaryDirectory();
    const { watch } = watching();
    expect(await watch.follow([all(directory)])).toBe(true);
    expect(await watch.follow([all(directory)])).toBe(false);
  });

  it('tells when its directory was replaced, and watches the new one', async () => {
    const directory = join(temporaryDirectory(), 'bundle');
    for (const path of [directory, `${directory}.new`]) {
      fs.mkdirSync(path);
      fs.writeFileSync(join(path, 'ca.crt'), path);
    }
    const { watch, seen } = watching();
    await watch.follow([all(directory)]);
    fs.renameSync(directory, `${directory}.old`);
    fs.renameSync(`${directory}.new`, directory);
    await seen();
    expect(await watch.follow([all(directory)])).toBe(true);
    fs.writeFileSync(join(directory, 'ca.crt'), 'changed');
    await seen();
  });

  it('watches the new directory, whether or not it was told of it', async () => {
    const directory = join(temporaryDirectory(), 'bundle');
    fs.mkdirSync(directory);
    const { watch, seen } = watching();
    await watch.follow([all(directory)]);
    fs.renameSync(directory, `${directory}.old`);
    fs.mkdirSync(directory);
    expect(await watch.follow([all(directory)])).toBe(true);
    fs.writeFileSync(join(directory, 'ca.crt'), '');
    await seen();
  });

  it('tells when a link on the way to its directory leads elsewhere', async () => {
    const parent = temporaryDirectory();
    for (const name of ['one', 'two']) fs.mkdirSync(join(parent, name, 'certs'), { recursive: true });
    const lead = (to: string): void => {
      fs.symlinkSync(to, join(parent, 'new'));
      fs.renameSync(join(parent, 'new'), join(parent, 'current'));
    };
    lead('one');
    const { watch, seen } = watching();
    await watch.follow([all(join(parent, 'current/certs')), all(join(parent, 'current'))]);
    lead('two');
    await seen();
  });

  it.each([
    ['another directory', 'v1', 'v2'],
    ['the same directory through one more link', 'v1', 'link-to-v1'],
    ['another directory, after one more link', '../opt/link-to-v1', 'v2'],
    ['a directory, after it was missing', undefined, 'v1'],
  ])('tells when a link on the way of a link leads elsewhere: %s', async (_, first, then) => {
    const parent = temporaryDirectory();
    for (const name of ['v1', 'v2']) fs.mkdirSync(join(parent, 'opt', name, 'ca'), { recursive: true });
    fs.symlinkSync('v1', join(parent, 'opt/link-to-v1'));
    fs.symlinkSync(join(parent, 'opt/current/ca'), join(parent, 'bundle'));
    const lead = (to: string): void => {
      fs.symlinkSync(to, join(parent, 'opt/new'));
      fs.renameSync(join(parent, 'opt/new'), join(parent, 'opt/current'));
    };
    if (first !== undefined) lead(first);
    const { watch, seen } = watching();
    await watch.follow([all(join(parent, 'bundle'))]);
    lead(then);
    await seen();
    expect(await watch.follow([all(join(parent, 'bundle'))])).toBe(true);
    expect(await watch.follow([all(join(parent, 'bundle'))])).toBe(false);
  });

  it('follows a link that leads to itself no further, and tells when it leads elsewhere', async () => {
    const parent = temporaryDirectory();
    fs.symlinkSync('circle', join(parent, 'circle'));
    const { watch, seen } = watching();
    await watch.follow([all(join(parent, 'circle/ca'))]);
    fs.rmSync(join(parent, 'circle'));
    await seen();
  });

  it('looks at no entry of others, beside its directory or in one that is shared: their mounts may not answer', async () => {
    const parent = temporaryDirectory();
    for (const name of ['ours', 'theirs', 'ours/theirs', 'shared', 'shared/theirs']) fs.mkdirSync(join(parent, name));
    const looked = lookedAt();
    const { watch, seen } = watching();
    const shared: WatchTarget = {
      path: join(parent, 'shared'),
      concerns: (name) => name === 'socket',
      isShared: true,
    };
    await watch.follow([all(join(parent, 'ours')), all(join(parent, 'missing')), shared]);
    // What it looks into it does look at.
    expect(looked).toContain(join(parent, 'ours/theirs'));
    expect(looked.filter((path) => [join(parent, 'theirs'), join(parent, 'shared/theirs')].includes(path))).toEqual([]);
    fs.writeFileSync(join(parent, 'shared/socket'), '');
    await seen();
  });

  it('watches anew when a link leads to another directory', async () => {
    const parent = temporaryDirectory();
    const link = join(parent, 'link');
    for (const name of ['one', 'two']) fs.mkdirSync(join(parent, name));
    fs.symlinkSync('one', link);
    const { watch, seen } = watching();
    await watch.follow([all(link)]);
    fs.rmSync(link);
    fs.symlinkSync('two', link);
    expect(await watch.follow([all(link)])).toBe(true);
    fs.writeFileSync(join(parent, 'two/ca.crt'), '');
    await seen();
  });

  it('watches through a link to the directory', async () => {
    const parent = temporaryDirectory();
    fs.mkdirSync(join(parent, 'real'));
    fs.symlinkSync('real', join(parent, 'link'));
    const { watch, seen } = watching();
    await watch.follow([all(join(parent, 'link'))]);
    fs.writeFileSync(join(parent, 'real/ca.crt'), '');
    await seen();
  });

  it('tells of each step on the way to a directory that is not there yet', async () => {
    const parent = temporaryDirectory();
    const directory = join(parent, 'much/later');
    const { watch, seen, count } = watching();
    expect(await watch.follow([all(directory)])).toBe(true);
    expect(await watch.follow([all(directory)])).toBe(false);
    for (let round = 0; round < 20; round += 1) fs.mkdirSync(join(parent, `other-${round}`));
    for (const path of [join(parent, 'much'), directory]) {
      fs.mkdirSync(path);
      await seen();
      // What came before it is told of by now, if it ever is.
      expect(count()).toBeLessThan(10);
      expect(await watch.follow([all(directory)])).toBe(true);
    }
    fs.writeFileSync(join(directory, 'ca.crt'), '');
    await seen();
  });

  it('tells when its directory goes, and when it is back', async () => {
    const directory = join(temporaryDirectory(), 'bundle');
    fs.mkdirSync(directory);
    const { watch, seen } = watching();
    await watch.follow([all(directory)]);
    fs.renameSync(directory, `${directory}.away`);
    await seen();
    expect(await watch.follow([all(directory)])).toBe(true);
    fs.renameSync(`${directory}.away`, directory);
    await seen();
    expect(await watch.follow([all(directory)])).toBe(true);
    expect(await watch.follow([all(directory)])).toBe(false);
  });

  it('lets go of what it is to follow no longer', async () => {
    const [one, two] = [temporaryDirectory(), temporaryDirectory()];
    const { watch, seen, count } = watching();
    await watch.follow([all(one), all(two)]);
    await watch.follow([all(two)]);
    const witness = watching();
    await witness.watch.follow([all(one)]);
    for (let round = 0; round < 20; round += 1) fs.writeFileSync(join(one, `unseen-${round}`), '');
    await vi.waitUntil(() => witness.count() >= 20, { timeout: 20_000, interval: 5 });
    fs.writeFileSync(join(two, 'seen'), '');
    await seen();
    expect(count()).toBeLessThan(5);
    expect(await watch.follow([all(one)])).toBe(true);
  });
});
