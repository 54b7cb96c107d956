// The table of how a containerd is set up: what really happens to a pull after one pass of the agent, beside what the
// agent says of it. They must agree in every cell; and where it asks for a restart, a restart must be the cure.
import { afterAll, expect, inject, test } from 'vitest';
import { agent } from '../sandbox/harness/agent.ts';
import {
  certsDirectory,
  configFile,
  containerdConfig,
  startContainerd,
  type Containerd,
  type ContainerdVersion,
  type Settings,
} from './harness/containerd.ts';
import type { Machine } from './harness/machine.ts';
import { forget, makeAuthority, openScene, privateImage, publicImage, type Scene } from './harness/scene.ts';
import { listing, verdict, type Verdict } from './harness/verdict.ts';

const programs = inject('programs');
const list = `${certsDirectory}:/etc/docker/certs.d`;
const k3s = '/var/lib/rancher/k3s/agent/etc/containerd';

interface Row {
  readonly name: string;
  /** Writes the configuration; gives the arguments that name it, if it is not at the usual place. */
  readonly configure: (machine: Machine, version: ContainerdVersion) => Promise<readonly string[]>;
  /** The agent has to serve it: not only to say that it does not. */
  readonly serves?: true;
}

/** A row whose settings are at the usual place. */
function usual(name: string, settings: Settings, serves?: true): Row {
  return {
    name,
    ...(serves && { serves }),
    async configure(machine, version) {
      await machine.write(configFile, containerdConfig(version, settings));
      return [];
    },
  };
}

const rows: readonly Row[] = [
  { name: 'no configuration file', configure: () => Promise.resolve([]) },
  usual('not set', {}),
  usual('not set, `discard_unpacked_layers`', { images: { discard_unpacked_layers: true } }),
  usual('not set, `mirrors` of old', { mirrors: { 'registry.test:5443': 'https://registry.test:5443' } }),
  usual('one directory', { configPath: certsDirectory }, true),
  usual('another directory (GKE)', { configPath: '/etc/containerd/hosts.d' }, true),
  usual('list', { configPath: list }, true),
  usual('list, `discard_unpacked_layers` (EKS)', { configPath: list, images: { discard_unpacked_layers: true } }, true),
  {
    name: 'one directory, in an imported file',
    serves: true,
    async configure(machine, version) {
      await machine.write(configFile, containerdConfig(version, { imports: ['/etc/containerd/conf.d/*.toml'] }));
      const imported = containerdConfig(version, { configPath: '/etc/containerd/imported.d' });
      await machine.write('/etc/containerd/conf.d/50-registry.toml', imported);
      return [];
    },
  },
  {
    name: "one directory, in k3s's own file",
    serves: true,
    async configure(machine, version) {
      await machine.write(`${k3s}/config.toml`, containerdConfig(version, { configPath: `${k3s}/certs.d` }));
      return ['--config', `${k3s}/config.toml`];
    },
  },
];

/** What the table shows, and whether all of it is true. */
interface Cell {
  readonly text: string;
  readonly wrong: readonly string[];
}

async function pullBoth({ pull }: Containerd): Promise<boolean[]> {
  return [(await pull(privateImage)).ok, (await pull(publicImage)).ok];
}

/** One cell: a fresh containerd that has read the system's CAs, a pass, and pulls. */
async function tryOut(scene: Scene, version: ContainerdVersion, row: Row, bundle: string): Promise<Cell> {
  const { machine } = scene;
  await forget(machine, '/etc/containerd', '/etc/docker', '/var/lib/rancher');
  const args = await row.configure(machine, version);
  const untouched = await listing(machine, '/etc/containerd', '/etc/docker', '/var/lib/rancher');
  let containerd = await startContainerd(machine, ...args);
  const before = await pullBoth(containerd);
  const applied = await agent(machine).apply(bundle);
  const said = verdict(applied);
  const after = await pullBoth(containerd);
  const wrong = before.some(Boolean) ? ['pulls before the pass'] : [];
  if (!after.every((ok) => ok === (said.state === 'trusts')))
    wrong.push(`the agent says ${said.state}: ${said.message}`);
  if (row.serves === true && said.state !== 'trusts') wrong.push(`it is not served: ${said.message}`);
  if (said.pid !== containerd.service.pid) wrong.push(`the agent says process ${said.pid}`);
  const cured = said.state === 'restart-needed' ? await restarted() : undefined;
  if (cured?.every(Boolean) === false) wrong.push('does not pull after the restart that the agent asks for');
  await agent(machine).remove();
  await containerd.service.stop();
  const left = await listing(machine, '/etc/containerd', '/etc/docker', '/var/lib/rancher');
  if (JSON.stringify(left) !== JSON.stringify(untouched)) wrong.push(`left behind: ${left.join(', ')}`);
  return { text: textOf(after, said), wrong };

  async function restarted(): Promise<boolean[]> {
    await containerd.service.stop();
    containerd = await startContainerd(machine, ...args);
    return pullBoth(containerd);
  }
}

function textOf(pulls: readonly boolean[], { state }: Verdict): string {
  const real = pulls.every(Boolean) ? 'works' : pulls.some(Boolean) ? 'works in part' : 'fails';
  return `${real} / ${state}`;
}

const columns = new Map<ContainerdVersion, readonly Cell[]>();

afterAll(() => {
  const shown = programs.containerd.filter((version) => columns.has(version));
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const lines = [
    line(['`config_path`', ...shown.map(({ version, origin }) => `${version} (${origin})`)]),
    line(['---', ...shown.map(() => '---')]),
    ...rows.map(({ name }, index) =>
      line([name, ...shown.map((version) => columns.get(version)?.[index]?.text ?? '')]),
    ),
  ];
  console.log(`a pull after one pass / what the agent says\n\n${lines.join('\n')}\n`);
});

test.each(programs.containerd)('containerd $version of $origin: the agent says what happens', async (version) => {
  const authority = await makeAuthority();
  await using scene = await openScene(programs, authority);
  await scene.machine.place(version.program, '/usr/bin/containerd');
  const bundle = await scene.bundle(authority);
  const cells: Cell[] = [];
  columns.set(version, cells);
  for (const row of rows) cells.push(await tryOut(scene, version, row, bundle));
  const wrong = cells.flatMap((cell, index) => cell.wrong.map((what) => `${rows[index]?.name ?? ''}: ${what}`));
  expect(wrong).toEqual([]);
});
