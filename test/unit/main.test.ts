// The program as a process: what cli.ts cannot do to the process that tests it.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { temporaryDirectory } from './support/directories.ts';
import { north } from './support/fixtures.ts';

const program = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Says that the standard input is read. */
const reading = `data:text/javascript,process.stdin.once('newListener', () => process.stderr.write('reading'));`;

/** A defect, in every pass and nowhere before. */
const defect = `data:text/javascript,performance.now = () => { throw new Error('a defect'); };`;

it.each(['SIGINT', 'SIGTERM'] as const)('a command that waits for what does not come ends on %s', async (signal) => {
  const words = ['--import', reading, program, 'check', '-'];
  const running = execa(process.execPath, words, {
    env: {},
    extendEnv: false,
    stdin: 'pipe',
    reject: false,
    timeout: 60_000,
  });
  await once(running.stderr, 'data');
  running.kill(signal);
  const exitCode = signal === 'SIGINT' ? 130 : 143;
  expect(await running).toMatchObject({ exitCode, stderr: 'reading', timedOut: false });
});

it('ends with its own exit code on a defect, although its server listens, when the log is written', async () => {
  const bundle = temporaryDirectory();
  writeFileSync(join(bundle, 'ca.crt'), north.pem);
  const words = ['run', '--host-root', temporaryDirectory(), '--bundle', bundle, '--listen', '127.0.0.1:0'];
  // Far longer than it takes; where it goes on, it is ended then.
  const options = { env: {}, extendEnv: false, reject: false, timeout: 60_000 } as const;
  const ended = await execa(process.execPath, ['--import', defect, program, ...words], options);
  expect(ended).toMatchObject({ exitCode: 70, timedOut: false });
  expect(ended.stdout).toMatch(/"listen":"127\.0\.0\.1:\d+","msg":"started"\}$/);
  expect(ended.stderr).toMatch(/^node-ca-trust: internal error: Error: a defect\n +at /);
});
