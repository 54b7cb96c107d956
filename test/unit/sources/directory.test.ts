import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readBundle } from '../../../src/bundle/bundle.ts';
import type { Reading } from '../../../src/bundle/types.ts';
import { readSource } from '../../../src/sources/directory.ts';
import { leaveOut } from '../../sandbox/harness/leave-out.ts';
import { rules } from '../bundle/read.ts';
import { temporaryDirectory } from '../support/directories.ts';

const texts = ({ files }: Reading): Readonly<Record<string, string>> =>
  Object.fromEntries(files.map(({ source, bytes }) => [source, Buffer.from(bytes).toString()]));

/** Findings in short: "unreadable /bundle/x". */
const codes = ({ findings }: Reading): readonly string[] =>
  findings.map(({ code, severity, source }) => `${severity} ${code} ${source}`);

function directoryWith(files: Readonly<Record<string, string>>): string {
  const directory = temporaryDirectory();
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(join(directory, name, '..'), { recursive: true });
    fs.writeFileSync(join(directory, name), text);
  }
  return directory;
}

/** A Secret with these keys, mounted as the kubelet does it. */
function mounted(keys: Readonly<Record<string, string>>): string {
  const directory = directoryWith(
    Object.fromEntries(Object.entries(keys).map(([key, text]) => [`..2026_01_01/${key}`, text])),
  );
  fs.symlinkSync('..2026_01_01', join(directory, '..data'));
  for (const name of new Set(Object.keys(keys).map((key) => key.split('/', 1)[0] ?? key))) {
    fs.symlinkSync(join('..data', name), join(directory, name));
  }
  return directory;
}

describe('a directory', () => {
  it('yields its files under the names that the admin knows', () => {
    const directory = directoryWith({ 'b.crt': 'B', 'a.pem': 'A', 'no extension': 'C' });
    const reading = readSource(directory);
    expect(texts(reading)).toEqual({
      [`${directory}/a.pem`]: 'A',
      [`${directory}/b.crt`]: 'B',
      [`${directory}/no extension`]: 'C',
    });
    expect(reading.findings).toEqual([]);
  });

  it('may be empty', () => {
    expect(readSource(temporaryDirectory())).toEqual({ files: [], findings: [] });
  });

  it.each(['/', '//'])('is the same with %s at its end', (slashes) => {
    const directory = directoryWith({ 'a.crt': 'A' });
    expect(readSource(directory + slashes)).toEqual(readSource(directory));
  });

  it('may hold directories, and links within itself', () => {
    const directory = directoryWith({ 'deep/down/a.crt': 'A' });
    fs.symlinkSync('deep/down/a.crt', join(directory, 'link.crt'));
    expect(texts(readSource(directory))).toEqual({
      [`${directory}/deep/down/a.crt`]: 'A',
      [`${directory}/link.crt`]: 'A',
    });
  });

  it('may be a link itself', () => {
    const directory = directoryWith({ 'a.crt': 'A' });
    const link = join(temporaryDirectory(), 'link');
    fs.symlinkSync(directory, link);
    expect(texts(readSource(link))).toEqual({ [`${link}/a.crt`]: 'A' });
  });

  it.each([
    ['a FIFO', (path: string): unknown => execFileSync('mkfifo', [path]), /FIFO.*remove it/],
    [
      'a link to a file outside',
      (path: string) => {
        fs.symlinkSync('/etc/hostname', path);
      },
      /link out of the bundle/,
    ],
    [
      'a link to a directory outside',
      (path: string) => {
        fs.symlinkSync('/etc', path);
      },
      /link out of the bundle/,
    ],
    [
      'a link to a device',
      (path: string) => {
        fs.symlinkSync('/dev/zero', path);
      },
      /link out of the bundle/,
    ],
    [
      'a link that dangles',
      (path: string) => {
        fs.symlinkSync('nowhere', path);
      },
      /no such file/,
    ],
    [
      'a circle of links',
      (path: string) => {
        fs.symlinkSync('odd', path);
      },
      /too many symbolic links/,
    ],
  ])('names %s, and reads the rest', (_, plant, message) => {
    const directory = directoryWith({ 'a.crt': 'A', 'z.crt': 'Z' });
    plant(join(directory, 'odd'));
    const reading = readSource(directory);
    expect(Object.values(texts(reading))).toEqual(['A', 'Z']);
    expect(codes(reading)).toEqual([`error unreadable ${directory}/odd`]);
    expect(reading.findings[0]?.message).toMatch(message);
  });

  it('names a socket', async () => {
    const directory = temporaryDirectory();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(directory, 'socket'), resolve));
    onTestFinished(() => {
      server.close();
    });
    expect(readSource(directory).findings[0]?.message).toMatch(/a socket; remove it/);
  });

  it.skipIf(process.getuid?.() !== 0)('names a device', (context) => {
    const directory = temporaryDirectory();
    try {
      execFileSync('mknod', [join(directory, 'zero'), 'c', '1', '5'], { stdio: 'ignore' });
    } catch {
      leaveOut(context, 'devices cannot be made here');
    }
    expect(readSource(directory).findings[0]?.message).toMatch(/a device; remove it/);
  });

  it('does not read a file that is too large, and says how large it is', () => {
    const directory = directoryWith({ 'a.crt': 'A', 'huge.crt': '' });
    fs.truncateSync(join(directory, 'huge.crt'), 100 * 1024 * 1024);
    const reading = readSource(directory);
    expect(Object.values(texts(reading))).toEqual(['A']);
    expect(codes(reading)).toEqual([`error too-large ${directory}/huge.crt`]);
    expect(reading.findings[0]?.message).toMatch(/^104857600 bytes.*1048576 at most; split it$/);
  });

  it('reads a file of just the size that is allowed', () => {
    const directory = directoryWith({ 'full.crt': 'x'.repeat(1024 * 1024) });
    expect(readSource(directory)).toMatchObject({ files: [{ source: `${directory}/full.crt` }], findings: [] });
  });

  it('does not take in more than all sources together may have', () => {
    const directory = temporaryDirectory();
    for (let index = 0; index < 24; index += 1) {
      fs.writeFileSync(join(directory, `${index}.crt`), '');
      fs.truncateSync(join(directory, `${index}.crt`), 1024 * 1024);
    }
    const size = readSource(directory).files.reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(size).toBeLessThanOrEqual(6 * 1024 * 1024);
  });

  it('does not take in more files than a bundle may have, wherever they lie, so that the bundle is refused', () => {
    const names = Array.from({ length: 600 }, (_, index) => `${index}.crt`);
    const directory = directoryWith(
      Object.fromEntries(
        names.flatMap((name) => [
          [`a/${name}`, ''],
          [`b/${name}`, ''],
        ]),
      ),
    );
    const reading = readSource(directory);
    expect(reading.files.length).toBe(1_000);
    expect(codes(reading)).toEqual([`error too-many ${directory}`]);
    expect(readBundle([reading], rules)).toMatchObject({ anchors: [], findings: [{ code: 'too-many' }] });
  });

  it('ends soon when directories lead back to themselves', () => {
    const directory = directoryWith({ 'a.crt': 'A' });
    for (let index = 0; index < 8; index += 1) fs.symlinkSync('.', join(directory, `loop-${index}`));
    const { files, findings } = readSource(directory);
    expect(files.length + findings.length).toBeLessThan(100);
  });

  it('names directories that are nested too deep', () => {
    const directory = directoryWith({ 'a/b/c/d/e/f.crt': 'F', 'a/b/c/d/d.crt': 'D' });
    const reading = readSource(directory);
    expect(Object.values(texts(reading))).toEqual(['D']);
    expect(codes(reading)).toEqual([`error unreadable ${directory}/a/b/c/d/e`]);
  });

  it('lets no control character of a name into a finding', () => {
    const directory = directoryWith({ 'a.crt': 'A' });
    fs.symlinkSync('nowhere', join(directory, 'evil\u001b[31m\nname'));
    const [finding] = readSource(directory).findings;
    // eslint-disable-next-line no-control-regex
    expect(`${finding?.source ?? ''}${finding?.message ?? ''}`).not.toMatch(/[\u0000-\u001f]/);
  });
});

describe('a mounted Secret', () => {
  it('yields each key once, under its own name', () => {
    const directory = mounted({ 'ca.crt': 'A', 'other.pem': 'B' });
    expect(readSource(directory)).toEqual({
      files: [
        { source: `${directory}/ca.crt`, bytes: Buffer.from('A') },
        { source: `${directory}/other.pem`, bytes: Buffer.from('B') },
      ],
      findings: [],
    });
  });

  it('is empty when the Secret is', () => {
    expect(readSource(mounted({}))).toMatchObject({ files: [] });
  });

  it('may project directories', () => {
    const directory = mounted({ 'team-a/ca.crt': 'A' });
    expect(texts(readSource(directory))).toEqual({ [`${directory}/team-a/ca.crt`]: 'A' });
  });

  it('is read as of one moment, however often the kubelet swaps it meanwhile', async () => {
    const directory = temporaryDirectory();
    const stop = new Int32Array(new SharedArrayBuffer(4));
    // As the kubelet's atomic writer: the new version whole, the link over the old one, then the old version goes.
    const kubelet = new Worker(
      `
      const fs = require('node:fs');
      const { workerData: { directory, stop }, parentPort } = require('node:worker_threads');
      for (let version = 1; Atomics.load(stop, 0) === 0; version += 1) {
        const own = directory + '/..' + version;
        fs.mkdirSync(own);
        for (let key = 0; key < 8; key += 1) fs.writeFileSync(own + '/' + key + '.crt', String(version));
        fs.symlinkSync('..' + version, directory + '/..data_tmp');
        fs.renameSync(directory + '/..data_tmp', directory + '/..data');
        fs.rmSync(directory + '/..' + (version - 1), { recursive: true, force: true });
        if (version === 1) parentPort.postMessage('mounted');
        Atomics.wait(stop, 0, 0, 2);
      }
      `,
      { eval: true, workerData: { directory, stop } },
    );
    await new Promise((resolve) => kubelet.once('message', resolve));
    const versions = new Set<string>();
    const wrong: Reading[] = [];
    for (let round = 0; round < 2_000; round += 1) {
      const reading = readSource(directory);
      const found = new Set(Object.values(texts(reading)));
      if (found.size !== 1 || reading.files.length !== 8 || reading.findings.length > 0) wrong.push(reading);
      for (const version of found) versions.add(version);
    }
    Atomics.store(stop, 0, 1);
    Atomics.notify(stop, 0);
    await new Promise((resolve) => kubelet.once('exit', resolve));
    expect(versions.size).toBeGreaterThan(10);
    expect(wrong.map(codes)).toEqual([]);
  });
});

describe('a file', () => {
  it('is a bundle too', () => {
    const directory = directoryWith({ 'ca.crt': 'A' });
    expect(texts(readSource(join(directory, 'ca.crt')))).toEqual({ [`${directory}/ca.crt`]: 'A' });
  });

  it('may be a link, wherever it leads', () => {
    const directory = directoryWith({ 'ca.crt': 'A' });
    const link = join(temporaryDirectory(), 'link.crt');
    fs.symlinkSync(join(directory, 'ca.crt'), link);
    expect(texts(readSource(link))).toEqual({ [link]: 'A' });
  });

  it('says that it is not there, and what to do', () => {
    expect(readSource('/no/such/bundle')).toEqual({
      files: [],
      findings: [
        {
          code: 'unreadable',
          severity: 'error',
          source: '/no/such/bundle',
          message: 'no such file or directory; mount the bundle there',
        },
      ],
    });
  });

  it.each([
    ['a FIFO', (path: string): unknown => execFileSync('mkfifo', [path]), /FIFO, not a file/],
    [
      'a circle of links',
      (path: string) => {
        fs.symlinkSync(path, path);
      },
      /too many symbolic links/,
    ],
  ])('may turn out to be %s, which is said', (_, plant, message) => {
    const path = join(temporaryDirectory(), 'odd');
    plant(path);
    const reading = readSource(path);
    expect(codes(reading)).toEqual([`error unreadable ${path}`]);
    expect(reading.findings[0]?.message).toMatch(message);
  });

  it('may turn out to be endless', () => {
    expect(codes(readSource('/dev/zero'))).toEqual(['error unreadable /dev/zero']);
  });

  it.skipIf(process.getuid?.() === 0)('may be one that we must not read', () => {
    const directory = directoryWith({ 'ca.crt': 'A' });
    fs.chmodSync(join(directory, 'ca.crt'), 0);
    expect(readSource(directory).findings[0]?.message).toMatch(/permission denied/);
  });
});
