/**
 * The judges of what the bundle lets pass: the host's `openssl` and GnuTLS, and Go's crypto/x509 where there is a Go.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { environment, type Workshop } from '../unit/bundle/openssl.ts';

/** Compiles the Go program into the workshop; undefined on a machine without Go. */
export function buildGoJudge(workshop: Workshop): string | undefined {
  if (spawnSync('go', ['version'], { env: environment }).status !== 0) return undefined;
  const directory = join(workshop.directory, 'goparse');
  cpSync(join(import.meta.dirname, 'goparse'), directory, { recursive: true });
  const program = join(directory, 'goparse');
  const env = { ...environment, GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local', GOPROXY: 'off' };
  execFileSync('go', ['build', '-o', program, '.'], { cwd: directory, env });
  return program;
}

/** Go's verdict on each PEM block: "ok", version, whether it is a CA and of use, or "error" and why. */
export function askGo(program: string, pems: readonly string[]): readonly string[] {
  // As strict as the newest Go, whatever version go.mod asks for.
  const env = { ...environment, GODEBUG: 'urlstrictcolons=1,x509negativeserial=0' };
  const output = execFileSync(program, { input: pems.join(''), env, maxBuffer: 1024 * 1024 * 1024 });
  return output.toString().trimEnd().split('\n').slice(0, pems.length);
}

/** Those of the PEM blocks that a judge cannot read. One run takes them all; only a failure is looked into. */
function refused(pems: readonly string[], areReadable: (some: readonly string[]) => boolean): readonly string[] {
  if (pems.length === 0 || areReadable(pems)) return [];
  if (pems.length === 1) return pems;
  const half = Math.ceil(pems.length / 2);
  return [...refused(pems.slice(0, half), areReadable), ...refused(pems.slice(half), areReadable)];
}

export function refusedByOpenssl(workshop: Workshop, pems: readonly string[]): readonly string[] {
  return refused(pems, (some) => isReadable(workshop, some));
}

/** certtool reads no more than so many at a time. */
const mostForCerttool = 250;

/** Those with which GnuTLS takes none of a file's certificates. */
export function refusedByGnuTls(pems: readonly string[]): readonly string[] {
  const areTaken = (some: readonly string[]): boolean =>
    spawnSync('certtool', ['--certificate-info'], { input: some.join(''), maxBuffer: 1024 ** 3 }).status === 0;
  const parts = Array.from({ length: Math.ceil(pems.length / mostForCerttool) }, (_, at) =>
    pems.slice(at * mostForCerttool, (at + 1) * mostForCerttool),
  );
  return parts.flatMap((part) => refused(part, areTaken));
}

function isReadable(workshop: Workshop, pems: readonly string[]): boolean {
  const file = workshop.file('judged.pem', pems.join(''));
  const output = workshop.path('p7b');
  const run = spawnSync('openssl', ['crl2pkcs7', '-nocrl', '-certfile', file, '-outform', 'DER', '-out', output], {
    env: environment,
  });
  const total = pems.reduce((sum, pem) => sum + pem.length, 0);
  return run.status === 0 && readFileSync(output).length > total / 2;
}
