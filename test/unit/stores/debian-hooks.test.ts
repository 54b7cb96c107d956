import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runInRoot } from '../../../src/host/commands.ts';
import type { Host } from '../../../src/host/host.ts';
import { Problem } from '../../../src/host/problem.ts';
import { alpineFamily } from '../../../src/stores/alpine.ts';
import { emptyHost } from '../support/directories.ts';
import { world } from '../support/fixtures.ts';

const hooks = '/etc/ca-certificates/update.d';
const clock = { now: () => Date.now(), steady: () => 0, sleep: () => Promise.resolve() };
const lock = { descriptor: -1, release: () => undefined };

it('a hook that cannot be started, or not be looked at, keeps no other from hearing and no change from its end', async () => {
  const inner = emptyHost();
  for (const path of ['etc/ssl/certs', 'usr/share/ca-certificates', hooks])
    mkdirSync(join(inner.root, path), { recursive: true });
  writeFileSync(join(inner.root, 'usr/share/ca-certificates/world.crt'), world.pem);
  writeFileSync(join(inner.root, 'etc/ca-certificates.conf'), 'world.crt\n');
  for (const [name, interpreter] of Object.entries({ broken: '/usr/bin/gone', good: '/bin/sh' }))
    writeFileSync(join(inner.root, hooks, name), `#!${interpreter}\ncat > /dev/null\n`, { mode: 0o755 });
  symlinkSync('/mnt/dead/hook', join(inner.root, hooks, 'dead'));
  const heard: string[] = [];
  const host: Host = {
    ...inner,
    target: (path) => {
      if (path === `${hooks}/dead`) throw new Problem('its file system does not answer');
      return inner.target(path);
    },
    run: async (command, args, options) => {
      const [hook = '', ...rest] = args;
      const result = await runInRoot('/', command, [join(inner.root, hook), ...rest], options);
      if (result.code === 0) heard.push(hook);
      return result;
    },
  };
  const told = { announced: ['node-ca-trust-default-0123456789abcdef.crt'], present: [], unheard: [] };
  const change = { add: [], remove: [], clean: [], link: [], refresh: true, required: new Set<string>(), ...told };
  const { notes, unheard } = await alpineFamily.open(host, 'default', clock).change(change, lock);
  expect(heard).toEqual([`${hooks}/good`]);
  expect(notes).toEqual([expect.stringContaining(`${hooks}/broken on the host ended with exit code 127`)]);
  expect(unheard).not.toEqual([]);
  expect(inner.list('/etc/ssl')).toEqual(['certs']);
});
