// Pods whose image lies in a registry that only the company's own CA verifies.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Registry, startRegistry } from './registry.ts';
import { eventually, secondsSince, useScene } from './scene.ts';
import { makeAuthority, onNode, storeOf } from './witness.ts';

const [old, next] = [await makeAuthority(), await makeAuthority()];
const scene = await useScene();
const port = 5443;
/** The name that both authorities' certificates are for. */
const registryName = 'registry.example';
const image = `${registryName}:${port}/team/pause:1`;

let registry: Registry;

beforeAll(async () => {
  const address = await scene.cluster.outside();
  registry = await startRegistry(address, port, 'team/pause', old.server);
  await onNode(scene.node, 'echo "$1 $2" >> /etc/hosts', address, registryName);
});

afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  // Not by another file in its place: a container may be mounted over it.
  await onNode(scene.node, 'text=$(grep -v " $1$" /etc/hosts); echo "$text" > /etc/hosts', registryName);
});

interface Container {
  readonly ready: boolean;
  readonly state: { readonly waiting?: { readonly reason: string; readonly message?: string } };
}

async function containerOf(pod: string): Promise<Container | undefined> {
  const { status } = JSON.parse(await scene.kubectl('get', 'pod', pod, '-o', 'json')) as {
    status: { containerStatuses?: readonly Container[] };
  };
  return status.containerStatuses?.[0];
}

/** The one process on the node that pulls for the kubelet: its number and its start. */
async function runtime(): Promise<string> {
  const script =
    'for p in /proc/[0-9]*; do [ "$(cat "$p/comm" 2>/dev/null)" = containerd ] && cut -d " " -f 1,22 "$p/stat"; done; true';
  const found = await onNode(scene.node, script);
  expect(found).toMatch(/^\d+ \d+$/m);
  return found;
}

/** What containerd reads of registries, and how many images the node has of the private one. */
const settings = (): Promise<string> =>
  onNode(scene.node, 'find /etc/containerd /etc/docker /etc/containers 2>/dev/null -printf "%y %m %p %l\\n" | sort');

function pull(): Promise<boolean> {
  return scene.node.exec('crictl', ['pull', image]).then(({ code }) => code === 0);
}

const forget = (): Promise<string> => onNode(scene.node, 'crictl rmi "$1" > /dev/null 2>&1; true', image);

test('a pod that waits for an image of the private registry runs once its node is labelled', async () => {
  const before = [await settings(), await storeOf(scene.node)];
  const process = await runtime();
  await scene.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'private', namespace: 'default' },
    spec: { nodeName: scene.node.name, terminationGracePeriodSeconds: 0, containers: [{ name: 'pause', image }] },
  });
  await eventually('the pull fails', async () => {
    const waiting = (await containerOf('private'))?.state.waiting;
    return waiting?.reason === 'ErrImagePull' && /x509|unknown authority/.test(waiting.message ?? '');
  });
  await scene.install({ 'company-ca.crt': old.ca.pem });
  const labelled = performance.now();
  // The kubelet waits ever longer before it tries again: 10 s, then 20 s.
  await eventually('the pod runs', async () => (await containerOf('private'))?.ready === true, { seconds: 90 });
  console.log(`from trusted to a running pod, at the kubelet's pace of retries: ${secondsSince(labelled)} s`);
  expect(await runtime()).toBe(process);
  await scene.kubectl('delete', 'pod', 'private');
  await scene.unlabel(scene.node);
  await scene.gone();
  expect([await settings(), await storeOf(scene.node)]).toEqual(before);
  await forget();
});

test('pulls go on through a rotation, and nothing is restarted', async () => {
  await scene.install({ 'old.crt': old.ca.pem });
  const process = await runtime();
  expect(await pull()).toBe(true);
  await forget();
  await registry.use(next.server);
  expect(await pull()).toBe(false);
  await scene.putSecret({ 'old.crt': old.ca.pem, 'new.crt': next.ca.pem });
  const patched = performance.now();
  await scene.nudged('a pull succeeds', scene.node, pull);
  console.log(`from the change of the Secret to a successful pull, the kubelet hurried: ${secondsSince(patched)} s`);
  expect(await runtime()).toBe(process);
  await forget();
});
