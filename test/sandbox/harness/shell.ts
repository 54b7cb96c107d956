// Shell scripts of mounts: one process for many of them keeps the making of a world fast.
import { execa } from 'execa';
import { cleanEnvironment } from './environment.ts';

/** Runs a shell script; `$1`, `$2`... are the words. Throws with what the failing command said. */
export async function shell(script: string, ...words: string[]): Promise<void> {
  const { failed, stderr } = await execa('sh', ['-euc', script, 'sh', ...words], {
    env: cleanEnvironment,
    extendEnv: false,
    reject: false,
  });
  if (failed) throw new Error(`the sandbox cannot be made: ${stderr.trim()}`);
}
