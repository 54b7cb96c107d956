/**
 * The admin's kubeconfig: found as kubectl finds it, and one context of it chosen.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { OutgoingHttpHeaders } from 'node:http';
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
// The whole client, since a person's credentials come from plug-ins, OpenID Connect and through proxies.
import { KubeConfig, type User } from '@kubernetes/client-node';
import type { Authenticator } from '@kubernetes/client-node/dist/auth.js';
import { load } from 'js-yaml';
import * as z from 'zod/mini';
import { printable } from '../bundle/text.ts';
import { UsageProblem, explain } from '../host/problem.ts';

interface Choice {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** The files that are there. @throws UsageProblem when there is none, and no pod's service account either */
function filesOf({ kubeconfig }: Choice, environment: NodeJS.ProcessEnv): readonly string[] {
  // An empty option names no file, as for kubectl.
  const listed = kubeconfig ? [kubeconfig] : (environment['KUBECONFIG'] ?? '').split(delimiter);
  const named = listed.filter((file) => file !== '');
  const files = named.length > 0 ? named : [join(environment['HOME'] ?? homedir(), '.kube', 'config')];
  const found = files.filter((file) => existsSync(file));
  if (found.length === 0 && (named.length > 0 || environment['KUBERNETES_SERVICE_HOST'] === undefined))
    throw new UsageProblem(
      `no kubeconfig: ${files.join(', ')}: no such file; name one by --kubeconfig, or in the variable KUBECONFIG`,
    );
  return found;
}

/** Far more than any is; client-node reads to the end, whatever that is. */
const mostBytes = 16 * 1024 * 1024;

/** A file that an entry names is not to be had. */
export function unreadable(entry: string, file: string, error: unknown): UsageProblem {
  return new UsageProblem(
    `the kubeconfig's ${entry} ${printable(file)} cannot be read: ${explain(error)}; mend the kubeconfig`,
    { cause: error },
  );
}

/** The entry that client-node overlooks: a file with the user's token, before any token beside it. */
const usersShape = z.object({ users: z.array(z.unknown()) });
const tokenFileShape = z.object({ name: z.string(), user: z.object({ tokenFile: z.string() }) });

const byTokenFile = 'tokenFile';

function withTokenFiles(users: readonly User[], text: string, directory: string): User[] {
  const entries = z.safeParse(usersShape, load(text)).data?.users ?? [];
  const parsed = entries.flatMap((entry) => z.safeParse(tokenFileShape, entry).data ?? []);
  const files = new Map(parsed.map(({ name, user }) => [name, user.tokenFile]));
  return users.map((user) => {
    const file = files.get(user.name);
    if (!file) return user;
    return { ...user, token: '', authProvider: { name: byTokenFile, config: { file: resolve(directory, file) } } };
  });
}

/** Read anew for each list, since what writes such a file renews it. */
const tokenFileReader: Authenticator = {
  isAuthProvider: ({ authProvider }) => (authProvider as { name?: unknown } | null)?.name === byTokenFile,
  async applyAuthentication({ authProvider }, options: RequestOptions) {
    const { file } = (authProvider as { config: { file: string } }).config;
    const token = await readFile(file, 'utf8').catch((error: unknown) => {
      throw unreadable(byTokenFile, file, error);
    });
    options.headers = { ...(options.headers as OutgoingHttpHeaders), Authorization: `Bearer ${token.trim()}` };
  },
};

function loadFile(file: string): KubeConfig {
  const config = new KubeConfig();
  const stats = statSync(file);
  // A shell gives what a command prints as a pipe.
  if (!(stats.isFile() || stats.isFIFO()) || stats.size > mostBytes)
    throw new UsageProblem(`${file} is no kubeconfig: it is no file, or a huge one`);
  try {
    const text = readFileSync(file, 'utf8');
    // As for kubectl: a file without a word has no entries, and what is not chosen may lack anything.
    if (!/^\s*[^#\s]/m.test(text)) return config;
    config.loadFromString(text, { onInvalidEntry: 'filter' });
    config.makePathsAbsolute(dirname(file));
    config.users = withTokenFiles(config.users, text, dirname(file));
  } catch (error) {
    throw new UsageProblem(`${file} cannot be read as a kubeconfig: ${explain(error)}`, { cause: error });
  }
  return config;
}

/** Of several entries with one name the first holds, as for kubectl. */
function firstOf<T extends { readonly name: string }>(lists: readonly (readonly T[])[]): T[] {
  const byName = new Map<string, T>();
  for (const entry of lists.flat()) if (!byName.has(entry.name)) byName.set(entry.name, entry);
  return [...byName.values()];
}

function merge(configs: readonly KubeConfig[]): KubeConfig {
  const merged = new KubeConfig();
  merged.addAuthenticator(tokenFileReader);
  merged.loadFromOptions({
    clusters: firstOf(configs.map(({ clusters }) => clusters)),
    users: firstOf(configs.map(({ users }) => users)),
    contexts: firstOf(configs.map(({ contexts }) => contexts)),
    currentContext: configs.map((config) => config.getCurrentContext()).find(Boolean),
  });
  return merged;
}

function listOf(config: KubeConfig): string {
  const names = config.getContexts().map(({ name }) => name);
  return names.length === 0
    ? 'it has none'
    : `it has ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', ...' : ''}`;
}

function choose(config: KubeConfig, context: string | undefined, where: string): void {
  const wanted = [context, config.getCurrentContext()].find(Boolean);
  if (wanted === undefined)
    throw new UsageProblem(`${where}: no current context; choose one by --context: ${listOf(config)}`);
  const found = config.getContextObject(wanted);
  if (found === null) throw new UsageProblem(`--context ${wanted}: ${where} has no such context; ${listOf(config)}`);
  config.setCurrentContext(wanted);
  if (config.getCluster(found.cluster) === null)
    throw new UsageProblem(
      `${where}: context ${wanted} names the cluster ${found.cluster}, which is not there or has no server`,
    );
  if (config.getUser(found.user) === null)
    throw new UsageProblem(`${where}: context ${wanted} names the user ${found.user}, which is not there`);
}

/**
 * Loads what kubectl would: --kubeconfig, else the files of KUBECONFIG together, else ~/.kube/config, else the service
 * account of the pod.
 * @throws UsageProblem when there is none, or not the context
 */
export function loadKubeconfig(choice: Choice, environment: NodeJS.ProcessEnv): KubeConfig {
  const files = filesOf(choice, environment);
  const config = merge(files.map(loadFile));
  if (files.length === 0) config.loadFromCluster();
  choose(config, choice.context, files.join(', '));
  return config;
}
