/** What is written where others than root can write: none of them leads root's hand, however fast it is. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, expect, it } from 'vitest';
import type { Host } from '../../../src/host/host.ts';
import { leaveOut } from '../../sandbox/harness/leave-out.ts';
import { emptyHost } from '../support/directories.ts';

/** A host in which everybody can write to /usr, and with a directory that only root can enter. */
function openToAll(context: TestContext): Host {
  const map = fs.readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
  if (Number(map[2]) < 65_536) leaveOut(context, 'this user namespace has one user only');
  const host = emptyHost();
  for (const path of ['', 'usr']) fs.chmodSync(join(host.root, path), 0o777);
  fs.mkdirSync(join(host.root, 'usr/certs'));
  fs.mkdirSync(join(host.root, 'etc/root'), { mode: 0o700 });
  fs.writeFileSync(join(host.root, 'etc/root/ca.crt'), 'of root');
  return host;
}

const operations: readonly ((host: Host) => unknown)[] = [
  (host) => {
    host.write('/usr/certs/new.crt', 'x');
  },
  (host) => {
    host.write('/usr/certs/ca.crt', 'x');
  },
  (host) => {
    host.makeLink('/usr/certs/ca.crt', 'x');
  },
  (host) => host.remove('/usr/certs/ca.crt'),
  (host) => {
    host.makeDirectory('/usr/certs/below/it');
  },
  (host) => host.removeDirectory('/usr/certs/empty'),
  (host) => {
    host.publish('/usr/certs/ca.crt', '/usr/moved');
  },
];

/** What there is where a link leads. */
function rootsOwn({ root }: Host): readonly unknown[] {
  const directory = join(root, 'etc/root');
  const { mode } = fs.statSync(directory);
  return [mode & 0o777, fs.readdirSync(directory), fs.readFileSync(join(directory, 'ca.crt'), 'utf8')];
}

const untouched = [0o700, ['ca.crt'], 'of root'];

describe('a link of another user', () => {
  it('is not followed to write, and is named', (context) => {
    const host = openToAll(context);
    fs.rmdirSync(join(host.root, 'usr/certs'));
    fs.symlinkSync('/etc/root', join(host.root, 'usr/certs'));
    fs.lchownSync(join(host.root, 'usr/certs'), 1000, 1000);
    for (const operation of operations) {
      expect(() => operation(host)).toThrow(/usr\/certs is a link of user 1000's, and root writes nothing where it/);
    }
    expect(rootsOwn(host)).toEqual(untouched);
  });

  it('is followed to read, and one of root’s to write too', (context) => {
    const host = openToAll(context);
    fs.symlinkSync('/etc/root', join(host.root, 'usr/link'));
    fs.lchownSync(join(host.root, 'usr/link'), 1000, 1000);
    expect(host.read('/usr/link/ca.crt')?.toString()).toBe('of root');
    fs.lchownSync(join(host.root, 'usr/link'), 0, 0);
    host.write('/usr/link/new.crt', 'x');
    expect(host.list('/etc/root')).toEqual(['ca.crt', 'new.crt']);
  });
});

/** Swaps a directory for a link and back, as fast as the kernel lets it, until its standard input ends. */
const swapper = `
  const fs = require('fs');
  process.setgroups([]); process.setgid(1000); process.setuid(1000);
  fs.symlinkSync('../etc/root', 'link');
  process.stdin.on('end', () => process.exit()).resume();
  let count = 0;
  const moves = (from, to) => { try { fs.renameSync(from, to); return true; } catch { return false; } };
  const turn = () => {
    for (let n = 0; n < 500; n += 1) {
      // Root may have made the directory anew meanwhile.
      moves('certs', 'mine') || moves('certs', 'other' + (count += 1));
      if (moves('link', 'certs')) moves('certs', 'link');
      moves('mine', 'certs');
    }
    setImmediate(turn);
  };
  console.log('begins');
  turn();`;

it('a directory that another swaps for a link in a tight loop: in 7,000 attempts nothing is written where it leads', async (context) => {
  const host = openToAll(context);
  const child = spawn(process.execPath, ['--eval', swapper], {
    cwd: join(host.root, 'usr'),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  let done = 0;
  for (let round = 0; round < 1_000; round += 1) {
    for (const operation of operations) {
      try {
        operation(host);
        done += 1;
      } catch {
        // Refused: the next pass finds the directory there, or not.
      }
    }
    expect(rootsOwn(host)).toEqual(untouched);
    // The paths of one turn are remembered.
    await Promise.resolve();
  }
  child.stdin.end();
  expect(await ended).toEqual([0, null]);
  expect(done).toBeGreaterThan(100);
});
