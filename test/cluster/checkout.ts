// A checkout of the project in which what a page says is typed, word for word: kubectl and helm reach the cluster.
import { execa } from 'execa';
import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { project } from '../image/machine.ts';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import { base } from './installed.ts';
import type { Files, Scene } from './scene.ts';

export interface Checkout extends AsyncDisposable {
  /** Runs commands to the first that fails, and gives what they printed. `deploy/base` is what the tests install. */
  run(script: string): Promise<string>;
}

/** Opens one in which these files lie too; `$NODE` is the node that the tests label. */
export async function openCheckout(scene: Scene, files: Files = {}): Promise<Checkout> {
  const directory = await mkdtemp(join(tmpdir(), 'checkout-'));
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  // People edit what they apply.
  await cp(join(project, 'deploy'), join(directory, 'deploy'), { recursive: true });
  for (const name of ['src', 'package.json', 'node_modules']) await symlink(join(project, name), join(directory, name));
  const PATH = [...scene.cluster.path, cleanEnvironment['PATH']].join(':');
  const env = { ...cleanEnvironment, ...scene.cluster.environment, PATH, NODE: scene.node.name };
  return {
    run: async (script) => {
      const applied = script.replaceAll('deploy/base', relative(project, base));
      const options = { cwd: directory, env, extendEnv: false, stdin: 'ignore', timeout: 240_000 } as const;
      return (await execa('sh', ['-euc', applied], options)).stdout;
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}

/** The digest in what `check` printed. Throws when it has none. */
export function digestIn(printed: string): string {
  const [digest] = /\b[0-9a-f]{64}\b/.exec(printed) ?? [];
  if (digest === undefined) throw new Error(`check printed no digest: ${printed}`);
  return digest;
}
