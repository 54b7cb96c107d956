import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type CommandOptions, type CommandResult, runInRoot } from '../../../src/host/commands.ts';
import { Problem } from '../../../src/host/problem.ts';
import { temporaryDirectory } from '../support/directories.ts';
import { littleHost } from '../support/little-host.ts';

const sh = (script: string, options?: CommandOptions): Promise<CommandResult> =>
  runInRoot('/', 'sh', ['-c', script], options);

/** Whether a process is there and not a mere entry for its parent to read. */
function isAlive(pid: string): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Longer than a test waits for a command's mark: its time goes on meanwhile. */
const timeoutMs = 100_000;

interface HeldTime {
  /** A file that the command makes once it is ready for the end. */
  readonly mark: string;
  /** Lets its time be up, once it has made its mark and not before. */
  readonly timeIsUp: () => Promise<void>;
  /** After that, lets the time be up that it has to end by itself. */
  readonly graceIsUp: () => Promise<void>;
}

function holdTime(): HeldTime {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const mark = join(temporaryDirectory(), 'ready');
  return {
    mark,
    timeIsUp: async () => {
      await vi.waitUntil(() => existsSync(mark), { timeout: 20_000 });
      await vi.advanceTimersToNextTimerAsync();
    },
    graceIsUp: async () => {
      await vi.advanceTimersToNextTimerAsync();
    },
  };
}

describe('runInRoot', () => {
  it('gives the exit code and what was printed, errors too', async () => {
    const { code, output, timedOut } = await sh('echo one; echo two >&2; echo three; exit 7');
    expect([code, timedOut]).toEqual([7, false]);
    expect(output.split('\n').sort()).toEqual(['one', 'three', 'two']);
  });

  it('keeps the end of a long output', async () => {
    const { output } = await sh('i=0; while [ $i -lt 9000 ]; do echo "line $i"; i=$((i+1)); done; echo the end');
    expect(output.length).toBeLessThanOrEqual(16 * 1024);
    expect(output).toMatch(/line 8999\nthe end$/);
  });

  it('has an environment of its own, in which nothing of ours is', async () => {
    vi.stubEnv('SSL_CERT_FILE', '/somewhere/else');
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    const { output } = await runInRoot('/', 'env', []);
    expect(output.split('\n').sort()).toEqual([
      'DEBIAN_FRONTEND=noninteractive',
      'HOME=/root',
      'LC_ALL=C',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin',
    ]);
  });

  it('has its temporary files where it was told', async () => {
    expect(await sh('echo "$TMPDIR"', { temporary: '/var/tmp/own' })).toMatchObject({ output: '/var/tmp/own' });
  });

  it('reads what it is given, and nothing else', async () => {
    expect(await sh('cat', { input: 'one\ntwo\n' })).toMatchObject({ code: 0, output: 'one\ntwo' });
    expect(await sh('cat')).toMatchObject({ code: 0, output: '' });
  });

  it('may leave its input unread', async () => {
    expect(await sh('exit 0', { input: 'x'.repeat(1_000_000) })).toMatchObject({ code: 0 });
  });

  it('works in the root directory', async () => {
    expect(await sh('pwd')).toMatchObject({ output: '/' });
  });

  it('leads a process group of its own, so that Ctrl-C in a terminal does not reach it', async () => {
    const { output } = await sh('cut -d" " -f1,5 /proc/$$/stat');
    const [pid, group] = output.split(' ');
    expect(group).toBe(pid);
  });

  it('has no code when a signal ended it', async () => {
    expect(await sh('kill -9 $$')).toEqual({ code: undefined, output: '', timedOut: false });
  });

  it('inherits the lock as number 3, and no other file of ours', async () => {
    const path = join(temporaryDirectory(), 'lock');
    const descriptor = openSync(path, 'w');
    const list = 'for file in /proc/$$/fd/*; do readlink $file; done';
    const { output } = await sh(`readlink /proc/$$/fd/3; ${list}`, { descriptor });
    const without = await sh(list);
    closeSync(descriptor);
    expect(output.split('\n').filter((file) => file === path)).toEqual([path, path]);
    expect(output.split('\n')[0]).toBe(path);
    expect(without.output.split('\n')).not.toContain(path);
  });

  it('names a command that does not exist', async () => {
    const running = runInRoot('/', 'no-such-command', []);
    await expect(running).rejects.toThrow(Problem);
    await expect(running).rejects.toThrow(/^cannot run no-such-command on the host: no such file or directory/);
  });

  it('asks a command to end when its time is up', async () => {
    const { mark, timeIsUp } = holdTime();
    const running = sh(`trap "echo bye; exit 5" TERM; echo started; : > ${mark}; while :; do sleep 0.01; done`, {
      timeoutMs,
    });
    await timeIsUp();
    expect(await running).toMatchObject({
      code: 5,
      timedOut: true,
      output: expect.stringMatching(/^started[^]*bye$/) as unknown,
    });
  });

  it('asks its children to end too', async () => {
    const { mark, timeIsUp } = holdTime();
    const running = sh(`sleep 1000 & echo $!; : > ${mark}; wait`, { timeoutMs });
    await timeIsUp();
    const { output, timedOut } = await running;
    expect(timedOut).toBe(true);
    expect(isAlive(output.split('\n')[0] ?? '')).toBe(false);
  });

  it('kills the whole group when it does not end', async () => {
    const { mark, timeIsUp, graceIsUp } = holdTime();
    const running = sh(
      `trap "" TERM; (trap "" TERM; while :; do sleep 1000; done) & echo $!; : > ${mark}; wait; sleep 1000`,
      { timeoutMs },
    );
    await timeIsUp();
    await graceIsUp();
    const { code, output, timedOut } = await running;
    expect([code, timedOut]).toEqual([undefined, true]);
    expect(isAlive(output.split('\n')[0] ?? '')).toBe(false);
  });

  it('leaves nothing behind that keeps the program from ending', () => {
    const module = JSON.stringify(new URL('../../../src/host/commands.ts', import.meta.url).href);
    const script = `await (await import(${module})).runInRoot('/', 'true', [])`;
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 20_000 });
  });

  it('does not wait for a daemon that a hook has started, and that holds the output open', async () => {
    const { code, output } = await sh('setsid sleep 20 & echo $!; exit 0', { timeoutMs: 500 });
    const [pid = ''] = output.split('\n');
    onTestFinished(() => {
      execFileSync('sh', ['-c', `kill ${pid} || true`], { stdio: 'ignore' });
    });
    expect([code, isAlive(pid)]).toEqual([0, true]);
  }, 5_000);
});

describe.skipIf(process.getuid?.() !== 0)('runInRoot in another root', () => {
  it('sees that root alone', async () => {
    const { root } = littleHost();
    expect(await runInRoot(root, 'sh', ['-c', 'pwd; cat /etc/os-release'])).toMatchObject({
      code: 0,
      output: expect.stringMatching(/^\/\nID=debian/) as unknown,
    });
  });

  it('says when the command is not there', async () => {
    expect(await runInRoot(littleHost().root, 'no-such-command', [])).toMatchObject({
      code: 127,
      output: expect.stringContaining('no-such-command') as unknown,
    });
  });
});
