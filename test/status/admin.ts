// The admin: a kubeconfig, and the command as package.json starts it.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Result, attempt } from '../cluster/process.ts';
import { project } from '../image/machine.ts';
import type { ApiServer } from '../api/harness/api-server.ts';

const scratch = (): string => mkdtempSync(join(process.env['NODE_CA_TRUST_SANDBOX'] ?? tmpdir(), 'status-'));
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** Writes a kubeconfig for a user, and gives its path. */
export function kubeconfigFor(
  { url, ca }: { readonly url: string; readonly ca: { readonly pem: string } },
  user: Readonly<Record<string, unknown>>,
  cluster: Readonly<Record<string, unknown>> = { 'certificate-authority-data': base64(ca.pem) },
): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'real', cluster: { server: url, ...cluster } }],
    users: [{ name: 'person', user }],
    contexts: [{ name: 'real', context: { cluster: 'real', user: 'person' } }],
    'current-context': 'real',
  };
  const path = join(scratch(), 'kubeconfig');
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}

/** With every right. */
export function adminKubeconfig(api: ApiServer): string {
  const { pem, key } = api.admin;
  return kubeconfigFor(api, { 'client-certificate-data': base64(pem), 'client-key-data': base64(key) });
}

const { scripts } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8')) as { scripts: { cli: string } };
/** The options for Node, and the program. */
const [, ...words] = scripts.cli.split(' ');

/** Runs the program. */
export function nodeCaTrust(args: readonly string[]): Promise<Result> {
  return attempt(process.execPath, [...words, ...args], { cwd: project, timeout: 60_000 });
}

export interface Measured extends Result {
  readonly seconds: number;
  readonly megabytes: number;
  readonly cpuSeconds: number;
}

/** Runs `status`. @param terminal on one of 120 columns, whose output is all in stdout */
export async function status(
  args: readonly string[],
  { env = {}, terminal = false }: { env?: Readonly<Record<string, string>>; terminal?: boolean } = {},
): Promise<Measured> {
  const measured = join(scratch(), 'measured');
  const command = [process.execPath, '--import', join(import.meta.dirname, 'measure.mjs'), ...words, 'status', ...args];
  const onTerminal = ['-qec', `stty cols 120 rows 40; exec ${command.join(' ')}`, '/dev/null'];
  const [program = '', ...rest] = terminal ? ['script', ...onTerminal] : command;
  const began = performance.now();
  const result = await attempt(program, rest, {
    cwd: project,
    env: { MEASURED_TO: measured, ...env },
    timeout: 120_000,
  });
  const seconds = (performance.now() - began) / 1000;
  const taken = JSON.parse(readFileSync(measured, 'utf8')) as Pick<Measured, 'megabytes' | 'cpuSeconds'>;
  return { ...result, seconds, ...taken };
}
