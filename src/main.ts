/**
 * The program: the process's own arguments, environment, streams and signals, handed to cli.ts.
 */
import { constants } from 'node:os';
import { main } from './cli.ts';

/** What ends in its own time. Any other command ends at once: what it was at, its next run finishes or undoes. */
const patient: ReadonlySet<string> = new Set(['run', 'status']);

const [, , command = ''] = process.argv;
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (patient.has(command)) stop.abort();
    // As a shell says it; the kernel ends no first process of a container that does not end itself.
    else process.exit(128 + constants.signals[signal]);
  });
}
// A reader that went away (`| head`) is no reason for a stack trace, nor for the daemon to end.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

/** Ends when all is said: a request that an API server never answers must not keep the process. */
function end(code: number): void {
  process.stdout.write('', (error?: NodeJS.ErrnoException | null) => {
    if (!error || error.code === 'EPIPE') process.exit(code);
    // What a full disk did not take is lost to the script that asked for it.
    process.stderr.write(`node-ca-trust: the output cannot be written (${error.code ?? error.message})\n`);
    process.exit(code === 0 ? 1 : code);
  });
}

main(process.argv.slice(2), process.env, process, stop.signal).then(end, (error: unknown) => {
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`node-ca-trust: internal error: ${what}\n`, () => {
    // A daemon that makes no passes must not go on answering probes: the kubelet starts it anew.
    end(70);
  });
});
