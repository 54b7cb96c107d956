import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openHost } from '../../../src/host/host.ts';
import { Problem, UsageProblem } from '../../../src/host/problem.ts';
import { emptyHost, temporaryDirectory } from '../support/directories.ts';
import { diskSteps } from '../support/disk-steps.ts';

/** For the rest of this test, with the umask of a hardened machine. */
function strictUmask(): void {
  const before = process.umask(0o077);
  onTestFinished(() => {
    process.umask(before);
  });
}

describe('openHost', () => {
  it('names a directory that is not there', () => {
    expect(() => openHost('/no/such/root')).toThrow(UsageProblem);
    expect(() => openHost('/no/such/root')).toThrow(/--host-root \/no\/such\/root: no such directory; mount/);
  });

  it.each([
    [
      'an empty directory',
      (path: string): void => {
        fs.mkdirSync(path);
      },
    ],
    [
      'a file',
      (path: string): void => {
        fs.writeFileSync(path, '');
      },
    ],
  ])('refuses %s', (_, make) => {
    const root = join(temporaryDirectory(), 'root');
    make(root);
    expect(() => openHost(root)).toThrow(UsageProblem);
    expect(() => openHost(root)).toThrow(/not a root file system/);
  });
});

describe('reading', () => {
  it('gives the bytes of a file, links followed inside the root', () => {
    const host = emptyHost();
    fs.writeFileSync(join(host.root, 'etc/file'), 'here');
    fs.symlinkSync('/etc/file', join(host.root, 'usr/link'));
    expect(host.read('/usr/link')?.toString()).toBe('here');
  });

  it('never reads outside of the root', () => {
    const host = emptyHost();
    fs.writeFileSync(join(host.root, '../secret-of-another'), 'no');
    onTestFinished(() => {
      fs.rmSync(join(host.root, '../secret-of-another'));
    });
    fs.symlinkSync('../../secret-of-another', join(host.root, 'etc/climbing'));
    expect(host.read('/etc/climbing')).toBeUndefined();
    expect(host.read('/../secret-of-another')).toBeUndefined();
  });

  it.each(['/etc/none', '/etc/file/below', '/none/at/all'])('finds nothing at %s', (path) => {
    const host = emptyHost();
    fs.writeFileSync(join(host.root, 'etc/file'), '');
    expect([host.read(path), host.list(path), host.entry(path), host.target(path), host.link(path)]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('refuses a FIFO at once', () => {
    const host = emptyHost();
    execFileSync('mkfifo', [join(host.root, 'etc/fifo')]);
    expect(() => host.read('/etc/fifo')).toThrow(Problem);
    expect(() => host.read('/etc/fifo')).toThrow(/\/etc\/fifo is not a regular file; remove it/);
    expect(host.entry('/etc/fifo')?.kind).toBe('other');
  });

  it('refuses a device at once', () => {
    expect(() => openHost('/').read('/dev/zero')).toThrow(/\/dev\/zero is not a regular file/);
  });

  it('opens nothing else than a file: to open a device may be to use it', async () => {
    const host = emptyHost();
    // No socket can be opened, so whoever tries hears of that.
    const server = createServer().listen(join(host.root, 'etc/socket'));
    await once(server, 'listening');
    onTestFinished(() => {
      server.close();
    });
    expect(() => host.read('/etc/socket')).toThrow(/\/etc\/socket is not a regular file; remove it/);
  });

  it('refuses a directory, and names it', () => {
    expect(() => emptyHost().read('/etc')).toThrow(/\/etc is not a regular file/);
  });

  it('refuses what is larger than any bundle', () => {
    const host = emptyHost();
    fs.writeFileSync(join(host.root, 'etc/huge'), '');
    fs.truncateSync(join(host.root, 'etc/huge'), 2 ** 40);
    expect(() => host.read('/etc/huge')).toThrow(/\/etc\/huge is larger than \d+ bytes/);
  });

  it('lists a directory in order', () => {
    const host = emptyHost();
    for (const name of ['b', 'a', 'C']) fs.writeFileSync(join(host.root, 'etc', name), '');
    expect(host.list('/etc')).toEqual(['C', 'a', 'b']);
  });

  it('tells a link from what it leads to', () => {
    const host = emptyHost();
    fs.symlinkSync('../usr', join(host.root, 'etc/link'));
    expect(host.entry('/etc/link')?.kind).toBe('link');
    expect(host.target('/etc/link')?.kind).toBe('directory');
    expect(host.link('/etc/link')).toBe('../usr');
    expect(host.link('/etc')).toBeUndefined();
  });

  it('sees a link that dangles, and that it leads nowhere', () => {
    const host = emptyHost();
    fs.symlinkSync('nowhere', join(host.root, 'etc/link'));
    expect([host.entry('/etc/link')?.kind, host.target('/etc/link')]).toEqual(['link', undefined]);
  });

  it.each(['read', 'list'] as const)('%s names a circle of links, which leads nowhere', (operation) => {
    const host = emptyHost();
    fs.symlinkSync('/etc/two', join(host.root, 'etc/one'));
    fs.symlinkSync('/etc/one', join(host.root, 'etc/two'));
    expect(() => host[operation]('/etc/one')).toThrow(/\/etc\/one on the host: too many symbolic links/);
    expect([host.entry('/etc/one')?.kind, host.target('/etc/one')]).toEqual(['link', undefined]);
  });

  it('ends with a file of the kernel that has no end', () => {
    // It does not say its size, and goes on for as long as anyone reads.
    expect(() => openHost('/').read('/proc/self/pagemap')).toThrow(/is larger than \d+ bytes/);
  });

  it.each(['read', 'list', 'entry', 'target', 'link'] as const)(
    '%s tells of a path that the system refuses, as a Problem that names it',
    (operation) => {
      const path = `/etc/${'x'.repeat(300)}/y`;
      expect(() => emptyHost()[operation](path)).toThrow(Problem);
      expect(() => emptyHost()[operation](path)).toThrow(path);
    },
  );
});

describe('a look at once', () => {
  it('asks for each place once, and anew when it is over', () => {
    const host = emptyHost();
    const [file, none] = ['/etc/file', '/etc/none'];
    fs.writeFileSync(join(host.root, file), '');
    const sizes = (): unknown[] => [host.target(file)?.size, host.target(none)?.size, host.list('/etc')];
    const before = sizes();
    const during = host.atOnce(() => {
      const first = sizes();
      fs.writeFileSync(join(host.root, file), 'more');
      fs.writeFileSync(join(host.root, none), 'new');
      return [first, sizes(), host.atOnce(sizes)];
    });
    expect(during).toEqual([before, before, before]);
    expect(sizes()).toEqual([4, 3, ['file', 'none']]);
  });

  it('does not follow a link that takes the place of a file meanwhile', () => {
    const host = emptyHost();
    const outside = join(temporaryDirectory(), 'outside');
    fs.writeFileSync(outside, 'no');
    fs.writeFileSync(join(host.root, 'etc/file'), '');
    const read = (): Buffer | undefined =>
      host.atOnce(() => {
        host.target('/etc/file');
        fs.rmSync(join(host.root, 'etc/file'));
        fs.symlinkSync(outside, join(host.root, 'etc/file'));
        return host.read('/etc/file');
      });
    expect(read).toThrow(/\/etc\/file is not a regular file/);
    expect(host.read('/etc/file')).toBeUndefined();
  });
});

describe('an entry', () => {
  it('keeps its identity when it is written to, and changes its version', () => {
    const host = emptyHost();
    host.write('/etc/file', 'one');
    const before = host.entry('/etc/file');
    fs.writeFileSync(join(host.root, 'etc/file'), 'other');
    const now = host.entry('/etc/file');
    expect(now?.identity).toBe(before?.identity);
    expect(now?.version).not.toBe(before?.version);
    expect([now?.kind, now?.size]).toEqual(['file', 5]);
  });

  it('has another identity when the file was replaced', () => {
    const host = emptyHost();
    host.write('/etc/file', 'same');
    const before = host.entry('/etc/file');
    host.write('/etc/file', 'same');
    expect(host.entry('/etc/file')?.identity).not.toBe(before?.identity);
    expect(host.entry('/etc/file')?.inode).not.toBe(before?.inode);
  });

  it('says when it was modified', () => {
    const host = emptyHost();
    host.write('/etc/file', 'x');
    fs.utimesSync(join(host.root, 'etc/file'), 1000, 1234);
    expect(host.entry('/etc/file')?.modified).toBe(1_234_000);
  });
});

describe('makeLink', () => {
  it('makes a link, and lets it point elsewhere, with nothing left beside it', () => {
    const host = emptyHost();
    host.makeLink('/etc/link', '/usr/one');
    host.makeLink('/etc/link', '/usr/two');
    expect([host.link('/etc/link'), host.list('/etc')]).toEqual(['/usr/two', ['link']]);
  });

  it('leaves nothing behind when it fails', () => {
    const host = emptyHost();
    fs.mkdirSync(join(host.root, 'etc/link'));
    expect(() => {
      host.makeLink('/etc/link', '/usr/one');
    }).toThrow(/cannot make the link \/etc\/link on the host/);
    expect(host.list('/etc')).toEqual(['link']);
  });
});

describe('write', () => {
  it('puts a whole file in place of another, readable by all whatever the umask', () => {
    strictUmask();
    const host = emptyHost();
    host.write('/etc/file', 'one');
    host.write('/etc/file', Buffer.from('two'), { durable: true });
    expect(host.read('/etc/file')?.toString()).toBe('two');
    expect(fs.statSync(join(host.root, 'etc/file')).mode & 0o777).toBe(0o644);
    expect(host.list('/etc')).toEqual(['file']);
  });

  it('has the content on the disk before it gets the name, where that was asked for', () => {
    const host = emptyHost();
    const steps = diskSteps();
    host.write('/etc/file', 'x', { durable: true });
    const temporary = expect.stringMatching(/^sync etc\/\.file\.[0-9a-f]{8}\.tmp$/) as unknown;
    expect(steps).toEqual([temporary, expect.stringMatching(/^rename etc\/\.file\..*\.tmp etc\/file$/)]);
  });

  it('gives the rights that were asked for', () => {
    const host = emptyHost();
    const [user, group] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
    host.write('/etc/file', 'x', { rights: { mode: 0o600, user, group } });
    expect(host.entry('/etc/file')?.rights).toEqual({ mode: 0o600, user, group });
  });

  it('lets a reader of the old file read it to its end', () => {
    const host = emptyHost();
    host.write('/etc/file', 'the old one');
    const reader = fs.openSync(join(host.root, 'etc/file'), 'r');
    host.write('/etc/file', 'new');
    expect(fs.readFileSync(reader, 'utf8')).toBe('the old one');
    fs.closeSync(reader);
  });

  it('replaces a link, and not what it leads to', () => {
    const host = emptyHost();
    fs.writeFileSync(join(host.root, 'usr/other'), 'of another');
    fs.symlinkSync('/usr/other', join(host.root, 'etc/file'));
    host.write('/etc/file', 'ours');
    expect(host.read('/usr/other')?.toString()).toBe('of another');
    expect(host.entry('/etc/file')?.kind).toBe('file');
  });

  it('leaves nothing behind when it fails', () => {
    const host = emptyHost();
    fs.mkdirSync(join(host.root, 'etc/file/full'), { recursive: true });
    expect(() => {
      host.write('/etc/file', 'x');
    }).toThrow(/^cannot write \/etc\/file on the host: it is a directory; move it away \(EISDIR\)$/);
    expect(host.list('/etc')).toEqual(['file']);
    expect(host.list('/etc/file')).toEqual(['full']);
  });

  it('says when there is no directory for it', () => {
    expect(() => {
      emptyHost().write('/etc/none/file', 'x');
    }).toThrow('cannot write /etc/none/file on the host: no such file or directory (ENOENT)');
  });

  it('says where the system refuses it', () => {
    expect(() => {
      openHost('/').write('/proc/node-ca-trust', 'x');
    }).toThrow(/^cannot write \/proc\/node-ca-trust on the host: /);
  });
});

describe('publish', () => {
  it('moves a file over another in one step', () => {
    const host = emptyHost();
    host.write('/etc/old', 'old');
    host.write('/usr/new', 'new');
    host.publish('/usr/new', '/etc/old');
    expect([host.read('/etc/old')?.toString(), host.entry('/usr/new')]).toEqual(['new', undefined]);
  });

  it('has the content on the disk before it gets the name, and then the name', () => {
    const host = emptyHost();
    host.write('/usr/new', 'new');
    const steps = diskSteps();
    host.publish('/usr/new', '/etc/old');
    const root = basename(host.root);
    expect(steps).toEqual(['sync usr/new', 'rename usr/new etc/old', `sync ${root}/etc`]);
  });

  it('names both when it fails', () => {
    expect(() => {
      emptyHost().publish('/etc/new', '/etc/old');
    }).toThrow(/cannot put \/etc\/new in the place of \/etc\/old on the host: no such file/);
  });
});

describe('remove', () => {
  it('takes off a file or a link, and says whether it was there', () => {
    const host = emptyHost();
    host.write('/usr/file', 'x');
    fs.symlinkSync('/usr/file', join(host.root, 'etc/link'));
    expect([host.remove('/etc/link'), host.remove('/etc/link')]).toEqual([true, false]);
    expect(host.entry('/usr/file')?.kind).toBe('file');
  });

  it('does not take off a directory', () => {
    expect(() => emptyHost().remove('/etc')).toThrow(/^cannot remove \/etc on the host: /);
  });
});

describe('directories', () => {
  it('are made with their parents', () => {
    const host = emptyHost();
    host.makeDirectory('/etc/a/b/c');
    host.makeDirectory('/etc/a/b/c');
    expect(host.list('/etc/a/b')).toEqual(['c']);
  });

  it('are made where a link leads', () => {
    const host = emptyHost();
    fs.symlinkSync('/usr/share', join(host.root, 'etc/link'));
    host.makeDirectory('/etc/link/certs');
    expect(host.list('/usr/share')).toEqual(['certs']);
  });

  it('can be read by every user, whatever the umask', () => {
    strictUmask();
    const host = emptyHost();
    host.makeDirectory('/usr/local/share/ca-certificates');
    for (const path of ['usr/local', 'usr/local/share', 'usr/local/share/ca-certificates']) {
      expect(fs.statSync(join(host.root, path)).mode & 0o777, path).toBe(0o755);
    }
  });

  it('cannot be made where a file is', () => {
    const host = emptyHost();
    host.write('/etc/file', 'x');
    expect(() => {
      host.makeDirectory('/etc/file/below');
    }).toThrow(/^cannot make \/etc\/file\/below on the host: /);
  });

  it('are removed when they are empty, and only then', () => {
    const host = emptyHost();
    host.makeDirectory('/etc/a/b');
    expect(['/etc/a', '/etc/a/b', '/etc/a/b'].map((path) => host.removeDirectory(path))).toEqual([false, true, false]);
    host.write('/etc/file', 'x');
    expect([host.removeDirectory('/etc/file'), host.removeDirectory('/etc/file/below')]).toEqual([false, false]);
    expect(host.list('/etc')).toContain('file');
  });

  it('can be opened to hold a lock on', () => {
    const host = emptyHost();
    const descriptor = host.openDirectory('/etc');
    expect(fs.fstatSync(descriptor).isDirectory()).toBe(true);
    fs.closeSync(descriptor);
    host.write('/etc/file', 'x');
    expect(() => host.openDirectory('/etc/file')).toThrow(/cannot open \/etc\/file on the host: /);
  });
});
