// A disk that fills up for real, to the last byte or the last inode, at one moment of a rotation after the other; and a file
// system that becomes read-only in the middle of one.
import { rename, rm, statfs } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { agent } from '../sandbox/harness/agent.ts';
import { makeThree } from '../sandbox/harness/certs.ts';
import {
  anchors,
  danglingLinks,
  everywhere,
  inBundle,
  nowhere,
  smallWorld,
  state,
  trust,
} from '../sandbox/harness/host.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { shell } from '../sandbox/harness/shell.ts';
import type { Undo, World } from '../sandbox/harness/world.ts';
import { put } from './harness/stage.ts';

const [kept, one, two] = await makeThree();

interface Moment {
  readonly about: string;
  readonly harm: (world: World, directory: string) => Promise<Undo>;
}

const undo = (action: () => Promise<void>): Undo => ({ undo: action, [Symbol.asyncDispose]: action });

/** So many pages of 4,096 bytes are left. */
const full = (pages: number): Moment => ({
  about: `${pages} pages left`,
  harm: (world, directory) => world.fill(directory, pages * 4_096),
});

/** So many new files can be made. */
const crowded = (inodes: number): Moment => ({
  about: `${inodes} inodes left`,
  async harm(world, directory) {
    const { files, ffree } = await statfs(world.path(directory));
    const limit = (count: number): Promise<void> =>
      shell('mount -o "remount,nr_inodes=$2" "$1"', world.path(directory), String(count));
    await limit(files - ffree + inodes);
    return undo(() => limit(files));
  },
});

/** One rotation after the other, each with harm done to the directory's own file system and then without. */
async function rotateThrough(directory: string, moments: readonly Moment[]): Promise<number> {
  await using world = await smallWorld({ view: 'overlay' });
  await using secret = await mountSecret({ 'kept.crt': kept.pem, 'ca.crt': one.pem });
  const { apply } = agent(world);
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  const distribution = [...(await inBundle(world))].filter((print) => print !== one.fingerprint);
  await using limit = await world.limitSpace(directory, 4 * 2 ** 20);
  expect(limit).toBeDefined();
  let [failed, old, next] = [0, one, two];
  for (const { about, harm } of moments) {
    await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': next.pem });
    const harmed = await harm(world, directory);
    const { code, stderr, report } = await apply(secret.directory);
    const held = await inBundle(world);
    expect({ about, lost: distribution.filter((print) => !held.has(print)) }).toEqual({ about, lost: [] });
    expect(held.has(old.fingerprint) || held.has(next.fingerprint)).toBe(true);
    if (code === 0)
      expect({ about, converged: report.converged, has: held.has(next.fingerprint) }).toEqual({
        about,
        converged: true,
        has: true,
      });
    else {
      expect({ about, stderr }).toEqual({
        about,
        stderr: expect.stringMatching(/^node-ca-trust: [^\n]{1,600}\n$/) as string,
      });
      failed += 1;
    }
    await harmed.undo();
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { converged: true } });
    expect(await trust(world, next)).toEqual(everywhere);
    expect(await trust(world, old)).toEqual(nowhere);
    expect(await danglingLinks(world)).toEqual([]);
    expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [], added: [], removed: [] } });
    [old, next] = [next, old];
  }
  return failed;
}

const moments = [0, 1, 2, 3, 5, 8].map(full);
const fewInodes = [0, 1, 2, 3, 4, 6].map(crowded);

test.each(['/etc/ssl', anchors, state])('%s fills up, at one moment after the other', async (directory) => {
  const failed = await rotateThrough(directory, [...moments, ...fewInodes]);
  console.log(
    `${directory}: ${moments.length + fewInodes.length} rotations, ${failed} of them failed for want of space`,
  );
  expect(failed).toBeGreaterThan(1);
});

describe('a file system that becomes read-only in the middle', () => {
  const tool = '/usr/sbin/update-ca-certificates';
  const script = {
    'before the tool': `mount -o remount,ro DIR; exec ${tool}.own "$@"`,
    'after the tool': `${tool}.own "$@"; mount -o remount,ro DIR`,
  };
  const cases = Object.entries(script).flatMap(([about, text]) =>
    ['/etc/ssl', anchors, state].map((directory) => ({ about, directory, text: text.replace('DIR', directory) })),
  );

  test.each(cases)('$directory, $about has run', async ({ directory, text }) => {
    const moment: Moment = {
      about: text,
      async harm(world) {
        await rename(world.path(tool), world.path(`${tool}.own`));
        await put(world, tool, `#!/bin/sh\n: > /tmp/ran\n${text}\n`, 0o755);
        return undo(async () => {
          await rm(world.path('/tmp/ran'));
          await rename(world.path(`${tool}.own`), world.path(tool));
          await shell('mount -o remount,rw "$1"', world.path(directory));
        });
      },
    };
    await rotateThrough(directory, [moment]);
  });
});
