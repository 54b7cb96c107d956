/**
 * Where a cluster is and as whom an admin goes there, from a kubeconfig; and what to say when that does not lead there.
 */
import type { OutgoingHttpHeaders } from 'node:http';
import { Agent as SecureAgent, type RequestOptions } from 'node:https';
import { getCACertificates } from 'node:tls';
import type { KubeConfig } from '@kubernetes/client-node';
import { printable } from '../bundle/text.ts';
import { withinTime } from '../host/clock.ts';
import { UsageProblem, errnoOf, explain } from '../host/problem.ts';

export interface Door {
  readonly url: string;
  readonly options: RequestOptions;
  /** For a person: where, as whom. */
  readonly where: string;
  readonly user: string;
  /** What names a proxy on the way, if any. */
  readonly proxy: string | undefined;
}

/** A plug-in may send a person to a browser; for longer it hangs. */
const pluginMs = 60_000;

/** What went wrong, with the path that a system error is about. */
export function why(error: unknown): string {
  // Several addresses of one name fail together.
  const one = error instanceof AggregateError ? (error.errors as unknown[])[0] : error;
  if (!(one instanceof Error)) return explain(one);
  const line = one.message.split('\n').find((text) => text.trim() !== '');
  // Node adds how it itself is started for other CAs.
  return line?.replace(/; if the root CA is installed locally.*/, '') ?? errnoOf(one) ?? 'it said nothing';
}

/** Why a plug-in gave no credentials. */
function pluginTrouble(command: string, error: unknown): string {
  const isStrange = error instanceof SyntaxError || error instanceof TypeError;
  return `its plug-in ${printable(command)}: ${isStrange ? 'what it printed is no ExecCredential' : why(error)}`;
}

/** The credentials of the kubeconfig's user, and how to reach the server with them. */
async function credentials(config: KubeConfig, signal: AbortSignal): Promise<RequestOptions> {
  const user = config.getCurrentUser();
  const plugin = user?.exec as { readonly command?: string } | undefined;
  const headers: OutgoingHttpHeaders = { accept: 'application/json', 'accept-encoding': 'gzip' };
  const options: RequestOptions = { headers };
  try {
    await withinTime(config.applyToHTTPSOptions(options), pluginMs, signal);
    return options;
  } catch (error) {
    const trouble = plugin?.command === undefined ? why(error) : pluginTrouble(plugin.command, error);
    throw new UsageProblem(
      `the credentials of the kubeconfig's user ${user?.name ?? ''} cannot be had: ${trouble}; log in again, or mend the kubeconfig`,
      { cause: error },
    );
  }
}

/** What names a proxy on the way to the server, if anything does. */
function proxyOf(isOwn: boolean, environment: NodeJS.ProcessEnv): string | undefined {
  if (!isOwn) return 'proxy-url';
  return ['HTTPS_PROXY', 'https_proxy'].find((name) => (environment[name] ?? '') !== '');
}

/** Where to and as whom: made anew for each list, since credentials age. */
export async function openDoor(config: KubeConfig, environment: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Door> {
  const { server: url = '', proxyUrl = '' } = config.getCurrentCluster() ?? {};
  const options = await credentials(config, signal);
  // kubectl trusts the machine's own store where the kubeconfig names no CA, and takes the proxy that the variables name.
  const isOwn = proxyUrl === '';
  if (isOwn && url.startsWith('https:')) {
    const { ca = [...getCACertificates('default'), ...getCACertificates('system')] } = options;
    const { cert, key, servername, rejectUnauthorized } = options;
    const identity = { ca, cert, key, servername, rejectUnauthorized };
    options.agent = new SecureAgent({ ...identity, keepAlive: true, proxyEnv: environment });
  }
  const where = `${url} (context ${config.getCurrentContext()})`;
  return { url, options, where, user: config.getCurrentUser()?.name ?? '', proxy: proxyOf(isOwn, environment) };
}

/** What to do when there is no answer. */
export function adviceOn(error: unknown, { proxy }: Door): string {
  const code = errnoOf(error) ?? '';
  const between = proxy === undefined ? '' : ` (${proxy} names a proxy)`;
  // By the names that OpenSSL and Node give what is wrong with a server's certificate.
  if (/CERT|LEAF_SIGNATURE/.test(code))
    return `the kubeconfig's CA does not vouch for what answers: is it the right context, and no proxy in between?${between}`;
  return `is it the right context, and does the network lead there?${between}`;
}
