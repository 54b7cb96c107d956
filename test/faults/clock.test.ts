// A node's clock is wrong until it has been told the time, and then it leaps: a year either way, between passes and in the
// middle of one. faketime(1) sets the agent's clock alone; what measures time that passes goes on, as on a real machine.
import { execa } from 'execa';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { agent, eventually, startProcess } from '../sandbox/harness/agent.ts';
import { makeThree } from '../sandbox/harness/certs.ts';
import {
  everywhere,
  holdLock,
  inBundle,
  nowhere,
  plainTemporary,
  scene,
  trust,
  waitsForLock,
} from '../sandbox/harness/host.ts';

/** Valid since yesterday, for a year: after the one leap expired, after the other not yet valid. */
const [kept, old, next] = await makeThree();

// Its semaphore is named by its process, and one that was killed has left it behind: the next try is another process.
const { stdout: library } = await eventually(() => execa('faketime', ['-f', '+0', 'printenv', 'LD_PRELOAD']));

const leaps = ['+1y', '-1y', '+3y', '-3y'];

interface Clock {
  /** What the agent is started by. */
  readonly wrapper: readonly string[];
  leap(by: string): Promise<void>;
}

async function wrongClock(by: string): Promise<Clock> {
  const directory = await mkdtemp(join(tmpdir(), 'clock-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const file = join(directory, 'time');
  const leap = (to: string): Promise<void> => writeFile(file, `${to}\n`);
  await leap(by);
  return {
    wrapper: [
      ...['env', `LD_PRELOAD=${library}`, `FAKETIME_TIMESTAMP_FILE=${file}`, 'FAKETIME_NO_CACHE=1'],
      ...['FAKETIME_DONT_FAKE_MONOTONIC=1', 'NO_FAKE_STAT=1'],
    ],
    leap,
  };
}

test('between passes: nothing is removed or refused for it, and rotations go on', async () => {
  const { world, secret } = await scene({ 'kept.crt': kept.pem, 'ca.crt': old.pem });
  const clock = await wrongClock('+0');
  await using daemon = agent(world).startBy(clock.wrapper, secret.directory);
  await daemon.ready(kept, old);
  for (const [round, leap] of leaps.entries()) {
    await clock.leap(leap);
    const [comes, goes] = round % 2 === 0 ? [next, old] : [old, next];
    await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': comes.pem });
    await daemon.ready(kept, comes);
    expect(await trust(world, kept)).toEqual(everywhere);
    expect(await trust(world, comes)).toEqual(everywhere);
    expect(await trust(world, goes)).toEqual(nowhere);
    expect((await daemon.get('/livez')).status).toBe(200);
  }
  const warned = daemon.log().map((line) => JSON.stringify(line));
  for (const code of ['expired', 'not-yet-valid']) expect(warned.some((line) => line.includes(code))).toBe(true);
});

test.each(leaps)(
  'by %s in the middle of a pass: it is not taken for one that hangs, and how long it took is told',
  async (leap) => {
    const { world, secret } = await scene({ 'kept.crt': kept.pem });
    const clock = await wrongClock('+0');
    await using daemon = agent(world).startBy(clock.wrapper, secret.directory);
    await daemon.ready(kept);
    const locked = await holdLock(world);
    await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': next.pem });
    await waitsForLock(world);
    await clock.leap(leap);
    expect(await daemon.get('/livez')).toMatchObject({ status: 200 });
    await locked.undo();
    await daemon.ready(kept, next);
    const seconds = await daemon.metric('node_ca_trust_pass_duration_seconds_sum');
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThan(3_600);
  },
);

test.each(['+1y', '-1y'])(
  "by %s while another's run is dead: a pass does not wait for it, and takes its leftover away",
  async (leap) => {
    const { world, secret } = await scene({ 'kept.crt': kept.pem });
    const clock = await wrongClock(leap);
    await writeFile(world.path(plainTemporary), old.pem);
    const began = performance.now();
    for (const comes of [old, next]) {
      await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': comes.pem });
      const words = ['apply', '--host-root', world.root, '--bundle', secret.directory, '--output', 'json'];
      const { child, ended } = startProcess(words, clock.wrapper);
      child.stdout.resume();
      expect((await ended).code).toBe(0);
      expect(await inBundle(world)).toContain(comes.fingerprint);
    }
    // Who takes it for alive waits a minute for it.
    expect(performance.now() - began).toBeLessThan(45_000);
    await expect(stat(world.path(plainTemporary))).rejects.toThrow('ENOENT');
  },
);
