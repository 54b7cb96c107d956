// A server whose certificate can be swapped, and the judges that say who trusts what: the real curl and openssl.
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Cert } from './certs.ts';
import type { World } from './world.ts';

export interface TlsServer extends AsyncDisposable {
  readonly url: string;
  readonly name: string;
  /** Inside 127.0.0.0/8, its own for every server. */
  readonly address: string;
  readonly port: number;
  /** Shows this certificate to every connection from now on. */
  use(cert: Cert): void;
  /** Leaves every request without an answer from now on; resolves with the first. */
  neverAnswer(): Promise<unknown>;
  close(): Promise<void>;
}

export interface Verdict {
  readonly trusted: boolean;
  /** What the judge said, in its own words. */
  readonly text: string;
}

/** Starts an HTTPS server that answers every request with 200; its certificate must be good for `name`. */
export async function startTlsServer(cert: Cert, name = 'registry.example'): Promise<TlsServer> {
  const server = createServer({ cert: cert.pem, key: cert.key }, (_, response) => response.end('ok\n'));
  const address = `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}`;
  const { promise: listening, resolve, reject } = Promise.withResolvers<undefined>();
  server.once('error', reject).listen(0, address, () => {
    resolve(undefined);
  });
  await listening;
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    const { promise: closed, resolve: end } = Promise.withResolvers<undefined>();
    server.close(() => {
      end(undefined);
    });
    server.closeAllConnections();
    await closed;
  };
  return {
    url: `https://${name}:${port}/`,
    name,
    address,
    port,
    close,
    use(next) {
      server.setSecureContext({ cert: next.pem, key: next.key });
    },
    neverAnswer() {
      server.removeAllListeners('request');
      return once(server, 'request');
    },
    [Symbol.asyncDispose]: close,
  };
}

/**
 * Whether the world's curl, with its default CA settings, trusts a server. Anything but a verdict on the certificate
 * (no connection, a broken bundle file: curl's exit codes 60 and 77 are verdicts) is an error.
 */
export async function curlTrusts(
  world: World,
  server: Pick<TlsServer, 'url' | 'name' | 'address' | 'port'>,
): Promise<Verdict> {
  const resolve = `${server.name}:${server.port}:${server.address}`;
  const args = ['--silent', '--show-error', '--max-time', '10', '--resolve', resolve, server.url];
  const { code, stdout, stderr } = await world.exec('curl', args);
  if (![0, 60, 77].includes(code)) throw new Error(`curl gave no verdict, exit code ${code}: ${stderr}`);
  return { trusted: code === 0, text: stdout + stderr };
}

/** Where openssl looks: the bundle, or the hashed directory. Paths as the world sees them. */
export type OpensslStore = { readonly cafile: string } | { readonly capath: string };

export const bundleFile = { cafile: '/etc/ssl/certs/ca-certificates.crt' } as const;
export const hashedDirectory = { capath: '/etc/ssl/certs' } as const;

/** Whether the world's `openssl verify` accepts a certificate, looking in that store and nowhere else. */
export async function opensslTrusts(world: World, pem: string, store: OpensslStore): Promise<Verdict> {
  const chosen =
    'cafile' in store
      ? ['-CAfile', store.cafile, '-no-CApath', '-no-CAstore']
      : ['-CApath', store.capath, '-no-CAfile', '-no-CAstore'];
  const { code, stdout, stderr } = await world.exec('openssl', ['verify', ...chosen], { input: pem });
  return { trusted: code === 0, text: stdout + stderr };
}
