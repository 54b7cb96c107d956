// Registries: Debian's docker-registry, in a machine, with a certificate that can be changed, and a tiny image in it.
import { createHash } from 'node:crypto';
import type { Cert } from '../../sandbox/harness/certs.ts';
import { address, type Machine, type Service } from './machine.ts';

/** Completed by a registry's name, it names the one image that there is. Docker Hub's names need the first part. */
export const image = 'library/tiny:1';

export interface Registry {
  /** Shows this certificate from now on. */
  use(cert: Cert): Promise<void>;
  /** The requests that it has had since it was started, one line each. */
  requests(): string;
}

export interface RegistryOptions {
  /** Without one it speaks plain HTTP. */
  readonly cert?: Cert;
  /** Default: the machine's own address. */
  readonly host?: string;
  readonly port: number;
  /** Has no image: each pull is told that there is none. */
  readonly empty?: boolean;
}

/** As much of a machine as a registry needs. */
export interface Place extends Pick<Machine, 'inside' | 'write'> {
  start(...words: Parameters<Machine['start']>): Promise<Pick<Service, 'log' | 'stop'>>;
}

/** Starts a registry; all that are not empty have the same image. It ends with its machine. */
export async function startRegistry(machine: Place, options: RegistryOptions): Promise<Registry> {
  const { port, host = address, empty = false } = options;
  const url = `${options.cert === undefined ? 'http' : 'https'}://${host}:${port}`;
  const start = async (cert: Cert | undefined): Promise<Pick<Service, 'log' | 'stop'>> => {
    const directory = `/etc/registries/${port}`;
    const config = {
      version: '0.1',
      log: { accesslog: { disabled: false }, level: 'error' },
      storage: { filesystem: { rootdirectory: empty ? '/srv/empty' : '/srv/registry' } },
      http: {
        addr: `${host}:${port}`,
        ...(cert === undefined ? {} : { tls: { certificate: `${directory}/crt`, key: `${directory}/key` } }),
      },
    };
    await machine.write(`${directory}/crt`, cert?.pem ?? '');
    await machine.write(`${directory}/key`, cert?.key ?? '');
    // JSON is YAML.
    await machine.write(`${directory}/config.yml`, JSON.stringify(config));
    return machine.start(['docker-registry', 'serve', `${directory}/config.yml`], async () => {
      const { code, stderr } = await machine.inside('curl', '-ksSf', `${url}/v2/`);
      if (code !== 0) throw new Error(stderr);
    });
  };
  let service = await start(options.cert);
  if (!empty) await push(machine, url);
  return {
    requests: () => service.log(),
    async use(cert) {
      await service.stop('KILL');
      service = await start(cert);
    },
  };
}

/** Writes the image by the registry's HTTP interface, as `docker push` does, unless it is there. */
async function push(machine: Place, url: string): Promise<void> {
  const layer = tarOf('hello', 'a tiny image\n');
  const described = (mediaType: string, bytes: Buffer) => ({ mediaType, size: bytes.length, digest: digestOf(bytes) });
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Cmd: ['/hello'] },
      rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
    }),
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType,
    config: described('application/vnd.oci.image.config.v1+json', config),
    layers: [described('application/vnd.oci.image.layer.v1.tar', layer)],
  });
  await machine.write('/srv/image/layer', layer.toString('latin1'));
  await machine.write('/srv/image/config', config.toString());
  await machine.write('/srv/image/manifest', manifest);
  const [repository = '', tag = ''] = image.split(':');
  const script = `cd /srv/image
    if curl -ksf -o /dev/null "$1/manifests/$2" -H "Accept: $3"; then exit 0; fi
    for blob in layer config; do
      digest=sha256:$(sha256sum < "$blob" | cut -d ' ' -f 1)
      place=$(curl -ksSf -X POST -D - -o /dev/null "$1/blobs/uploads/" | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
      curl -ksSf -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$blob" "$place&digest=$digest"
    done
    curl -ksSf -X PUT -H "Content-Type: $3" --data-binary @manifest "$1/manifests/$2"`;
  const { code, stderr } = await machine.inside('sh', '-euc', script, 'sh', `${url}/v2/${repository}`, tag, mediaType);
  if (code !== 0) throw new Error(`the image cannot be pushed to ${url}: ${stderr}`);
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** An archive of one file (POSIX ustar): a header of 512 bytes, the text filled up to 512, and an end of two zero blocks. */
function tarOf(name: string, text: string): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`;
  const fields: readonly (readonly [number, string])[] = [
    [0, name],
    [100, octal(0o755, 8)],
    [108, octal(0, 8)],
    [116, octal(0, 8)],
    [124, octal(text.length, 12)],
    [136, octal(0, 12)],
    [148, ' '.repeat(8)],
    [156, '0'],
    [257, 'ustar\x0000'],
  ];
  for (const [offset, value] of fields) header.write(value, offset, 'latin1');
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
    'latin1',
  );
  return Buffer.concat([header, Buffer.from(text.padEnd(512, '\0')), Buffer.alloc(1024)]);
}
