// A pass with nothing to do on a host whose containerd has registry directories, half of them with a hosts.toml.
//
// containerd is stood in for by a process of its name and a socket that says a version: what is measured is the agent.
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type ServerHttp2Stream, createServer } from 'node:http2';
import { dirname, join } from 'node:path';
import type { World } from '../sandbox/harness/world.ts';
import { secretOf } from './anchors.ts';
import type { Line } from './line.ts';
import { livingChildren, median, sum } from './measure.ts';
import { openPasses } from './passes.ts';
import type { Bench } from './scene.ts';
import type { Weighed } from './worker.ts';

const counts = [
  { registries: 1, atMostMs: 50 },
  { registries: 20, atMostMs: 50 },
  { registries: 200, atMostMs: undefined },
];
const passesWanted = 50;
const directory = '/etc/containerd/certs.d';

function put(world: World, path: string, text: string): void {
  mkdirSync(dirname(world.path(path)), { recursive: true });
  writeFileSync(world.path(path), text);
}

/** The settings of registries as admins write them. */
function configure(world: World, registries: number): void {
  put(
    world,
    '/etc/containerd/config.toml',
    `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "${directory}"\n`,
  );
  for (let index = 0; index < registries; index += 1) {
    const name = `registry-${index}.example`;
    const hosts = `server = "https://${name}"\n\n[host."https://mirror.example/v2/${name}"]\n  capabilities = ["pull", "resolve"]\n  override_path = true\n`;
    if (index % 2 === 0) put(world, `${directory}/${name}/hosts.toml`, hosts);
    else mkdirSync(world.path(`${directory}/${name}`), { recursive: true });
  }
}

/** A process that is called containerd, and a socket that says a version. */
async function standIn(world: World): Promise<AsyncDisposable> {
  const socket = world.path('/run/containerd/containerd.sock');
  mkdirSync(dirname(socket), { recursive: true });
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.end(Buffer.from('\0\0\0\0\x08\x0a\x061.7.24', 'latin1'));
  });
  server.listen(socket);
  await once(server, 'listening');
  const program = join(dirname(world.root), 'containerd');
  // It waits for its input, without arguments: a word would be a command of containerd's.
  copyFileSync('/bin/cat', program);
  const child = spawn(program, { stdio: ['pipe', 'ignore', 'ignore'] });
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await once(child, 'exit');
      server.close();
      rmSync(program);
      rmSync(world.path('/etc/containerd'), { recursive: true });
      rmSync(socket, { force: true });
    },
  };
}

async function measureCount(
  { production, world, store, mount, mint, say }: Bench,
  { registries, atMostMs }: (typeof counts)[number],
): Promise<readonly Line[]> {
  say(`${passesWanted} passes with nothing to do beside ${registries} registry directories`);
  store.restore();
  configure(world, registries);
  await mount.swap(secretOf(mint(10)));
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.use(await standIn(world));
  const passes = cleanUp.use(await openPasses(production, world.root, mount.directory));
  await passes.pass();
  if (!readFileSync(world.path(`${directory}/registry-0.example/hosts.toml`), 'utf8').includes('node-ca-trust')) {
    throw new Error('the registry directories were not served');
  }
  const idle: Weighed[] = [];
  while (idle.length < passesWanted) idle.push(await passes.pass());
  const faults = sum(idle.map(({ childFaults }) => childFaults)) + livingChildren(passes.pid).length;
  return [
    {
      what: `pass with nothing to do and ${registries} registry directories, wall, median of ${passesWanted}`,
      ours: median(idle.map(({ wallMs }) => wallMs)),
      unit: 'ms',
      ...(atMostMs !== undefined && { bound: { of: 'figure', max: atMostMs, counts: false } }),
    },
    {
      what: `processes started by these ${passesWanted} (their page faults)`,
      ours: faults,
      unit: '',
      bound: { of: 'figure', max: 0, counts: true },
    },
  ];
}

export async function measureRegistries(bench: Bench): Promise<readonly Line[]> {
  const lines: Line[] = [];
  for (const row of counts) lines.push(...(await measureCount(bench, row)));
  return lines;
}
