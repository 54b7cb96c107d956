// A private registry on the machine itself: Debian's docker-registry over TLS, with one image that runs.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePackages } from '../runtimes/harness/debian.ts';
import type { Cert } from '../sandbox/harness/certs.ts';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import { binary } from './binaries.ts';
import { run } from './process.ts';
import { eventually } from './scene.ts';

export interface Registry extends AsyncDisposable {
  /** Shows this certificate from now on. */
  use(cert: Cert): Promise<void>;
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json';

interface Answer {
  readonly status: number;
  readonly location: string;
}

/** Whoever puts an image into it has not asked who it is. */
function ask(
  method: string,
  url: string,
  body: Buffer = Buffer.alloc(0),
  type = 'application/octet-stream',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': type, 'content-length': body.length, accept: manifestType };
    const sent = request(url, { method, headers, rejectUnauthorized: false, agent: false }, (response) => {
      response.resume();
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, location: response.headers.location ?? '' });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const digestOf = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** The layer of an image that holds the one program `pause`. */
async function layerOf(directory: string): Promise<Buffer> {
  const file = join(directory, 'layer.tar');
  await run('tar', ['-C', join(binary('pause'), '..'), '--owner=0', '--group=0', '--mode=755', '-cf', file, 'pause']);
  return readFileSync(file);
}

/** Puts the image into the registry, as `docker push` does. */
async function push(url: string, name: string, layer: Buffer): Promise<void> {
  const described = (mediaType: string, bytes: Buffer) => ({ mediaType, size: bytes.length, digest: digestOf(bytes) });
  const rootfs = { type: 'layers', diff_ids: [digestOf(layer)] };
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const config = Buffer.from(JSON.stringify({ architecture, os: 'linux', config: { Entrypoint: ['/pause'] }, rootfs }));
  for (const blob of [layer, config]) {
    const { location } = await ask('POST', `${url}/v2/${name}/blobs/uploads/`);
    const { status } = await ask('PUT', `${new URL(location, url).href}&digest=${digestOf(blob)}`, blob);
    if (status !== 201) throw new Error(`the registry does not take the image: ${status}`);
  }
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: manifestType,
    config: described('application/vnd.oci.image.config.v1+json', config),
    layers: [described('application/vnd.oci.image.layer.v1.tar', layer)],
  });
  const { status } = await ask('PUT', `${url}/v2/${name}/manifests/1`, Buffer.from(manifest), manifestType);
  if (status !== 201) throw new Error(`the registry does not take the manifest: ${status}`);
}

/** Starts the registry at an address of the machine; it has the image NAME:1, whose program only waits. */
export async function startRegistry(host: string, port: number, name: string, cert: Cert): Promise<Registry> {
  const packages = await ensurePackages(['docker-registry/bookworm']);
  const program = join(packages['docker-registry/bookworm'], 'usr/bin/docker-registry');
  const directory = mkdtempSync(join(tmpdir(), 'registry-'));
  const file = (at: string): string => join(directory, at);
  const url = `https://${host}:${port}`;
  let service: ChildProcess | undefined;
  const end = async (): Promise<void> => {
    if (service === undefined) return;
    const ended = once(service, 'exit');
    service.kill('SIGKILL');
    await ended;
  };
  const use = async ({ pem, key }: Cert): Promise<void> => {
    await end();
    writeFileSync(file('crt'), pem);
    writeFileSync(file('key'), key);
    service = spawn(program, ['serve', file('config.yml')], { env: cleanEnvironment, stdio: 'ignore' });
    await eventually('the registry answers', () =>
      ask('GET', `${url}/v2/`).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  };
  const tls = { certificate: file('crt'), key: file('key') };
  // JSON is YAML.
  writeFileSync(
    file('config.yml'),
    JSON.stringify({
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: file('storage') } },
      http: { addr: `${host}:${port}`, tls },
    }),
  );
  await use(cert);
  await push(url, name, await layerOf(directory));
  return {
    use,
    async [Symbol.asyncDispose]() {
      await end();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
