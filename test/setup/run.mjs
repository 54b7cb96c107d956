// Runs one command in the foreground as if it had been started directly: same output, same signals, same end.
import { spawn } from 'node:child_process';

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @param {() => void} [after] is called once the command has ended, before this process ends the same way
 */
export function become(command, args, env, after = () => undefined) {
  const child = spawn(command, args, { stdio: 'inherit', env });
  // On a terminal Ctrl-C reaches the whole group by itself; passed on a second time it would mean "now!".
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'));
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    after();
    fail(`cannot start ${command}: ${error.message}`);
  });
  child.on('exit', (code, signal) => {
    after();
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/** @param {string} line what is wrong and what to do about it */
export function fail(line) {
  console.error(`setup: ${line}`);
  process.exit(2);
}
