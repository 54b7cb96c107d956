// The program as it is shipped: built by the project's own build, started with the image's own options.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const project = fileURLToPath(new URL('../..', import.meta.url));

export interface Production {
  /** Node's options, from the Dockerfile's ENTRYPOINT. */
  readonly nodeOptions: readonly string[];
  /** The built program. */
  readonly program: string;
  /** worker.ts, built in the same way. */
  readonly worker: string;
  /** A program that does nothing and does not end; another that ends at once. */
  readonly empty: string;
  readonly ending: string;
}

/** Builds below a directory; the project's own dist/ is left as it is. */
export async function buildProduction(directory: string): Promise<Production> {
  mkdirSync(directory);
  // The build takes src/ from, and puts dist/ into, the directory that it runs in.
  symlinkSync(join(project, 'src'), join(directory, 'src'));
  execFileSync(process.execPath, [join(project, 'esbuild.config.mjs')], { cwd: directory, stdio: 'inherit' });
  const worker = join(directory, 'worker.cjs');
  const [empty, ending] = [join(directory, 'empty.cjs'), join(directory, 'ending.cjs')];
  await build({
    entryPoints: [fileURLToPath(new URL('worker.ts', import.meta.url))],
    outfile: worker,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    minify: true,
    logLevel: 'warning',
  });
  writeFileSync(empty, 'setInterval(() => undefined, 2 ** 30);\n');
  writeFileSync(ending, '');
  return { nodeOptions: imageOptions(), program: join(directory, 'dist/node-ca-trust.cjs'), worker, empty, ending };
}

/** What stands between `node` and the program in the ENTRYPOINT. */
function imageOptions(): readonly string[] {
  const entryPoint = /^ENTRYPOINT (\[.*\])$/m.exec(readFileSync(join(project, 'Dockerfile'), 'utf8'))?.[1] ?? '[]';
  const options = (JSON.parse(entryPoint) as string[]).slice(1, -1);
  if (options.length === 0) throw new Error('the Dockerfile has no ENTRYPOINT with options for Node in one line');
  return options;
}
