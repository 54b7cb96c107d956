// A Secret that is not what it should be: trust stays, the agent says why it is not ready, and heals with the Secret.
import { beforeAll, describe, expect, test } from 'vitest';
import { namespace, shows, useScene } from './scene.ts';
import { makeAuthority, serveOn, trusts } from './witness.ts';

const authority = await makeAuthority();
const files = { 'company-ca.crt': authority.ca.pem };
// Each test ends healed: the next one goes on with the same agent.
const scene = await useScene((all) => all.install(files));

beforeAll(() => scene.reset());

const spoil = {
  deleted: () => scene.kubectl('-n', namespace, 'delete', 'secret', 'node-ca-trust'),
  emptied: () => scene.putSecret({}),
  'replaced by rubbish': () => scene.putSecret({ 'company-ca.crt': 'rubbish' }),
  'replaced by a private key': () => scene.putSecret({ 'company-ca.crt': authority.ca.key }),
} as const;

const reasons: Readonly<Record<keyof typeof spoil, RegExp>> = {
  deleted: /^empty: .*the Secret does not exist/,
  emptied: /^empty: .*no source holds a certificate/,
  'replaced by rubbish': /^not-a-certificate: .*company-ca\.crt/,
  'replaced by a private key': /^private-key: .*company-ca\.crt/,
};

describe('a Secret that is', () => {
  test.each(Object.keys(spoil) as (keyof typeof spoil)[])('%s leaves the trust, and heals', async (how) => {
    const port = await serveOn(scene.node, authority);
    await spoil[how]();
    await scene.nudged('the agent is not ready', scene.node, async () => !(await scene.readiness(scene.node)).ready);
    expect((await scene.readiness(scene.node)).text).toMatch(reasons[how]);
    const last = (await scene.logs(scene.node)).trimEnd().split('\n').at(-1) ?? '';
    const line = JSON.parse(last) as { level: string; msg: string; removed: string[]; heldBack: string[] };
    expect(line).toMatchObject({ level: 'error', removed: [], heldBack: [authority.ca.fingerprint] });
    expect(line.msg).toMatch(/^not converged: /);
    expect(await trusts(scene.node, port)).toBe(true);
    if (how === 'replaced by rubbish') {
      await shows(/ProbeWarning .*Liveness probe warning: .*not-a-certificate: .*company-ca\.crt/, scene.describePods);
    }
    await scene.putSecret(files);
    await scene.nudged('the agent is ready', scene.node, async () => (await scene.readiness(scene.node)).ready);
    expect(await trusts(scene.node, port)).toBe(true);
    await scene.rollout();
  });

  test('in another namespace is none', async () => {
    await scene.reset();
    const secret = ['secret', 'generic', 'node-ca-trust', `--from-literal=company-ca.crt=${authority.ca.pem}`];
    await scene.kubectl('-n', 'default', 'create', ...secret);
    try {
      await scene.label(scene.node);
      const says = async (): Promise<boolean> => (await scene.readiness(scene.node)).text.startsWith('empty: ');
      await scene.nudged('the agent says that the bundle is empty', scene.node, says);
      await shows(/not converged: empty: secret node-ca-trust\/node-ca-trust: the Secret does not exist/, () =>
        scene.logs(scene.node),
      );
    } finally {
      await scene.kubectl('-n', 'default', 'delete', 'secret', 'node-ca-trust');
    }
  });
});
