// Runs one command in the foreground as if it had been started directly: same output, same signals, same end.
import { spawn } from 'node:child_process';

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @param {object} [more]
 * @param {() => void} [more.after] is called once the command has ended, before this process ends the same way
 * @param {(child: import('node:child_process').ChildProcess, name: NodeJS.Signals) => void} [more.signal] passes a signal on
 */
export function become(command, args, env, { after = () => undefined, signal = (to, name) => to.kill(name) } = {}) {
  const child = spawn(command, args, { stdio: 'inherit', env });
  // On a terminal Ctrl-C reaches the whole group by itself; passed on a second time it would mean "now!".
  process.on('SIGINT', () => process.stdin.isTTY || signal(child, 'SIGINT'));
  for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => signal(child, name));
  child.on('error', (error) => {
    after();
    fail(`cannot start ${command}: ${error.message}`);
  });
  child.on('exit', (code, name) => {
    after();
    if (name === null) process.exit(code ?? 1);
    process.removeAllListeners(name);
    process.kill(process.pid, name);
  });
}

/** @param {string} line what is wrong and what to do about it */
export function fail(line) {
  console.error(`setup: ${line}`);
  process.exit(2);
}
