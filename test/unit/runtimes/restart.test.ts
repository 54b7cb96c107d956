import { rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/host/clock.ts';
import type { CommandResult } from '../../../src/host/commands.ts';
import type { Host } from '../../../src/host/host.ts';
import { Problem } from '../../../src/host/problem.ts';
import { type RestartCase, decideRestart, longestJitterMs, restartUnit } from '../../../src/runtimes/restart.ts';
import { emptyHost } from '../support/directories.ts';
import { putProcess } from '../support/proc-tree.ts';

const at = (seconds: number, boot = 'this'): { boot: string; seconds: number } => ({ boot, seconds });

/** A restart that is due: the runtime is older than a change of an hour ago, and nothing else has happened. */
const due: RestartCase = {
  started: 10,
  changed: at(10_000),
  agentStarted: 20,
  record: { failed: false },
  jitterMs: 0,
  now: at(13_600),
};

describe('a restart', () => {
  it('is made when the runtime is older than the change', () => {
    expect(decideRestart(due)).toBe('now');
  });

  it.each([
    ['the runtime was started after the change', { started: 10_000.01 }],
    ['the change was made before the last boot', { changed: at(13_000, 'another') }],
    ['trust never changed', { changed: undefined }],
  ])('is not needed when %s', (_, change) => {
    expect(decideRestart({ ...due, ...change })).toBe('not-needed');
  });

  it('is needed when the runtime was started in the moment of the change', () => {
    expect(decideRestart({ ...due, started: 10_000 })).toBe('now');
  });

  it('is never made again once a runtime did not come back, until another start has made it needless', () => {
    const record = { last: at(20, 'another'), failed: true };
    expect(decideRestart({ ...due, record })).toBe('never');
    expect(decideRestart({ ...due, record, agentStarted: undefined })).toBe('never');
    expect(decideRestart({ ...due, record, started: 10_001 })).toBe('not-needed');
  });

  it('waits until 30 s after the last change', () => {
    expect(decideRestart({ ...due, now: at(10_012.5) })).toEqual({ wait: 17_500 });
    expect(decideRestart({ ...due, now: at(10_030) })).toBe('now');
  });

  it("waits until a minute after the agent's own start", () => {
    expect(decideRestart({ ...due, agentStarted: 13_590 })).toEqual({ wait: 50_000 });
  });

  it("is put off by the node's own share of a minute", () => {
    expect(decideRestart({ ...due, now: at(10_030), jitterMs: 42_000 })).toEqual({ wait: 42_000 });
    expect(decideRestart({ ...due, agentStarted: 13_600, jitterMs: 42_000 })).toEqual({ wait: 102_000 });
    expect(decideRestart({ ...due, now: at(10_090), jitterMs: longestJitterMs })).toBe('now');
  });

  it('is not made within 10 minutes of the last one, of this boot', () => {
    expect(decideRestart({ ...due, record: { failed: false, last: at(13_100) } })).toEqual({ wait: 100_000 });
    expect(decideRestart({ ...due, record: { failed: false, last: at(13_000) } })).toBe('now');
    expect(decideRestart({ ...due, record: { failed: false, last: at(13_599, 'another') } })).toBe('now');
  });

  it('waits for nothing but the 10 minutes when a one-shot command makes it', () => {
    const oneShot = { ...due, agentStarted: undefined, jitterMs: 60_000, now: at(10_001) };
    expect(decideRestart(oneShot)).toBe('now');
    expect(decideRestart({ ...oneShot, record: { failed: false, last: at(9_500) } })).toEqual({ wait: 99_000 });
  });

  it('comes once for any number of changes, and never twice within 10 minutes', () => {
    const gaps = fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(gaps, fc.integer({ min: 0, max: longestJitterMs }), (changes, jitterMs) => {
        const restarts: number[] = [];
        let [started, now, changed] = [0, 5_000, 5_000];
        const run = (until: number): void => {
          for (;;) {
            const last = restarts.at(-1);
            const record = { failed: false, ...(last === undefined ? {} : { last: at(last) }) };
            const state = { ...due, started, changed: at(changed), record, jitterMs, now: at(now) };
            const decision = decideRestart(state);
            if (decision === 'now') restarts.push((started = now + 1));
            else if (typeof decision === 'string' || now + decision.wait / 1000 > until) break;
            else now += decision.wait / 1000;
          }
          now = until;
        };
        for (const gap of changes) {
          run(now + gap);
          changed = now;
        }
        run(now + 700);
        expect(started).toBeGreaterThan(changed);
        expect(restarts.length).toBeLessThanOrEqual(changes.length + 1);
        for (const [index, moment] of restarts.entries()) {
          expect(moment - (restarts[index - 1] ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(600);
        }
      }),
    );
  });
});

/** A clock that moves by its sleeps alone. */
function leapingClock(): Clock & { slept(): number } {
  let now = 0;
  return {
    now: () => now,
    steady: () => now,
    slept: () => now,
    sleep: (ms) => {
      now += ms;
      return Promise.resolve();
    },
  };
}

const old = { pid: 70, started: 1 };

interface Systemd {
  /** What the unit's states are, one after the other; the last one stays. */
  readonly states: readonly string[];
  readonly result?: string;
  /** The old process is gone before this state is told. */
  readonly goneAt?: number;
  /** The ways on which it can be reached. */
  readonly ways?: readonly ('busctl' | 'nsenter')[];
}

const missing: CommandResult = { code: 127, output: 'chroot: no such command', timedOut: false };

/** A host on which systemd behaves like that, and what was asked of it. */
function hostWith({ states, result = 'success', goneAt = 0, ways = ['busctl', 'nsenter'] }: Systemd) {
  const host = emptyHost();
  putProcess(host.root, { pid: old.pid, comm: 'containerd', ticks: old.started * 100 });
  const asked: string[] = [];
  let told = 0;
  const said = (words: string): string => {
    if (words.includes('Result')) return result;
    if (!words.includes('ActiveState')) return '';
    if (told === goneAt) rmSync(join(host.root, 'proc/70'), { recursive: true, force: true });
    told += 1;
    return states[told - 1] ?? states.at(-1) ?? '';
  };
  const run: Host['run'] = (command, args) => {
    const words = args.join(' ');
    asked.push(`${command} ${words}`);
    if (!ways.some((way) => way === command)) return Promise.resolve(missing);
    const value = said(words);
    return Promise.resolve({ code: 0, output: command === 'busctl' ? `s "${value}"` : value, timedOut: false });
  };
  return { host: { ...host, run }, asked };
}

interface Options {
  readonly answers?: () => boolean;
  readonly clock?: Clock;
  readonly unit?: string;
}

function restart(host: Host, { answers = () => true, clock = leapingClock(), unit = 'crio.service' }: Options = {}) {
  return restartUnit(host, unit, { process: old, answers: () => Promise.resolve(answers()), clock });
}

describe('restarting a unit', () => {
  it('asks over the bus, and for the unit by the name that the bus has for it', async () => {
    const { host, asked } = hostWith({ states: ['active'] });
    await expect(restart(host, { unit: '3rd-docker@b.service' })).resolves.toBe('restarted');
    expect(asked[0]).toMatch(/^busctl call .* RestartUnit ss 3rd-docker@b\.service replace$/);
    expect(asked[1]).toContain('/org/freedesktop/systemd1/unit/_33rd_2ddocker_40b_2eservice');
    expect(asked).toHaveLength(2);
  });

  it("enters the host's namespaces where the bus cannot be reached", async () => {
    const { host, asked } = hostWith({ states: ['activating', 'active'], ways: ['nsenter'] });
    await expect(restart(host)).resolves.toBe('restarted');
    expect(asked.slice(1).every((line) => line.startsWith('nsenter --target 1 --mount '))).toBe(true);
    expect(asked[1]).toMatch(/ --no-block restart crio\.service$/);
  });

  it('asks for one restart only, however long it takes', async () => {
    const { host, asked } = hostWith({ states: ['deactivating', 'activating', 'activating', 'active'] });
    await expect(restart(host)).resolves.toBe('restarted');
    expect(asked.filter((line) => line.includes('RestartUnit'))).toHaveLength(1);
  });

  it('does not take the old process for the new one', async () => {
    const clock = leapingClock();
    const { host } = hostWith({ states: ['active'], goneAt: 10 });
    await expect(restart(host, { clock })).resolves.toBe('restarted');
    expect(clock.slept()).toBeGreaterThanOrEqual(5_000);
  });

  it('waits until the runtime answers', async () => {
    let asks = 0;
    const { host } = hostWith({ states: ['active'] });
    await expect(restart(host, { answers: () => (asks += 1) === 4 })).resolves.toBe('restarted');
  });

  it('is refused where no way leads to systemd, with what was said on each and what to do', async () => {
    const { host } = hostWith({ states: ['active'], ways: [] });
    const run = (command: string): Promise<CommandResult> =>
      command === 'busctl'
        ? Promise.reject(new Problem('cannot run busctl on the host: no such file'))
        : Promise.resolve({ code: 1, output: 'first line\nnsenter: Permission denied', timedOut: false });
    await expect(restart({ ...host, run })).resolves.toEqual({
      refused:
        'cannot restart crio.service (over the bus: cannot run busctl on the host: no such file; ' +
        'in its namespaces: nsenter: Permission denied); run on the node: systemctl restart crio.service',
    });
  });

  it('names the command that mends a unit which was started too often', async () => {
    const clock = leapingClock();
    const { host } = hostWith({ states: ['deactivating', 'failed'], result: 'start-limit-hit' });
    const outcome = await restart(host, { clock });
    expect(outcome).toEqual({ failed: expect.stringMatching(/^crio\.service is down: .*start-limit-hit/) as string });
    expect(outcome).toEqual({
      failed: expect.stringMatching(
        /: systemctl reset-failed crio\.service && systemctl start crio\.service$/,
      ) as string,
    });
    // There is nothing to wait for.
    expect(clock.slept()).toBeLessThan(2_000);
  });

  it.each([
    ['does not start', { states: ['activating'], result: 'exit-code' }, true, /is down \(activating, exit-code\)/],
    ['has failed', { states: ['failed'], result: 'signal' }, true, /is down \(failed, signal\)/],
    ['does not answer', { states: ['active'] }, false, /after 120 s its runtime does not answer as a new process/],
    ['is the old one still', { states: ['active'], goneAt: -1 }, true, /does not answer as a new process/],
    ['is not spoken of', { states: [''], result: '' }, true, /is down \(state unknown, result unknown\)/],
  ])('has failed within two minutes when the runtime %s', async (_, systemd, answers, line) => {
    const clock = leapingClock();
    const outcome = await restart(hostWith(systemd).host, { clock, answers: () => answers });
    expect(outcome).toEqual({ failed: expect.stringMatching(line) as string });
    expect(outcome).toEqual({ failed: expect.stringContaining('journalctl --unit crio.service') as string });
    expect(clock.slept()).toBeLessThanOrEqual(120_500);
  });
});
