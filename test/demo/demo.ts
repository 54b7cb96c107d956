// The demo: what node-ca-trust does for a host, shown on a copy-on-write view of this machine. Every command that is
// printed is run as it stands; the kubelet's part is played by the harness. `npm run demo` starts it.
import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { makeCert, makeServerCert, type Cert } from '../sandbox/harness/certs.ts';
import { readBundle } from '../sandbox/harness/classify.ts';
import { cleanEnvironment } from '../sandbox/harness/environment.ts';
import { mountSecret, type SecretFiles, type SecretMount } from '../sandbox/harness/secret-mount.ts';
import { changedPaths, snapshotStore, type Snapshot } from '../sandbox/harness/snapshot.ts';
import { startTlsServer, type TlsServer } from '../sandbox/harness/tls-server.ts';
import { watchBundle } from '../sandbox/harness/watcher.ts';
import { createWorld, type ExecResult, type World } from '../sandbox/harness/world.ts';
import { project, startDaemon, until, type Daemon, type LogLine } from './daemon.ts';
import { action, command, expect, failed, nameIt, note, output, shown, step, stepsTaken, title } from './terminal.ts';

const bundleFile = '/etc/ssl/certs/ca-certificates.crt';
const anchorFiles = '/usr/local/share/ca-certificates';
/** The bundle as some other tool would put it back: the one from before. */
const imageBundle = '/tmp/bundle-of-the-image.crt';
/** What the daemon logs of a pass that ended well. */
const proof = 'the host trusts the bundle';
const instance = 'demo';

interface Stage {
  readonly world: World;
  readonly secret: SecretMount;
  readonly server: TlsServer;
  readonly daemon: Daemon;
  /** Where the daemon answers. */
  readonly probes: string;
  readonly oldCa: Cert;
  readonly newCa: Cert;
  readonly oldServer: Cert;
  readonly newServer: Cert;
}

// ---- The steps ----

async function unknownCa(world: World, server: TlsServer): Promise<void> {
  step('A server whose CA this machine does not know');
  expectRefused(await inView(world, 'curl', '-qsS', server.url));
  shown('refused');
}

async function trust(stage: Stage): Promise<void> {
  const { daemon, oldCa } = stage;
  const empty = await daemon.logged('not converged', 0, ({ msg }) => msg.startsWith('not converged'));
  output(`log: ${empty.msg}`);
  const ms = await bring(stage, { 'ca.crt': oldCa.pem }, 'ca.crt (root 1)', 1);
  await expectReady(stage);
  await expectTrusted(stage);
  shown(`trusted and proven ${ms} ms after the swap`);
}

async function rotate(stage: Stage): Promise<void> {
  const { world, server, oldCa, newCa, oldServer, newServer } = stage;
  step('The CA is rotated while curl asks on and on');
  const whole = { floor: await trustedCount(world), any: [oldCa.fingerprint, newCa.fingerprint] };
  await using watcher = await watchBundle(world, whole);
  await using asking = askOnAndOn(stage);
  const both = await bring(stage, { 'ca.crt': oldCa.pem + newCa.pem }, 'ca.crt (roots 1 and 2)', 2);
  await asking.more(5);
  action('the server shows a certificate that root 2 signed');
  server.use(newServer);
  await asking.more(5);
  const one = await bring(stage, { 'ca.crt': newCa.pem }, 'ca.crt (root 2)', 1);
  await asking.more(5);
  const { requests, failures } = await asking.stop();
  const { reads, firstBad } = await watcher.stop();
  expect('no failed request', failures.length === 0, `${failures.length} of ${requests}: ${failures[0] ?? ''}`);
  const bad = Object.values(firstBad);
  expect('a whole bundle at each read', bad.length === 0, `${bad.join('; ')} (of ${reads} reads)`);
  await writeFile(world.path('/tmp/by-old-ca.crt'), oldServer.pem);
  await writeFile(world.path('/tmp/by-new-ca.crt'), newServer.pem);
  const old = await inView(world, 'openssl', 'verify', '/tmp/by-old-ca.crt');
  expect('the removed CA verifies no more', old.code !== 0, said(old));
  const fresh = await inView(world, 'openssl', 'verify', '/tmp/by-new-ca.crt');
  expect('the new CA verifies', fresh.code === 0, said(fresh));
  shown(`${both} ms to add, ${one} ms to remove; ${requests} curl requests meanwhile, none failed`);
  shown(`the bundle read ${reads} times meanwhile, always whole, always with a CA that serves`);
}

async function refuse(stage: Stage): Promise<void> {
  const { daemon, newCa, oldCa } = stage;
  step('A private key and half a certificate get into the bundle');
  const good = { 'ca.crt': newCa.pem };
  const half = oldCa.pem.slice(0, oldCa.pem.length / 2);
  const mark = daemon.mark();
  await swap(stage, { ...good, 'half.crt': half, 'server.key': oldCa.key }, 'ca.crt (root 2), half.crt, server.key');
  const { findings, msg } = await daemon.logged('both refused', mark, (line) => line.findings.length >= 2);
  for (const { code, source, message } of findings) output(`log: ${code}: ${source}\n  ${message}`);
  const codes = findings.map(({ code, source }) => `${source.slice(source.lastIndexOf('/') + 1)}: ${code}`).sort();
  const expected = ['half.crt: not-a-certificate', 'server.key: private-key'];
  expect(expected.join(', '), codes.join() === expected.join(), codes.join(', '));
  expect('not converged', msg.startsWith('not converged'), msg);
  await expectNotReady(stage);
  await expectTrusted(stage);
  shown('each refused with its reason; the good CA stays trusted');
  const cleaned = performance.now();
  await swap(stage, good, 'ca.crt (root 2)');
  await expectReady(stage);
  shown(`ready again ${since(cleaned)} ms after the swap`);
}

async function repair(stage: Stage): Promise<void> {
  const { newCa } = stage;
  step("The store is damaged behind the daemon's back");
  const anchor = `${anchorFiles}/node-ca-trust-${instance}-${newCa.fingerprint.slice(0, 16)}.crt`;
  await sabotage(stage, 'rm', anchor);
  await sabotage(stage, 'rm', `/etc/ssl/certs/${newCa.subjectHash}.0`);
  await sabotage(stage, 'cp', imageBundle, bundleFile);
  await expectTrusted(stage);
}

/** Does harm, and waits until the daemon has proven that it is undone. */
async function sabotage(stage: Stage, ...words: readonly [string, ...string[]]): Promise<void> {
  const { world, daemon } = stage;
  const mark = daemon.mark();
  const start = performance.now();
  await inView(world, ...words);
  const line = await daemon.logged('repaired', mark, ({ msg, repaired }) => msg === proof && repaired.length > 0);
  output(summary(line));
  const file = words.at(-1) ?? '';
  // Asked inside: the store's links are absolute, and mean the view's root.
  const { code } = await world.exec('test', ['-s', file]);
  expect(`${file} is back`, code === 0, 'no such file');
  expect('the CA is in the bundle', await trusts(stage), 'it is not');
  shown(`put right and proven after ${Math.round(line.at - start)} ms`);
}

async function leave(stage: Stage): Promise<void> {
  const { world, daemon } = stage;
  step('The daemon ends, and takes its anchors off when told to');
  action('SIGTERM to the daemon');
  const { code } = await daemon.terminate();
  expect('exit code 0', code === 0, `exit code ${code ?? 'none'}`);
  await expectTrusted(stage);
  shown('what is installed stays');
  const words = ['src/main.ts', 'remove', '--host-root', world.root, '--instance', instance];
  command('node', ...words);
  const options = { cwd: project, env: cleanEnvironment, extendEnv: false, reject: false } as const;
  const removed = await execa(process.execPath, words, options);
  output(removed.stdout + removed.stderr, 8);
  expect('exit code 0', removed.exitCode === 0, `exit code ${removed.exitCode ?? 'none'}`);
  expectRefused(await inView(world, 'curl', '-qsS', stage.server.url));
  shown('refused, as in the beginning');
}

async function compare(world: World, machine: Snapshot, view: Snapshot): Promise<void> {
  step('Nothing is left behind');
  for (const [name, before, after] of [
    ['the trust store of this machine', machine, await snapshotStore('/')],
    ['the trust store of the view', view, await world.snapshot()],
  ] as const) {
    output(`before  ${hashOf(before)}  ${before.size} entries\nafter   ${hashOf(after)}  ${after.size} entries`);
    const changed = changedPaths(before, after);
    expect(`${name} as it was`, changed.length === 0, `${changed.length} changes: ${changed.slice(0, 5).join(', ')}`);
    shown(`${name}: every file, link and mode as it was`);
  }
}

// ---- What the steps are made of ----

/** Runs a command in the view, and shows it with what it said. */
async function inView(world: World, name: string, ...args: readonly string[]): Promise<ExecResult> {
  command('chroot', world.root, name, ...args);
  const result = await world.exec(name, args);
  // Of curl's explanations only the first line is news.
  output(result.stdout + result.stderr, name === 'curl' ? 1 : 4);
  return result;
}

function said({ code, stdout, stderr }: ExecResult): string {
  const text = (stdout + stderr).trim();
  return text === '' ? `exit code ${code}` : text;
}

/** Puts files into the bundle as the kubelet does when a Secret changes. */
async function swap({ secret }: Stage, files: SecretFiles, what: string): Promise<void> {
  await secret.swap(files);
  action(`${secret.directory}/..data swung to a new version: ${what}`);
}

/** Swaps the bundle and waits for the proof. Returns how long that took, in ms. */
async function bring(stage: Stage, files: SecretFiles, what: string, anchors: number): Promise<number> {
  const mark = stage.daemon.mark();
  const start = performance.now();
  await swap(stage, files, what);
  const line = await stage.daemon.logged(
    `the host trusts ${anchors}`,
    mark,
    ({ msg, anchors: proven }) => msg === proof && proven === anchors,
  );
  output(summary(line));
  return Math.round(line.at - start);
}

function summary({ msg, anchors, added, repaired, removed, milliseconds }: LogLine): string {
  const counts = Object.entries({ added, repaired, removed }).filter(([, list]) => list.length > 0);
  const changes = counts.map(([what, list]) => `, ${what} ${list.length}`).join('');
  return `log: ${msg}: anchors ${anchors ?? 0}${changes}, in ${milliseconds ?? 0} ms`;
}

async function expectReady({ world, probes }: Stage): Promise<void> {
  const ask = (): Promise<ExecResult> => world.exec('curl', ['-qsS', `${probes}/readyz`]);
  await until('ready', ask, ({ stdout }) => stdout.startsWith('ready, '));
  await inView(world, 'curl', '-qsS', `${probes}/readyz`);
}

async function expectNotReady({ world, probes }: Stage): Promise<void> {
  const { code } = await inView(world, 'curl', '-qfsS', `${probes}/readyz`);
  expect('readyz answers 503', code === 22, `curl's exit code ${code}`);
}

async function expectTrusted({ world, server }: Stage): Promise<void> {
  const result = await inView(world, 'curl', '-qsS', server.url);
  expect('curl trusts the server', result.code === 0, said(result));
}

function expectRefused(result: ExecResult): void {
  expect("curl's exit code 60, the CA is unknown", result.code === 60, `${result.code}: ${said(result)}`);
}

async function trusts({ world, newCa }: Stage): Promise<boolean> {
  return readBundle(await readFile(world.path(bundleFile), 'utf8')).fingerprints.has(newCa.fingerprint);
}

async function trustedCount(world: World): Promise<number> {
  return readBundle(await readFile(world.path(bundleFile), 'utf8')).fingerprints.size;
}

/** One curl after the other, each a new process that reads the store anew. */
function askOnAndOn({ world, server }: Stage) {
  action(`in a loop: chroot ${world.root} curl -qsS ${server.url}`);
  const seen = { requests: 0, stopped: false };
  const failures: string[] = [];
  const isStopped = (): boolean => seen.stopped;
  const loop = (async () => {
    while (!isStopped()) {
      const result = await world.exec('curl', ['-qsS', server.url]);
      seen.requests += 1;
      if (result.code !== 0) failures.push(said(result));
    }
  })();
  loop.catch(() => undefined);
  const stop = async (): Promise<{ requests: number; failures: readonly string[] }> => {
    seen.stopped = true;
    await loop;
    return { requests: seen.requests, failures };
  };
  return {
    more: async (count: number): Promise<void> => {
      const goal = seen.requests + count;
      const requests = (): number => seen.requests;
      await Promise.race([loop, until(`${count} more requests`, requests, (made) => made >= goal)]);
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

function hashOf(snapshot: Snapshot): string {
  const entries = [...snapshot].sort(([left], [right]) => (left < right ? -1 : 1));
  return `sha256 ${createHash('sha256').update(JSON.stringify(entries)).digest('hex')}`;
}

function since(start: number): number {
  return Math.round(performance.now() - start);
}

// ---- The play ----

/** Sets the stage, plays, and clears away, whether it ends well, badly or by an interruption. */
async function play(interrupted: Promise<never>): Promise<void> {
  const machine = await snapshotStore('/');
  await using world = await createWorld();
  // Debian's own tool makes the store to be compared with afterwards: what was appended to it by hand is not in it.
  const began = performance.now();
  await world.exec('update-ca-certificates');
  const toolMs = since(began);
  await world.exec('cp', [bundleFile, imageBundle]);
  const view = await world.snapshot();
  const [oldCa, newCa] = await Promise.all([
    makeCert({ subject: '/O=Example Corp/CN=Example Root 1' }),
    makeCert({ subject: '/O=Example Corp/CN=Example Root 2' }),
  ]);
  const name = 'registry.example';
  const [oldServer, newServer] = await Promise.all([makeServerCert(oldCa, [name]), makeServerCert(newCa, [name])]);
  await using server = await startTlsServer(oldServer, name);
  await appendFile(world.path('/etc/hosts'), `\n${server.address} ${name}\n`);
  await using secret = await mountSecret({});
  const how = world.view === 'overlay' ? 'a copy-on-write view of this machine' : 'a private copy of the trust store';
  title(`node-ca-trust, shown on ${how}`);
  nameIt('$VIEW', world.root);
  nameIt('$BUNDLE', secret.directory);
  note('timings', `hold one run of the host's update-ca-certificates, which alone takes ${toolMs} ms here`);
  await Promise.race([interrupted, Promise.resolve()]);
  await Promise.race([unknownCa(world, server), interrupted]);

  step('The CA comes into the bundle, and the host trusts it');
  const args = ['run', '--host-root', world.root, '--bundle', secret.directory, '--instance', instance];
  args.push('--listen', '127.0.0.1:0');
  command('node', 'src/main.ts', ...args);
  await using daemon = startDaemon(args);
  const started = daemon.logged('started', 0, ({ listen }) => listen !== undefined);
  const { listen = '' } = await Promise.race([started, interrupted]);
  output(`log: started on ${listen}`);
  const probes = `http://${listen}`;
  const stage: Stage = { world, secret, server, daemon, probes, oldCa, newCa, oldServer, newServer };
  const acts = async (): Promise<void> => {
    for (const act of [trust, rotate, refuse, repair, leave]) await act(stage);
    await compare(world, machine, view);
  };
  await Promise.race([acts(), interrupted]);
}

async function main(): Promise<void> {
  const start = performance.now();
  // All that is written lies in memory, in the namespace: however this process ends, it is gone with it.
  process.env['TMPDIR'] = process.env['NODE_CA_TRUST_SANDBOX'];
  const { promise: interrupted, reject: interrupt } = Promise.withResolvers<never>();
  interrupted.catch(() => undefined);
  let signalled: NodeJS.Signals | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      signalled = signal;
      interrupt(new Error(signal));
    });
  }
  process.stdout.on('error', interrupt);
  try {
    await play(interrupted);
    title(
      `\nAll ${stepsTaken()} steps as expected in ${(since(start) / 1000).toFixed(1)} s; this machine is as it was.`,
    );
  } catch (error) {
    if (signalled === undefined) failed(error);
    else process.kill(process.pid, signalled);
    // A step that was left in its middle may still be waiting for something.
    process.exit(1);
  }
}

await main();
