/**
 * The program: the process's own arguments, environment, streams and signals, handed to cli.ts.
 */
import { main } from './cli.ts';

const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    stop.abort();
  });
}
// A reader that went away (`| head`) is no reason for a stack trace, nor for the daemon to end.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

main(process.argv.slice(2), process.env, process, stop.signal).then(
  (code) => {
    // When all is said: a request that an API server never answers must not keep the process.
    process.stdout.write('', () => process.exit(code));
  },
  (error: unknown) => {
    process.stderr.write(
      `node-ca-trust: internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exitCode = 70;
  },
);
