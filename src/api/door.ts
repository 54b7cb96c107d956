/**
 * Where a cluster is and as whom an admin goes there, from a kubeconfig; and what to say when that does not lead there.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { Agent as SecureAgent, type RequestOptions } from 'node:https';
import { getCACertificates } from 'node:tls';
import type { KubeConfig } from '@kubernetes/client-node';
import { printable } from '../bundle/text.ts';
import { withinTime } from '../host/clock.ts';
import { UsageProblem, errnoOf, explain } from '../host/problem.ts';
import { unreadable } from './kubeconfig.ts';

export interface Door {
  readonly url: string;
  readonly options: RequestOptions;
  /** For a person: where, as whom. */
  readonly where: string;
  readonly user: string;
  /** What names a proxy on the way, if any. */
  readonly proxy: string | undefined;
  /** Lets go of the connections of this door; those of client-node's agents serve other lists too. */
  readonly close: () => void;
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

/** Why there are no credentials. What a plug-in printed, or an entry that is not there, fails where it is looked into. */
function trouble(error: unknown, user: object): string {
  const { exec, authProvider } = user as Record<string, { command?: string; name?: string } | undefined>;
  const isStrange = error instanceof SyntaxError || error instanceof TypeError;
  if (exec?.command !== undefined)
    return `its plug-in ${printable(exec.command)}: ${isStrange ? 'what it printed is no ExecCredential' : why(error)}`;
  if (authProvider?.name !== undefined)
    return `its auth-provider ${printable(authProvider.name)}: ${isStrange ? 'its config lacks what it needs' : why(error)}`;
  return why(error);
}

/** The credentials of the kubeconfig's user, and how to reach the server with them. */
async function credentials(config: KubeConfig, signal: AbortSignal): Promise<RequestOptions> {
  const options: RequestOptions = { headers: { accept: 'application/json', 'accept-encoding': 'gzip' } };
  try {
    await withinTime(config.applyToHTTPSOptions(options), pluginMs, signal);
    return options;
  } catch (error) {
    if (error instanceof UsageProblem) throw error;
    const user = config.getCurrentUser() ?? { name: '' };
    throw new UsageProblem(
      `the credentials of the kubeconfig's user ${printable(user.name)} cannot be had: ${trouble(error, user)}; log in again, or mend the kubeconfig`,
      { cause: error },
    );
  }
}

function requireAddress(entry: string, address: string, protocols: RegExp): void {
  if (protocols.test(URL.parse(address)?.protocol ?? '')) return;
  throw new UsageProblem(
    `the kubeconfig's ${entry} ${printable(address)} is no address such as https://api.example.com:6443; mend the kubeconfig`,
  );
}

function requireFile(entry: string, file: string): void {
  try {
    accessSync(file, constants.R_OK);
    if (statSync(file).isDirectory()) throw new Error('it is a directory');
  } catch (error) {
    throw unreadable(entry, file, error);
  }
}

/** @throws UsageProblem when an entry of the kubeconfig leads nowhere: client-node's errors do not say which */
function requireEntries(config: KubeConfig): void {
  const { server = '', proxyUrl, caFile } = config.getCurrentCluster() ?? {};
  const { certFile, keyFile } = config.getCurrentUser() ?? {};
  requireAddress('server', server, /^https?:$/);
  if (proxyUrl) requireAddress('proxy-url', proxyUrl, /^(https?|socks\w*):$/);
  if (caFile) requireFile('certificate-authority', caFile);
  if (certFile) requireFile('client-certificate', certFile);
  if (keyFile) requireFile('client-key', keyFile);
}

/** What names a proxy on the way to the server, if anything does. */
function proxyOf(isOwn: boolean, environment: NodeJS.ProcessEnv): string | undefined {
  if (!isOwn) return 'proxy-url';
  return ['HTTPS_PROXY', 'https_proxy'].find((name) => (environment[name] ?? '') !== '');
}

/** Where to and as whom: made anew for each list, since credentials age. */
export async function openDoor(config: KubeConfig, environment: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Door> {
  const { server: url = '', proxyUrl = '' } = config.getCurrentCluster() ?? {};
  requireEntries(config);
  const options = await credentials(config, signal);
  // kubectl trusts the machine's own store where the kubeconfig names no CA, and takes the proxy that the variables name.
  const isOwn = proxyUrl === '';
  let agent: SecureAgent | undefined;
  if (isOwn && url.startsWith('https:')) {
    const { ca = [...getCACertificates('default'), ...getCACertificates('system')] } = options;
    const { cert, key, servername, rejectUnauthorized } = options;
    const identity = { ca, cert, key, servername, rejectUnauthorized };
    agent = new SecureAgent({ ...identity, keepAlive: true, proxyEnv: environment });
    options.agent = agent;
  }
  // A kubeconfig comes from elsewhere as often as not.
  const where = `${printable(url)} (context ${printable(config.getCurrentContext())})`;
  const user = printable(config.getCurrentUser()?.name ?? '');
  const close = (): void => agent?.destroy();
  return { url, options, where, user, proxy: proxyOf(isOwn, environment), close };
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
