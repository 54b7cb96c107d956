// Sudden deaths while the directories of registries are edited, half of them on each of two machines at once.
// Whatever is found there then, pulls from a registry that needs nothing of ours go on.
import { inject, test } from 'vitest';
import { chooseSeed, randomFrom } from '../sandbox/harness/chaos.ts';
import { plainRun } from '../sandbox/harness/host.ts';
import { killEdits } from './harness/chaos.ts';
import { certsDirectory, configFile, containerdConfig, startContainerd } from './harness/containerd.ts';
import { clear, makeAuthority, openScene, publicImage } from './harness/scene.ts';

const programs = inject('programs');
/** On each machine; fifty with NODE_CA_TRUST_FULL=1. */
const isFull = process.env['NODE_CA_TRUST_FULL'] === '1';
const kills = isFull ? 50 : 20;

/** Registries with files of their own; the directory of another one is empty. */
const registries = {
  [`${certsDirectory}/registry.test:5443/hosts.toml`]: `# The registry of the company.
server = "https://registry.test:5443"

[host."https://registry.test:5443"]
  capabilities = ["pull", "resolve"]
`,
  ...Object.fromEntries(
    Array.from({ length: 125 }, (_, index) => [
      `${certsDirectory}/registry-${index}.test/hosts.toml`,
      `server = "https://registry-${index}.test"\n[host."https://mirror.test:5443"]\n  capabilities = ["pull"]\n`,
    ]),
  ),
};

/** Nobody answers at the mirror that it names: the registry itself is asked then. */
const ownDefault = {
  [`${certsDirectory}/_default/hosts.toml`]: '[host."http://127.0.0.1:5001"]\n  capabilities = ["pull", "resolve"]\n',
};

test.concurrent.for([
  { version: programs.containerd[0], about: 'no _default', files: registries },
  { version: programs.containerd.at(-1), about: 'a _default of another', files: { ...registries, ...ownDefault } },
])(`${kills} times SIGKILL, containerd $version.version, $about`, async ({ version, files }, { expect }) => {
  if (version === undefined) throw new Error('there is no containerd');
  const seed = chooseSeed();
  console.log(`seed ${seed} (NODE_CA_TRUST_SEED=${seed} repeats it)`);
  const [company, world] = await Promise.all([makeAuthority(), makeAuthority()]);
  await using scene = await openScene(programs, company);
  const { machine } = scene;
  await machine.write('/usr/local/share/ca-certificates/public.crt', world.ca.pem);
  await plainRun(machine);
  await scene.registries.public.use(world.server);
  await clear(machine, `${certsDirectory}/empty.test:5443`);
  for (const [file, text] of Object.entries(files)) await machine.write(file, text);
  await machine.place(version.program, '/usr/bin/containerd');
  await machine.write(configFile, containerdConfig(version, { configPath: certsDirectory }));
  const containerd = await startContainerd(machine);
  // It has read the system's CAs, and will not again.
  expect(await containerd.pull(publicImage)).toMatchObject({ ok: true });
  const bundle = await scene.bundle(company);
  const counts = await killEdits({ machine, containerd, files, bundle }, kills, randomFrom(seed));
  const { underWay, halfWay, pulls, failures } = counts;
  console.log(
    `${counts.kills} kills, ${underWay} of a program under way, ${halfWay} half way through the edits; ` +
      `${pulls} pulls; ${failures.length} failures`,
  );
  expect(failures).toEqual([]);
  expect(underWay).toBeGreaterThan(kills / 2);
  expect(halfWay).toBeGreaterThan(isFull ? kills / 10 : 0);
});
