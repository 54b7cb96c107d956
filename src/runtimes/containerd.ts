/**
 * containerd: it reads the directories of its registries' settings anew at every pull, where its configuration names some.
 */
import { askGrpc } from '../host/ask.ts';
import type { Host } from '../host/host.ts';
import { readContainerdConfig } from './containerd-config.ts';
import type { Runtime, RuntimeKind, RuntimeProcess, Way } from './runtime.ts';

async function versionOf(host: Host, socket: string): Promise<string | undefined> {
  const answer = await askGrpc(host, socket, '/containerd.services.version.v1.Version/Version');
  return answer?.get(1);
}

/** When the host was booted, in milliseconds since the epoch (proc_stat(5)); undefined where it does not say. */
function bootedAt(host: Host): number | undefined {
  const seconds = /^btime (\d+)$/m.exec(host.read('/proc/stat')?.toString('utf8') ?? '')?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

/** The time of boot is rounded to a second, and some write the configuration just before they start containerd. */
const roundingMs = 2_000;

/** A file that was written after the process was started, and so may not be what it was started with. */
function newerFile(host: Host, files: readonly string[], { started }: RuntimeProcess): string | undefined {
  const booted = bootedAt(host);
  if (booted === undefined) return undefined;
  const startedMs = booted + started * 1000 + roundingMs;
  return files.find((file) => (host.target(file)?.changed ?? 0) > startedMs);
}

async function look(host: Host, process: RuntimeProcess): Promise<Runtime | undefined> {
  const { address } = readContainerdConfig(host, process.argv, undefined);
  const version = await versionOf(host, address);
  const { pullsForNode, way, notes, files } = readContainerdConfig(host, process.argv, version);
  if (!pullsForNode) return undefined;
  const newer = newerFile(host, files, process);
  const why = `${newer ?? ''} was written after it was started, so what it runs with is not known`;
  const known: Way = newer === undefined ? way : { kind: 'restart', why };
  return { name: 'containerd', process, socket: address, version, way: known, notes };
}

export const containerd: RuntimeKind = { name: 'containerd', comm: 'containerd', look };
