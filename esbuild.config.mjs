/**
 * Builds dist/: the program as one entry and chunks that are read when first needed.
 *
 * Two steps, both for memory at rest. Only ES modules can be split, so that a running agent never reads what prints
 * tables or starts processes. Only CommonJS leaves Node's own modules lazy: importing node:http as an ES module reads
 * every export of it, WebSocket included, and costs 10 MB.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { build, transform } from 'esbuild';

const outdir = 'dist';
const target = 'node24';

rmSync(outdir, { recursive: true, force: true });
const { outputFiles } = await build({
  entryPoints: { 'node-ca-trust': 'src/main.ts' },
  outdir,
  outExtension: { '.js': '.cjs' },
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target,
  minify: true,
  legalComments: 'external',
  write: false,
  logLevel: 'warning',
});
mkdirSync(outdir, { recursive: true });
for (const { path, text } of outputFiles) {
  const options = { format: 'cjs', platform: 'node', target, minify: true, supported: { 'dynamic-import': false } };
  writeFileSync(path, path.endsWith('.cjs') ? (await transform(text, options)).code : text);
}
