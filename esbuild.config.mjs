/**
 * Builds dist/: the program as one entry and chunks that are read when first needed. metafile.json tells what is in it.
 *
 * Two steps, both for memory at rest. Only ES modules can be split, so that a running agent never reads what prints
 * tables or starts processes. Only CommonJS leaves Node's own modules lazy: importing node:http as an ES module reads
 * every export of it, WebSocket included, and costs 10 MB.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, transform } from 'esbuild';

const outdir = 'dist';
const target = 'node24';

/**
 * client-node's configuration as a pod needs it: where the API server is, its CA, the token. What that file imports for a
 * person's kubeconfig (YAML, OpenID Connect, proxies) and for its own requests (undici, the types of all objects) is
 * never reached in a pod, and is left out of the agent's copy: 7 MiB less at rest. test/api/ runs what this makes.
 */
const inPod = {
  name: 'in-pod',
  setup({ onResolve, onLoad }) {
    const namespace = 'in-pod';
    const file = '@kubernetes/client-node/dist/config.js';
    onResolve({ filter: new RegExp(`^${file}$`) }, () => ({
      path: fileURLToPath(import.meta.resolve(file)),
      namespace,
    }));
    onResolve({ filter: /./, namespace }, ({ path, resolveDir }) => {
      if (path.startsWith('node:')) return { external: true };
      const isKept = path.startsWith('.') && !path.includes('/gen/');
      return isKept ? { path: join(resolveDir, path), namespace } : { path, namespace: 'left-out' };
    });
    onLoad({ filter: /./, namespace }, ({ path }) => ({
      contents: readFileSync(path),
      loader: path.endsWith('.json') ? 'json' : 'js',
      resolveDir: dirname(path),
    }));
    onLoad({ filter: /./, namespace: 'left-out' }, () => ({ contents: 'module.exports = {};' }));
  },
};

/**
 * client-node does not say that its files do nothing but export. What `status` uses nothing of (copies into pods, shells in
 * them, the types of all objects) is left out with this, and with it a third of the bytes and 14 packages.
 */
const exportsOnly = {
  name: 'exports-only',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^(@kubernetes\/client-node$|\.)/ }, async ({ path, ...from }) => {
      const isOurs = (path + from.importer).includes('@kubernetes/client-node');
      if (!isOurs || from.pluginData === exportsOnly) return undefined;
      // What would be found: to ask for each makes the whole take five times as long.
      const file = join(from.resolveDir, path);
      if (path.endsWith('.js') && path.startsWith('.') && existsSync(file)) return { path: file, sideEffects: false };
      return { ...(await resolve(path, { ...from, pluginData: exportsOnly })), sideEffects: false };
    });
  },
};

rmSync(outdir, { recursive: true, force: true });
const { outputFiles, metafile } = await build({
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
  plugins: [inPod, exportsOnly],
  write: false,
  metafile: true,
  logLevel: 'warning',
});
mkdirSync(outdir, { recursive: true });
for (const { path, text } of outputFiles) {
  const options = { format: 'cjs', platform: 'node', target, minify: true, supported: { 'dynamic-import': false } };
  writeFileSync(path, path.endsWith('.cjs') ? (await transform(text, options)).code : text);
}
writeFileSync('metafile.json', JSON.stringify(metafile));
