// Other writers of the store, and sudden death: no reader ever sees less than a whole bundle, and the next pass converges.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, lstat, open, rename, utimes, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { agent, eventually, signalGroup, startProcess } from './harness/agent.ts';
import { makeCert, makeThree } from './harness/certs.ts';
import { chooseSeed, killRotations, randomFrom } from './harness/chaos.ts';
import { cleanEnvironment } from './harness/environment.ts';
import {
  certs,
  danglingLinks,
  everywhere,
  holdLock,
  inBundle,
  nowhere,
  plainTemporary,
  scene,
  smallWorld,
  state,
  trust,
  waitsForLock,
  wholeWorld,
} from './harness/host.ts';
import { mountSecret } from './harness/secret-mount.ts';
import { watchBundle } from './harness/watcher.ts';
import { createWorld } from './harness/world.ts';

const [kept, one, two] = await makeThree();

describe('instances on one host', () => {
  test('wait for each other', async () => {
    const { world, secret } = await scene({ 'a.crt': one.pem });
    await using lock = await holdLock(world);
    // The record of who has it.
    await writeFile(world.path(`${state}/first.json`), '');
    const pass = { ended: false };
    const applied = agent(world)
      .apply(secret.directory)
      .finally(() => (pass.ended = true));
    // A pass with something to do waits; one without does not.
    expect(await agent(world).remove('--instance', 'other')).toMatchObject({ code: 0 });
    expect(pass.ended).toBe(false);
    expect(await trust(world, one)).toEqual(nowhere);
    await lock.undo();
    expect(await applied).toMatchObject({ code: 0 });
    expect(await trust(world, one)).toEqual(everywhere);
  });

  test('that start at once all converge, and no reader sees less than was there', async () => {
    await using world = await smallWorld();
    const before = await inBundle(world);
    const cas = await Promise.all(Array.from({ length: 4 }, () => makeCert()));
    await using watcher = await watchBundle(world, { floor: before.size, all: [...before] });
    await Promise.all(
      cas.map(async (ca, index) => {
        await using secret = await mountSecret({ 'own.crt': ca.pem, 'common.crt': kept.pem });
        expect(await agent(world).apply(secret.directory, '--instance', `i${index}`)).toMatchObject({ code: 0 });
      }),
    );
    for (const ca of [...cas, kept]) expect(await trust(world, ca)).toEqual(everywhere);
    const outcomes = await Promise.all(cas.map((_, index) => agent(world).remove('--instance', `i${index}`)));
    expect(outcomes.map(({ code, report }) => ({ code, reasons: report.reasons }))).toEqual(
      cas.map(() => ({ code: 0, reasons: [] })),
    );
    for (const ca of [...cas, kept]) expect(await trust(world, ca)).toEqual(nowhere);
    expect(await inBundle(world)).toEqual(before);
    expect((await watcher.stop()).firstBad).toEqual({});
  });
});

describe("the host's own tool, run by others without a lock", () => {
  test('beside rotations: readers always see a whole bundle, and each pass proves what it says', async () => {
    const rotations = 8;
    await using world = await createWorld();
    const distribution = [...(await inBundle(world))];
    await using secret = await mountSecret({ 'kept.crt': kept.pem, 'ca.crt': one.pem });
    const { apply } = agent(world);
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    await using watcher = await watchBundle(world, {
      floor: distribution.length + 2,
      all: [...distribution, kept.fingerprint],
      any: [one.fingerprint, two.fingerprint],
    });
    const others = (async () => {
      // Two of them at once would spoil the bundle all by themselves.
      for (let run = 0; run < rotations; run += 1) await world.exec('update-ca-certificates');
    })();
    for (let round = 0; round < rotations; round += 1) {
      const [next, old] = round % 2 === 0 ? [two, one] : [one, two];
      await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': next.pem });
      const { code, report } = await apply(secret.directory);
      expect({ round, code, reasons: report.reasons }).toEqual({ round, code: 0, reasons: [] });
      const held = await inBundle(world);
      expect({ round, next: held.has(next.fingerprint), old: held.has(old.fingerprint) }).toEqual({
        round,
        next: true,
        old: false,
      });
    }
    await others;
    const { counts, firstBad, versions } = await watcher.stop();
    expect(firstBad).toEqual({});
    expect(counts.whole).toBeGreaterThan(0);
    expect(versions).toBeGreaterThan(rotations);
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    for (const ca of [kept, one]) expect(await trust(world, ca)).toEqual(everywhere);
    expect(await trust(world, two)).toEqual(nowhere);
    expect(await danglingLinks(world)).toEqual([]);
  });

  test('killed half way: the new CA is published at once, and what it left goes when it is old enough', async () => {
    await using world = await createWorld();
    const before = await inBundle(world);
    const plain = spawn('chroot', [world.root, 'update-ca-certificates'], {
      env: cleanEnvironment,
      stdio: 'ignore',
      detached: true,
    });
    const ended = once(plain, 'exit');
    await eventually(async () => {
      expect((await lstat(world.path(plainTemporary))).size).toBeGreaterThan(0);
    });
    signalGroup(plain.pid ?? 0, 'SIGKILL');
    expect(await ended).toEqual([null, 'SIGKILL']);
    await using secret = await mountSecret({ 'a.crt': one.pem });
    const applied = agent(world).apply(secret.directory);
    await eventually(async () => {
      expect(await inBundle(world)).toContain(one.fingerprint);
    });
    const old = new Date(Date.now() - 120_000);
    await utimes(world.path(plainTemporary), old, old);
    expect(await applied).toMatchObject({ code: 0 });
    expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await lstat(world.path(plainTemporary)).catch(() => 'gone')).toBe('gone');
    expect(await inBundle(world)).toEqual(new Set([...before, one.fingerprint]));
    expect(await trust(world, one)).toEqual(everywhere);
  });
});

test('killed while the tool of the host works: that goes on, and the next pass waits for it', async (context) => {
  await using world = await wholeWorld(context);
  await using secret = await mountSecret({ 'a.crt': one.pem });
  const tool = '/usr/sbin/update-ca-certificates';
  const [started, ended, gate] = ['/tmp/started', '/tmp/ended', '/tmp/gate'];
  // The first run takes as long as the test wants.
  const slow = `[ -e ${started} ] && exec ${tool}.real "$@"
: > ${started}
read -r line < ${gate}
${tool}.real "$@"
code=$?
: > ${ended}
exit $code
`;
  await rename(world.path(tool), world.path(`${tool}.real`));
  await writeFile(world.path(tool), `#!/bin/sh\n${slow}`, { mode: 0o755 });
  expect(await world.exec('mkfifo', [gate])).toMatchObject({ code: 0 });
  const agentItself = startProcess(['apply', '--host-root', world.root, '--bundle', secret.directory]);
  agentItself.child.stdout.resume();
  await eventually(() => access(world.path(started)));
  agentItself.child.kill('SIGKILL');
  expect(await agentItself.ended).toEqual({ code: null, signal: 'SIGKILL' });
  const pass = { hasEnded: false };
  const applied = agent(world)
    .apply(secret.directory)
    .finally(() => (pass.hasEnded = true));
  try {
    await waitsForLock(world);
    expect(pass.hasEnded).toBe(false);
  } finally {
    // Opened so it waits for no reader.
    await using end = await open(world.path(gate), 'r+');
    await end.write('\n');
  }
  expect(await applied).toMatchObject({ code: 0 });
  await access(world.path(ended));
  expect(await trust(world, one)).toEqual(everywhere);
});

test('a rotation: who looks up by hash finds the old CA or the new one at every moment', async () => {
  const rounds = 8;
  const { world, secret } = await scene({ 'kept.crt': kept.pem, 'ca.crt': one.pem });
  const { apply } = agent(world);
  expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  for (const [name, { pem }] of Object.entries({ kept, one, two })) {
    await writeFile(world.path(`/tmp/${name}.pem`), pem);
  }
  // The first CA again at the end: a rotation back to it may have been made between the two looks before.
  const look = `found() { openssl verify -no-CAfile -no-CAstore -CApath ${certs} /tmp/$1.pem > /dev/null 2>&1; }
    looks=0
    while [ ! -e /tmp/stop ]; do
      found kept || echo "look $looks: kept is missing"
      found one || found two || found one || echo "look $looks: neither"
      looks=$((looks + 1))
    done
    echo "looks $looks"`;
  const looking = world.exec('sh', ['-c', look], { timeout: 110_000 });
  for (let round = 0; round < rounds; round += 1) {
    await secret.swap({ 'kept.crt': kept.pem, 'ca.crt': (round % 2 === 0 ? two : one).pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
  }
  await writeFile(world.path('/tmp/stop'), '');
  expect((await looking).stdout).toMatch(/^looks \d{2,}\n$/);
});

test('killed at any moment of a rotation, readers are well, and the next pass converges', async () => {
  const seed = chooseSeed();
  await using world = await smallWorld();
  const counts = await killRotations(world, 10, randomFrom(seed));
  expect({ seed, failures: counts.failures }).toEqual({ seed, failures: [] });
  expect(counts.kills).toBe(10);
  // A kill after the end tries nothing.
  expect(counts.underWay).toBeGreaterThan(0);
});
