/**
 * CRI-O: at every pull it reads the directory of the registry that it pulls from, in the first of its roots that has one
 * (containers-certs.d(5)). None serves all registries.
 */
import { askGrpc } from '../host/ask.ts';
import type { Host } from '../host/host.ts';
import { optionOf } from './arguments.ts';
import type { Runtime, RuntimeKind, RuntimeProcess } from './runtime.ts';

async function look(host: Host, process: RuntimeProcess): Promise<Runtime> {
  const socket = optionOf(process.argv, '--listen') ?? '/var/run/crio/crio.sock';
  const answer = await askGrpc(host, socket, '/runtime.v1.RuntimeService/Version');
  return {
    name: 'cri-o',
    process,
    socket,
    version: answer?.get(3),
    way: { kind: 'directories', lists: [['/etc/containers/certs.d', '/etc/docker/certs.d']], byName: true },
    notes: [],
  };
}

export const crio: RuntimeKind = { name: 'cri-o', comm: 'crio', look };
