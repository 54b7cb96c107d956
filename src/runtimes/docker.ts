/**
 * dockerd: at every pull it reads the directory of the registry that it pulls from. None serves all registries, and none
 * serves Docker Hub.
 */
import * as z from 'zod/mini';
import { askHttp } from '../host/ask.ts';
import type { Host } from '../host/host.ts';
import { optionOf } from './arguments.ts';
import type { Runtime, RuntimeKind, RuntimeProcess } from './runtime.ts';

const answer = z.object({ Version: z.string() });
const info = z.object({ LiveRestoreEnabled: z.boolean() });

/** The first socket that it listens on; `fd://` is systemd's, which lies at the default place. */
function socketOf(argv: readonly string[]): string {
  const address = optionOf(argv, '-H', '--host');
  return address?.startsWith('unix://') === true ? address.slice('unix://'.length) : '/var/run/docker.sock';
}

async function look(host: Host, process: RuntimeProcess): Promise<Runtime> {
  const socket = socketOf(process.argv);
  const said = answer.safeParse(await askHttp(host, socket, '/version'));
  return {
    name: 'docker',
    process,
    socket,
    version: said.success ? said.data.Version : undefined,
    way: { kind: 'directories', lists: [['/etc/docker/certs.d']], byName: true },
    notes: ['docker: pulls from Docker Hub see the store after a restart only'],
  };
}

/** It stops every container when it is stopped, unless told otherwise. */
async function harm(host: Host, { socket }: Runtime): Promise<string | undefined> {
  const said = info.safeParse(await askHttp(host, socket, '/info'));
  if (!said.success) return 'it did not say whether that would stop its containers; the next pass asks again';
  if (said.data.LiveRestoreEnabled) return undefined;
  return 'that would stop every container, since its live-restore is not on; set "live-restore": true in its daemon.json and reload it, or restart it at a time that suits';
}

export const docker: RuntimeKind = { name: 'docker', comm: 'dockerd', look, harm };
