import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, renameSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Host, openHost } from '../../../src/host/host.ts';
import { lockDirectory } from '../../../src/host/lock.ts';
import { Problem } from '../../../src/host/problem.ts';
import { temporaryDirectory } from '../support/directories.ts';

/** The machine itself: no chroot is needed for its flock. */
const machine: Host = openHost('/');
const soonMs = 100;
const longMs = 20_000;

/** Another process that has the lock of a directory, through the very code that is tested. */
async function otherHolder(directory: string): Promise<ChildProcess> {
  const source = `
    import { openHost } from ${JSON.stringify(new URL('../../../src/host/host.ts', import.meta.url).href)};
    import { lockDirectory } from ${JSON.stringify(new URL('../../../src/host/lock.ts', import.meta.url).href)};
    await lockDirectory(openHost('/'), ${JSON.stringify(directory)}, 20000);
    process.stdout.write('locked');
    setInterval(() => undefined, 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  await new Promise((resolve, reject) => {
    child.stdout.once('data', resolve);
    child.once('exit', () => {
      reject(new Error('the other holder ended early'));
    });
  });
  return child;
}

describe('lockDirectory', () => {
  it('is had at once where nobody has it, again and again, and leaves nothing', async () => {
    const directory = temporaryDirectory();
    for (let round = 0; round < 3; round += 1) {
      const lock = await lockDirectory(machine, directory, longMs);
      lock.release();
    }
    expect(machine.entry(directory)).toBeUndefined();
  });

  it('leaves a directory in which something lies', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'record'), '');
    (await lockDirectory(machine, directory, longMs)).release();
    expect(machine.list(directory)).toEqual(['record']);
  });

  it.each([
    [
      'is not there',
      (directory: string) => {
        rmdirSync(directory);
      },
    ],
    [
      'is for all to read',
      (directory: string) => {
        chmodSync(directory, 0o755);
      },
    ],
  ])('is had by nobody who may not change the directory, when that %s', async (_, make) => {
    const directory = temporaryDirectory();
    make(directory);
    const lock = await lockDirectory(machine, directory, longMs);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    lock.release();
  });

  it('keeps another pass of this process out until it is released', async () => {
    const directory = temporaryDirectory();
    const first = await lockDirectory(machine, directory, longMs);
    const waiting = lockDirectory(machine, directory, longMs);
    await expect(lockDirectory(machine, directory, soonMs)).rejects.toThrow(Problem);
    first.release();
    (await waiting).release();
  });

  it('keeps another process out, and ends when that is killed', async () => {
    const directory = temporaryDirectory();
    const holder = await otherHolder(directory);
    await expect(lockDirectory(machine, directory, soonMs)).rejects.toThrow(/has been locked for .* by another pass/);
    const waiting = lockDirectory(machine, directory, longMs);
    holder.kill('SIGKILL');
    (await waiting).release();
  });

  it('stays with a command that inherited it until that ends too', async () => {
    const directory = temporaryDirectory();
    const [started, end] = [join(directory, 'started'), join(directory, 'end')];
    execFileSync('mkfifo', [end]);
    const lock = await lockDirectory(machine, directory, longMs);
    const refresh = machine.run('sh', ['-c', `: > ${started}; cat ${end}`], { descriptor: lock.descriptor });
    await vi.waitUntil(() => existsSync(started), { timeout: longMs });
    lock.release();
    await expect(lockDirectory(machine, directory, soonMs)).rejects.toThrow(Problem);
    const waiting = lockDirectory(machine, directory, longMs);
    await machine.run('sh', ['-c', `: > ${end}`]);
    await refresh;
    (await waiting).release();
  });

  it('does not keep the lock of another directory', async () => {
    const [one, two] = [temporaryDirectory(), temporaryDirectory()];
    const first = await lockDirectory(machine, one, longMs);
    (await lockDirectory(machine, two, longMs)).release();
    first.release();
  });

  it('names the directory and what to look for when it waited in vain', async () => {
    const directory = temporaryDirectory();
    const lock = await lockDirectory(machine, directory, longMs);
    await expect(lockDirectory(machine, directory, soonMs)).rejects.toThrow(
      new RegExp(`^${directory} on the host has been locked for \\d+ s by another pass; look for a hanging`),
    );
    lock.release();
  });

  it('is had on what has taken the place of a directory that was replaced while it was waited for', async () => {
    const directory = join(temporaryDirectory(), 'certs');
    mkdirSync(directory);
    const first = await lockDirectory(machine, directory, longMs);
    const waiting = lockDirectory(machine, directory, longMs);
    renameSync(directory, `${directory}.old`);
    mkdirSync(directory);
    first.release();
    const lock = await waiting;
    await expect(lockDirectory(machine, directory, soonMs)).rejects.toThrow(/has been locked for .* by another pass/);
    lock.release();
  });

  it('names a directory that cannot be made', async () => {
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    await expect(lockDirectory(machine, `${file}/directory`, soonMs)).rejects.toThrow(
      `cannot make ${file}/directory on the host`,
    );
  });

  it('says what flock said when it failed', async () => {
    const host: Host = {
      ...machine,
      run: () => Promise.resolve({ code: 69, output: 'flock: 3: No locks', timedOut: false }),
    };
    await expect(lockDirectory(host, temporaryDirectory(), soonMs)).rejects.toThrow(/flock said flock: 3: No locks$/);
  });
});
