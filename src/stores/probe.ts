/**
 * A question to a server: does the host's store verify it? It tells a person who rotates a CA whether what was made
 * trusted is what the servers show; it never undoes a change.
 */
import { isIP } from 'node:net';
import type { Host } from '../host/host.ts';
import { explain } from '../host/problem.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What came of it. */
export interface Probe {
  readonly address: string;
  readonly verified: boolean;
  /** Why not; empty when it is verified. */
  readonly message: string;
}

const answerMs = 5_000;

function addressText({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** A handshake as a client of the host makes one, certificate and name verified. Rejects when it fails. */
async function handshake({ host, port }: Address, ca: string): Promise<void> {
  // Loaded when asked for: most agents probe nothing.
  const { connect } = await import('node:tls');
  const name = isIP(host) === 0 ? { servername: host } : {};
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host, port, ca, timeout: answerMs, ...name }, () => {
      socket.destroy();
      resolve();
    });
    socket.on('timeout', () => socket.destroy(new Error(`no answer within ${answerMs / 1000} s`)));
    socket.on('error', reject);
  });
}

/** Asks each of the servers, all at once. @param bundle the path of the host's host's bundle */
export async function probeAll(host: Host, bundle: string, addresses: readonly Address[]): Promise<readonly Probe[]> {
  const ca = host.read(bundle)?.toString('latin1');
  const asked = addresses.map(async (address): Promise<Probe> => {
    const about = { address: addressText(address) };
    // Nothing to verify by would mean Node's own authorities.
    if (!ca) return { ...about, verified: false, message: `${bundle} is missing or empty on the host` };
    try {
      await handshake(address, ca);
      return { ...about, verified: true, message: '' };
    } catch (error) {
      return { ...about, verified: false, message: explain(error) };
    }
  });
  return Promise.all(asked);
}
