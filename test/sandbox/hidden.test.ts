// Links that lead to where the agent sees nothing of the host, as in a pod with a part of its root alone.
import { mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { agent } from './harness/agent.ts';
import { makeCert, makeServerCert, makeThree } from './harness/certs.ts';
import { anchors, certs, everywhere, inBundle, plainRun, scene, trust } from './harness/host.ts';
import type { World } from './harness/world.ts';

const [one, two, three] = await makeThree();

/** What the host has there and the agent does not see until the test shows it again. */
async function hide(world: World, path: string): Promise<() => Promise<void>> {
  const aside = world.path(`${path}.hidden`);
  await rename(world.path(path), aside);
  const show = (): Promise<void> => rename(aside, world.path(path));
  onTestFinished(() => show().catch(() => undefined));
  return show;
}

test('what links out of the sight of the agent bring in stays trusted, by hash too, and they are named', async () => {
  const old = await makeCert({ subject: '/CN=Rolled over' });
  const renewed = await makeCert({ subject: '/CN=Rolled over' });
  // What they issued names their keys, not the subject alone.
  const [issued, issuedAnew] = [
    await makeServerCert(old, ['old.example']),
    await makeServerCert(renewed, ['new.example']),
  ];
  const { world, secret } = await scene({ 'ca.crt': one.pem + renewed.pem });
  await mkdir(world.path('/corp/more'), { recursive: true });
  for (const [name, { pem }] of Object.entries({ 'ca.pem': two, 'direct.pem': old, 'more/third.crt': three }))
    await writeFile(world.path(`/corp/${name}`), pem);
  await symlink('/corp/ca.pem', world.path(`${anchors}/corp.crt`));
  await symlink('/corp/more', world.path(`${anchors}/more`));
  await symlink('../../../corp/direct.pem', world.path(`${certs}/direct.pem`));
  await plainRun(world);
  const names = await readdir(world.path(certs));
  let show = await hide(world, '/corp');
  const { apply, remove } = agent(world);

  const { code, report } = await apply(secret.directory);
  expect({ code, reasons: report.reasons }).toEqual({ code: 0, reasons: [] });
  const named = [`${anchors}/corp.crt`, `${anchors}/more`, `${certs}/direct.pem`];
  for (const path of named)
    expect(report.notes.filter((note) => note.startsWith(`${path} on the host`))).toHaveLength(1);
  expect(report.notes).toHaveLength(named.length);
  // Links of ours that somebody took are no reason to make those of others anew.
  await rm(world.path(`${certs}/${one.subjectHash}.0`));
  expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { repaired: [one.fingerprint] } });
  expect(await apply(secret.directory)).toMatchObject({ code: 0, report: { refreshed: [] } });

  await show();
  for (const cert of [one, two, three, issuedAnew]) expect(await trust(world, cert)).toEqual(everywhere);
  expect(await trust(world, issued)).toEqual({ bundle: false, hashed: true });
  show = await hide(world, '/corp');
  expect(await remove()).toMatchObject({ code: 0 });
  await show();
  for (const ca of [two, three]) expect(await trust(world, ca)).toEqual(everywhere);
  expect(await trust(world, issued)).toEqual({ bundle: false, hashed: true });
  expect(await readdir(world.path(certs))).toEqual(names);
});

test('a link that dangles where the agent sees all there is brings in nothing, as for the own tool', async () => {
  const { world, secret } = await scene({ 'ca.crt': one.pem });
  await mkdir(world.path('/var/corp'));
  await writeFile(world.path('/var/corp/ca.pem'), two.pem);
  await symlink('/var/corp/ca.pem', world.path(`${anchors}/corp.crt`));
  await plainRun(world);
  expect(await inBundle(world)).toContain(two.fingerprint);
  await rm(world.path('/var/corp'), { recursive: true });
  expect(await agent(world).apply(secret.directory)).toMatchObject({ code: 0, report: { notes: [] } });
  expect(await inBundle(world)).not.toContain(two.fingerprint);
});
