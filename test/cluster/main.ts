// A cluster by hand:
//
//   node test/cluster/main.ts up|down|status|env
//
// CLUSTER=kind makes it with kind and Docker; NODE_CA_TRUST_CLUSTER is the directory that everything of it is in.
import { nodeNames, type Cluster } from './cluster.ts';
import { provider } from './provider.ts';

const commands: Readonly<Record<string, () => Promise<void>>> = {
  async up() {
    const started = performance.now();
    const cluster = await provider().up();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`both nodes are ready after ${seconds} s`);
    await commands['status']?.();
    console.log(`kubectl and helm:   eval "$(node test/cluster/main.ts env)"`);
    for (const name of nodeNames) console.log(`a command in ${name}: ${cluster.node(name).shell} COMMAND ARGS...`);
  },
  async down() {
    await provider().down();
  },
  async status() {
    const cluster = await runningCluster();
    const { stdout, stderr } = await cluster.kubectl(['get', 'nodes', '--output=wide']);
    console.log(stdout + stderr);
  },
  async env() {
    const cluster = await runningCluster();
    const variables = Object.entries(cluster.environment).map(([name, value]) => `${name}='${value}'`);
    console.log(`export ${variables.join(' ')} PATH='${cluster.path.join(':')}':"$PATH"`);
  },
};

const command = commands[process.argv[2] ?? ''];
if (command === undefined || process.argv.length !== 3) {
  fail(`usage: main.ts ${Object.keys(commands).join('|')}`);
} else {
  await command().catch((error: unknown) => {
    fail(error instanceof Error ? error.message : String(error));
  });
}

async function runningCluster(): Promise<Cluster> {
  const cluster = await provider().running();
  if (cluster === undefined) throw new Error('none is up');
  return cluster;
}

function fail(line: string): void {
  console.error(`cluster: ${line}`);
  process.exitCode = 1;
}
