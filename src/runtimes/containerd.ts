/**
 * containerd: it reads the directories of its registries' settings anew at every pull, where its configuration names some.
 */
import { askGrpc } from '../host/ask.ts';
import type { Host } from '../host/host.ts';
import { readMoment } from '../host/moment.ts';
import { explain } from '../host/problem.ts';
import { readContainerdConfig } from './containerd-config.ts';
import type { Runtime, RuntimeKind, RuntimeProcess, Way } from './runtime.ts';

/** When the host was booted, in milliseconds since the epoch (proc_stat(5)); undefined where it does not say. */
function bootedAt(host: Host): number | undefined {
  const seconds = /^btime (\d+)$/m.exec(host.read('/proc/stat')?.toString('utf8') ?? '')?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

/** The time of boot is rounded to a second, and some write the configuration just before they start containerd. */
const roundingMs = 2_000;

/**
 * A file that was written after the process was started, and so may not be what it was started with. Where the clock was
 * set back since, what was written before may look younger: than now, but not than the socket that the process made.
 */
function newerFile(
  host: Host,
  files: readonly string[],
  { started }: RuntimeProcess,
  socket: string,
): string | undefined {
  const booted = bootedAt(host);
  const uptime = readMoment(host)?.seconds;
  if (booted === undefined || uptime === undefined) return undefined;
  const startedMs = Math.max(booted + started * 1000, host.target(socket)?.changed ?? 0) + roundingMs;
  const nowMs = booted + uptime * 1000 + roundingMs;
  return files.find((file) => {
    const changed = host.target(file)?.changed ?? 0;
    return changed > startedMs && changed <= nowMs;
  });
}

async function look(host: Host, process: RuntimeProcess): Promise<Runtime | undefined> {
  const { address } = readContainerdConfig(host, process.argv, undefined);
  const version = (await askGrpc(host, address, '/containerd.services.version.v1.Version/Version'))?.get(1);
  const { pullsForNode, way, broken, files } = readContainerdConfig(host, process.argv, version);
  if (!pullsForNode) return undefined;
  const newer = broken === undefined ? newerFile(host, files, process, address) : undefined;
  const why = `${newer ?? ''} was written after it was started, so what it runs with is not known, and it is not restarted for that`;
  const known: Way = newer === undefined ? way : { kind: 'restart', why, isGuess: true };
  return { name: 'containerd', process, socket: address, version, way: known, notes: [] };
}

/** It would be started with its files as they are now. */
function harm(host: Host, { process, version }: Runtime): Promise<string | undefined> {
  let broken: string | undefined;
  try {
    ({ broken } = readContainerdConfig(host, process.argv, version));
  } catch (error) {
    broken = explain(error);
  }
  return Promise.resolve(broken && `its configuration is broken: ${broken}`);
}

export const containerd: RuntimeKind = { name: 'containerd', comm: 'containerd', look, harm };
