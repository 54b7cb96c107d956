// deploy/overlays/writer: an agent without any privilege. The tests' nodes have no systemd: a loop stands in for the path
// unit, and runs the script that the real one runs (test/render/writer.test.ts has the real one).
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { refreshScript } from '../../src/render/refresh-script.ts';
import { requestPath } from '../../src/stores/unit.ts';
import { base, overlays } from './installed.ts';
import { eventually, useScene } from './scene.ts';
import { expectNoFailure, keepAsking, makeAuthority, onNode, serveOn, storeOf, trusts } from './witness.ts';

const writer = join(overlays, 'writer');
const [old, next] = [await makeAuthority(), await makeAuthority()];
const scene = await useScene(() => Promise.resolve());
const place = '/etc/node-ca-trust';
const anchors = '/usr/local/share/ca-certificates';
const state = '/var/lib/node-ca-trust';

const listen = `mkdir -p ${place}; cat > ${place}/refresh.sh
setsid sh -c 'while :; do [ ! -e ${requestPath} ] || sh ${place}/refresh.sh; sleep 0.2; done' \\
  > /var/tmp/refresh.log 2>&1 < /dev/null & echo $! > ${place}/pid`;

let before: string;

beforeAll(async () => {
  await scene.reset();
  // What stays, and is told in docs/privileges.md.
  await onNode(scene.node, `mkdir -p ${state}; chmod 700 ${state}; chown 9641:9641 ${state} ${anchors}`);
  before = await storeOf(scene.node);
  await onNode(scene.node, `chmod 755 ${state}; chown 0:0 ${state} ${anchors}`);
  await scene.kubectl('apply', '-k', writer);
});

afterAll(async () => {
  await scene.unlabel(scene.node);
  await scene.gone();
  await onNode(scene.node, `kill "$(cat ${place}/pid)"; rm -r ${place}; chown 0:0 ${anchors}; rm -rf ${state}`);
  await scene.kubectl('apply', '-k', base);
});

/** Of the agent's process: its user, its capabilities, whether it can come by more, and whether it is filtered. */
async function rights(): Promise<readonly (string | undefined)[]> {
  const script = `for p in /proc/[0-9]*; do
    tr "\\0" " " < "$p/cmdline" 2> /dev/null | grep -q "^node .*/app/node-ca-trust.cjs" && cat "$p/status"; done; true`;
  const status = await onNode(scene.node, script);
  return ['Uid', 'CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp'].map(
    (name) => new RegExp(`^${name}:\\s+(\\w+)`, 'm').exec(status)?.[1],
  );
}

test('without the unit the pod is not ready, and says which unit it waits for', async () => {
  await scene.putSecret({ 'old.crt': old.ca.pem });
  await scene.label(scene.node);
  const said = /^the refresh has not run .*: is node-ca-trust-refresh\.path enabled there\?.*\n503$/s;
  await eventually('it says so', async () => said.test((await scene.readiness(scene.node)).text));
  expect(await trusts(scene.node, await serveOn(scene.node, old))).toBe(false);
});

test('with it the node trusts, and the agent has no right that any user of the node has not', async () => {
  const { code, stderr } = await scene.node.exec('sh', ['-c', listen], { input: refreshScript });
  expect([code, stderr]).toEqual([0, '']);
  await scene.rollout();
  expect(await trusts(scene.node, await serveOn(scene.node, old))).toBe(true);
  expect(await rights()).toEqual(['9641', '0'.repeat(16), '0'.repeat(16), '1', '2']);
});

test('a rotation never fails a request, and unlabelling leaves the store as it was', async () => {
  const [first, second] = [await serveOn(scene.node, old), await serveOn(scene.node, next)];
  const asking = await keepAsking(scene.node, first);
  const has = (count: number) => async (): Promise<boolean> =>
    (await scene.readiness(scene.node)).text.startsWith(`ready, anchors: ${count},`);
  await scene.putSecret({ 'old.crt': old.ca.pem, 'new.crt': next.ca.pem });
  await scene.nudged('the agent has both CAs', scene.node, has(2));
  await asking.turnTo(second);
  await scene.putSecret({ 'new.crt': next.ca.pem });
  await scene.nudged('the agent has one CA', scene.node, has(1));
  expect([await trusts(scene.node, first), await trusts(scene.node, second)]).toEqual([false, true]);
  await expectNoFailure(asking);
  await scene.unlabel(scene.node);
  await scene.gone();
  expect(await trusts(scene.node, second)).toBe(false);
  expect(await storeOf(scene.node)).toBe(before);
});
