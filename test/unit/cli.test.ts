import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { main, version } from '../../src/cli.ts';
import { emptyHost, temporaryDirectory } from './support/directories.ts';
import { leaf, north, south } from './support/fixtures.ts';
import { littleHost } from './support/little-host.ts';
import { capturedStreams } from './support/streams.ts';

type Environment = Readonly<Record<string, string | undefined>>;

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function cli(argv: readonly string[], environment: Environment = {}, input = ''): Promise<Ended> {
  const streams = capturedStreams(input);
  const code = await main(argv, environment, streams, AbortSignal.abort());
  return { code, out: streams.stdout.text, err: streams.stderr.text };
}

/** Wrong usage: exit code 2, one line on standard error that says this, nothing on standard output. */
function expectRefusal({ code, out, err }: Ended, message: RegExp): void {
  expect([code, out]).toEqual([2, '']);
  expect(err).toMatch(/^node-ca-trust: [^\n]+\n$/);
  expect(err).toMatch(message);
}

function fileWith(...pems: readonly string[]): string {
  const path = join(temporaryDirectory(), 'bundle.pem');
  writeFileSync(path, pems.join(''));
  return path;
}

const json = ({ out }: Ended): Readonly<Record<string, unknown>> => JSON.parse(out) as Record<string, unknown>;
const listOf = (ended: Ended, key: string): readonly unknown[] => json(ended)[key] as readonly unknown[];

describe('the command line', () => {
  it.each([
    ['no command', [], /no command: name one of run, apply, check/],
    ['an unknown command', ['frobnicate'], /unknown command 'frobnicate'/],
    ['an unknown option', ['check', '--frobnicate', 'x'], /unknown option '--frobnicate'/],
    ['an unknown option before the command', ['--frobnicate', 'check', 'x'], /unknown option '--frobnicate'/],
    ['a near miss, with what was meant', ['apply', '--bundel', 'x'], /--bundel.*--bundle/],
    [
      'an option without its value',
      ['check', 'x', '--max-certificates'],
      /--max-certificates <count>.*argument missing/,
    ],
    ['an argument too many', ['remove', 'everything'], /too many arguments/],
    ['no file to check', ['check'], /missing required argument 'path'/],
    [
      'a kubeconfig that is not there',
      ['status', '--kubeconfig', '/no/such'],
      /no kubeconfig: \/no\/such: no such file/,
    ],
    ['no bundle to apply', ['apply'], /no --bundle: name the directory or file/],
    ['no bundle to run with', ['run'], /no --bundle: name the directory or file/],
    ['a bundle that is not there', ['apply', '--bundle', '/no/such'], /--bundle \/no\/such: no such file or directory/],
    ['a file to check that is not there', ['check', '/no/such'], /\/no\/such: no such file or directory/],
    [
      'a host root that is not there',
      ['remove', '--host-root', '/no/such'],
      /--host-root \/no\/such: no such directory/,
    ],
  ])('refuses %s in one line, exit code 2', async (_, argv, message) => {
    expectRefusal(await cli(argv), message);
  });

  it.each(['--help', '-h', 'help', 'check --help', 'help apply'])('explains itself with %s', async (words) => {
    const { code, out, err } = await cli(words.split(' '));
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^Usage: node-ca-trust/);
  });

  it('names every command and the environment in its help', async () => {
    const { out } = await cli(['--help']);
    for (const name of ['run', 'apply', 'check', 'status', 'remove', 'render', 'NODE_CA_TRUST_HOST_ROOT'])
      expect(out).toContain(name);
  });

  it('says its version', async () => {
    expect(await cli(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
  });

  it('takes an option with = too', async () => {
    expect((await cli(['check', '--output=json', fileWith(north.pem)])).code).toBe(0);
  });
});

/** Options by name, a command that knows each, and values that it must refuse. */
const valued: readonly (readonly [string, string, readonly string[]])[] = [
  ['max-certificates', 'check', ['0', 'ten', '1.5', '']],
  ['output', 'check', ['xml', 'JSON', '']],
  ['host-root', 'remove', ['host', '']],
  ['instance', 'remove', ['Pool A', '../x', '']],
  ['resync', 'run', ['10', '0s', '99d', '']],
  ['listen', 'run', ['9641', '127.0.0.1:99999', '']],
  ['node-name', 'run', ['']],
  ['node-label', 'run', ['enabled', 'a b=c', '']],
  ['secret', 'run', ['name', 'Ns/name', '']],
  ['digest', 'status', ['1234', 'g'.repeat(12), 'a'.repeat(65), '']],
  ['namespace', 'status', ['Lab', 'a/b', '']],
  ['timeout', 'status', ['10', '0s', '']],
  ['log-level', 'run', ['debug', 'fatal', '']],
];
const bad = valued.flatMap(([name, command, values]) => values.map((value) => [name, value, command] as const));
const variableOf = (name: string): string => `NODE_CA_TRUST_${name.replaceAll('-', '_').toUpperCase()}`;
const operands: Readonly<Record<string, readonly string[]>> = {
  check: ['-'],
  run: ['--bundle', '/bundle'],
  remove: [],
};

describe('a bad value', () => {
  it.each(bad)('of --%s: %j', async (name, value, command) => {
    const ended = await cli([command, ...(operands[command] ?? []), `--${name}=${value}`]);
    expectRefusal(ended, new RegExp(`--${name}`));
  });

  it('of --output is answered with what there is to choose', async () => {
    const { err } = await cli(['check', '-', '--output', 'yaml']);
    const said = "option '--output <format>' argument 'yaml' is invalid: expected one of table, json; see --help";
    expect(err).toBe(`node-ca-trust: ${said}\n`);
  });

  it.each(bad)('of the variable of --%s: %j', async (name, value, command) => {
    const ended = await cli([command, ...(operands[command] ?? [])], { [variableOf(name)]: value });
    expectRefusal(ended, new RegExp(`${variableOf(name)}=.*expected`));
  });

  it('stays one line, whatever it holds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom('a', '\n', '\r', '\u001b', '\t', ' ', '\u2028') }),
        async (text) => {
          const ended = await cli(['remove'], { NODE_CA_TRUST_INSTANCE: `${text}!` });
          expectRefusal(ended, /NODE_CA_TRUST_INSTANCE=/);
          // eslint-disable-next-line no-control-regex
          expect(ended.err.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u2028]/);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('a switch in the environment', () => {
  const leafBundle = (): readonly string[] => ['check', fileWith(leaf.pem)];

  it.each(['true', 'TRUE', '1', 'yes', 'Yes'])('is on with %j', async (text) => {
    expect((await cli(leafBundle(), { NODE_CA_TRUST_ALLOW_LEAF: text })).code).toBe(0);
  });

  it.each(['false', 'False', '0', 'no', '', undefined])('is off with %j', async (text) => {
    expect((await cli(leafBundle(), { NODE_CA_TRUST_ALLOW_LEAF: text })).code).toBe(1);
  });

  it.each(['maybe', 'on', '2', ' true', 'constructor', '__proto__'])('is refused with %j', async (text) => {
    expectRefusal(
      await cli(leafBundle(), { NODE_CA_TRUST_ALLOW_LEAF: text }),
      /NODE_CA_TRUST_ALLOW_LEAF=.*: expected true or false/,
    );
  });

  it('is on by argument, whatever the environment says', async () => {
    expect((await cli([...leafBundle(), '--allow-leaf'], { NODE_CA_TRUST_ALLOW_LEAF: 'false' })).code).toBe(0);
  });
});

describe('an option and its variable', () => {
  const both = (): string => fileWith(north.pem, south.pem);

  it('--max-certificates', async () => {
    const path = both();
    expect((await cli(['check', path])).code).toBe(0);
    expect((await cli(['check', path, '--max-certificates', '1'])).code).toBe(1);
    expect((await cli(['check', path], { NODE_CA_TRUST_MAX_CERTIFICATES: '1' })).code).toBe(1);
    expect((await cli(['check', path, '--max-certificates', '2'], { NODE_CA_TRUST_MAX_CERTIFICATES: '1' })).code).toBe(
      0,
    );
  });

  it('--max-certificates wins even with its default value', async () => {
    const environment = { NODE_CA_TRUST_MAX_CERTIFICATES: '1' };
    expect((await cli(['check', both(), '--max-certificates', '100'], environment)).code).toBe(0);
  });

  it('--allow-empty', async () => {
    const path = temporaryDirectory();
    expect((await cli(['check', path])).code).toBe(1);
    expect((await cli(['check', path, '--allow-empty'])).code).toBe(0);
    expect((await cli(['check', path], { NODE_CA_TRUST_ALLOW_EMPTY: 'true' })).code).toBe(0);
  });

  it('--output', async () => {
    const path = both();
    expect(listOf(await cli(['check', path, '--output', 'json']), 'anchors')).toHaveLength(2);
    expect(listOf(await cli(['check', path], { NODE_CA_TRUST_OUTPUT: 'json' }), 'anchors')).toHaveLength(2);
    expect((await cli(['check', path, '--output', 'table'], { NODE_CA_TRUST_OUTPUT: 'json' })).out).toMatch(/^SUBJECT/);
  });

  const dry = ['--dry-run', '--output', 'json'];

  it('--host-root and --instance', async () => {
    const { root } = littleHost();
    const byArgument = await cli(['remove', ...dry, '--host-root', root, '--instance', 'pool-a']);
    const environment = { NODE_CA_TRUST_HOST_ROOT: root, NODE_CA_TRUST_INSTANCE: 'pool-a' };
    const byVariable = await cli(['remove', ...dry], environment);
    for (const ended of [byArgument, byVariable]) {
      expect(ended.code).toBe(0);
      expect(json(ended)).toMatchObject({ instance: 'pool-a', store: { family: 'debian' } });
    }
    expectRefusal(await cli(['remove', '--host-root', '/no/such'], environment), /\/no\/such/);
  });

  it('--dry-run', async () => {
    const { root } = littleHost();
    const ended = await cli(['remove', '--host-root', root, '--output', 'json'], { NODE_CA_TRUST_DRY_RUN: 'true' });
    expect(json(ended)).toMatchObject({ dryRun: true });
  });

  it('--dry-run, which the daemon refuses', async () => {
    const rest = ['run', '--bundle', '/bundle', '--host-root', '/no/such', '--listen', '127.0.0.1:0'];
    const refusal = /--dry-run: run always changes the host/;
    expectRefusal(await cli([...rest, '--dry-run']), refusal);
    expectRefusal(await cli(rest, { NODE_CA_TRUST_DRY_RUN: 'true' }), refusal);
  });

  it('--bundle, more than once, and separated by colons in the environment', async () => {
    const { root } = littleHost();
    const [one, two] = [fileWith(north.pem), fileWith(south.pem)];
    const rest = [...dry, '--host-root', root];
    const prints = [north.fingerprint, south.fingerprint].sort();
    expect(listOf(await cli(['apply', ...rest, '--bundle', one, '--bundle', two]), 'anchors')).toEqual(prints);
    for (const list of [`${one}:${two}`, `:${two}::${one}:`]) {
      expect(listOf(await cli(['apply', ...rest], { NODE_CA_TRUST_BUNDLE: list }), 'anchors')).toEqual(prints);
    }
    const wins = await cli(['apply', ...rest, '--bundle', one], { NODE_CA_TRUST_BUNDLE: two });
    expect(listOf(wins, 'anchors')).toEqual([north.fingerprint]);
    expectRefusal(
      await cli(['apply', ...rest], { NODE_CA_TRUST_BUNDLE: '' }),
      /NODE_CA_TRUST_BUNDLE=: expected a path/,
    );
  });

  it('--strict', async () => {
    const { root } = littleHost();
    const rest = ['apply', ...dry, '--host-root', root, '--bundle', fileWith(north.pem, leaf.pem)];
    expect(listOf(await cli(rest), 'added')).toEqual([north.fingerprint]);
    expect(listOf(await cli([...rest, '--strict']), 'added')).toEqual([]);
    expect(listOf(await cli(rest, { NODE_CA_TRUST_STRICT: 'true' }), 'added')).toEqual([]);
  });

  it('--listen', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      taken.close();
    });
    const address = taken.address();
    const listen = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
    const rest = ['run', '--bundle', '/bundle', '--log-level', 'silent'];
    expectRefusal(await cli([...rest, '--listen', listen]), /--listen 127\.0\.0\.1:\d+: another process listens there/);
    expectRefusal(await cli(rest, { NODE_CA_TRUST_LISTEN: listen }), /--listen 127\.0\.0\.1:\d+: another process/);
  });

  it('--timeout, which is for --wait: a line that has it alone is refused, its variable is not', async () => {
    const rest = ['status', '--kubeconfig', '/no/such'];
    const refusal = /--timeout is how long --wait waits: add --wait, or leave it out/;
    expectRefusal(await cli([...rest, '--timeout', '5m']), refusal);
    expectRefusal(await cli([...rest, '--watch', '--timeout', '10m']), refusal);
    const goesOn = /no kubeconfig/;
    expectRefusal(await cli([...rest, '--timeout', '5m', '--wait']), goesOn);
    expectRefusal(await cli([...rest, '--timeout', '5m'], { NODE_CA_TRUST_WAIT: 'true' }), goesOn);
    expectRefusal(await cli(rest, { NODE_CA_TRUST_TIMEOUT: '5m' }), goesOn);
  });

  it('--secret, which goes with one --bundle, in a cluster', async () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', undefined);
    const rest = ['run', '--log-level', 'silent', '--bundle', '/bundle'];
    expectRefusal(
      await cli([...rest, '--secret', 'ns/name']),
      /no cluster here \(KUBERNETES_SERVICE_HOST is not set\)/,
    );
    expectRefusal(await cli(rest, { NODE_CA_TRUST_SECRET: 'ns/name' }), /no cluster here/);
    expectRefusal(
      await cli([...rest, '--bundle', '/another', '--secret', 'ns/name']),
      /--secret reads what --bundle mounts: name that one --bundle, and no other/,
    );
    vi.unstubAllEnvs();
  });

  it('of another command, and what Kubernetes sets for Services, do not matter', async () => {
    const environment = {
      NODE_CA_TRUST_RESYNC: 'nonsense',
      NODE_CA_TRUST_SERVICE_HOST: '10.0.0.1',
      NODE_CA_TRUST_SERVICE_PORT: '80',
      NODE_CA_TRUST_METRICS_SERVICE_PORT_HTTP: '80',
      NODE_CA_TRUST_PORT: 'tcp://10.0.0.1:80',
      NODE_CA_TRUST_PORT_80_TCP: 'tcp://10.0.0.1:80',
      NODE_CA_TRUST_DNS_PORT_53_UDP_ADDR: '10.0.0.1',
      NODE_CA_TRUSTED: '1',
    };
    expect(await cli(['check', both()], environment)).toMatchObject({ code: 0, err: '' });
  });

  it.each(['BUNDEL', 'bundle', 'TOKEN', '', 'A\u001b[2J\nB'])(
    'that is none is named on standard error, and is no error: %j',
    async (name) => {
      const { code, err } = await cli(['check', both()], { [`NODE_CA_TRUST_${name}`]: 'its value' });
      expect(code).toBe(0);
      // eslint-disable-next-line no-control-regex
      const shown = name.replace(/[\u0000-\u001f]/g, (control) => `\\u{${control.charCodeAt(0).toString(16)}}`);
      expect(err).toBe(`node-ca-trust: warning: NODE_CA_TRUST_${shown} is no option's variable; see --help\n`);
    },
  );
});

describe('check', () => {
  it('reads standard input', async () => {
    const ended = await cli(['check', '--output', 'json', '-'], {}, `text before\n${north.pem}`);
    expect(ended.code).toBe(0);
    expect(json(ended)).toMatchObject({
      anchors: [{ fingerprint: north.fingerprint, sources: ['stdin#1'] }],
      findings: [],
    });
  });

  it.each([
    ['Secret', (text: string) => ({ data: { 'a.crt': Buffer.from(text).toString('base64'), note: 'aGVsbG8=' } })],
    ['ConfigMap', (text: string) => ({ data: { 'a.crt': text }, binaryData: { note: 'aGVsbG8=' } })],
  ])('judges a %s as kubectl prints it key by key, as on a node', async (kind, content) => {
    const object = { apiVersion: 'v1', kind, metadata: { name: 'cas', namespace: 'lab' }, ...content(north.pem) };
    const ended = await cli(['check', '--output', 'json', '-'], {}, JSON.stringify(object, undefined, 4));
    const source = `${kind.toLowerCase()} lab/cas`;
    expect(ended.code).toBe(1);
    expect(json(ended)).toMatchObject({
      anchors: [{ fingerprint: north.fingerprint, sources: [`${source}:a.crt#1`] }],
      findings: [{ code: 'not-a-certificate', severity: 'error', source: `${source}:note` }],
    });
  });

  it('takes a large Secret for what it holds, and one without a key for an empty bundle', async () => {
    const data = { 'a.crt': Buffer.from(`${'x'.repeat(1_000_000)}\n${north.pem}`).toString('base64') };
    const secret = { kind: 'Secret', metadata: { name: 'cas' }, data };
    expect(await cli(['check', '-'], {}, JSON.stringify(secret))).toMatchObject({ code: 0 });
    const empty = await cli(['check', '-'], {}, JSON.stringify({ ...secret, data: null }));
    expect(empty.code).toBe(1);
    expect(empty.out).toMatch(/empty/);
  });

  it.each(['{', '{}', '{"kind":"SecretList","items":[]}', '{"kind":"Secret","metadata":{"name":"a"},"data":{"a":1}}'])(
    'takes other JSON for a file: %s',
    async (text) => {
      const ended = await cli(['check', '-'], {}, text);
      expect(ended.code).toBe(1);
      expect(ended.out).toMatch(/not-a-certificate\s+stdin/);
    },
  );

  it('does not read standard input for ever', async () => {
    const ended = await cli(['check', '-'], {}, 'x'.repeat(9 * 1024 * 1024));
    expect(ended.code).toBe(1);
    expect(ended.out).toMatch(/too-large/);
  });

  it('puts files, directories and standard input together', async () => {
    const directory = join(temporaryDirectory(), 'bundle');
    mkdirSync(directory);
    writeFileSync(join(directory, 'south.crt'), south.pem);
    const ended = await cli(['check', directory, fileWith(north.pem), '-', '--output', 'json'], {}, north.pem);
    expect(listOf(ended, 'anchors')).toHaveLength(2);
    expect(json(ended)).toMatchObject({ findings: [{ code: 'duplicate', severity: 'info' }] });
  });

  it('prints a digest that depends on the certificates alone', async () => {
    const one = json(await cli(['check', '--output', 'json', fileWith(north.pem, south.pem)]));
    const two = json(await cli(['check', '--output', 'json', fileWith(south.pem, 'text\n', north.pem, south.pem)]));
    expect(one['digest']).toMatch(/^[0-9a-f]{64}$/);
    expect(two['digest']).toBe(one['digest']);
  });

  it('has the same keys for scripts always', async () => {
    const ended = await cli(['check', '--output', 'json', fileWith(north.pem, leaf.pem)]);
    expect(ended.code).toBe(1);
    expect(Object.keys(json(ended))).toEqual(['digest', 'anchors', 'findings']);
    expect(listOf(ended, 'anchors').map((anchor) => Object.keys(anchor as object))).toEqual([
      ['fingerprint', 'subject', 'issuer', 'notBefore', 'notAfter', 'key', 'sources'],
    ]);
    expect(listOf(ended, 'findings')).toEqual([
      {
        code: 'not-a-ca',
        severity: 'error',
        source: expect.any(String) as unknown,
        index: 2,
        message: expect.any(String) as unknown,
      },
    ]);
  });

  it('needs no host', async () => {
    expect((await cli(['check', fileWith(north.pem)], { NODE_CA_TRUST_HOST_ROOT: '/no/such' })).code).toBe(0);
  });
});

describe('apply and remove', () => {
  it('refuse a directory that is no root file system', async () => {
    const ended = await cli(['apply', '--bundle', fileWith(north.pem), '--host-root', temporaryDirectory()]);
    expectRefusal(ended, /not a root file system/);
  });

  it('say why an unknown host cannot be served, exit code 1', async () => {
    const { root } = emptyHost();
    writeFileSync(join(root, 'etc/os-release'), 'ID=plan9\nPRETTY_NAME="Plan 9"\n');
    const ended = await cli(['apply', '--bundle', fileWith(north.pem), '--host-root', root]);
    expect(ended.code).toBe(1);
    expect(ended.out + ended.err).toMatch(/Plan 9/);
  });

  it('say so in a dry run too', async () => {
    const { root } = emptyHost();
    writeFileSync(join(root, 'etc/os-release'), 'ID=plan9\nPRETTY_NAME="Plan 9"\n');
    const ended = await cli(['apply', '--dry-run', '--bundle', fileWith(north.pem), '--host-root', root]);
    expect(ended.code).toBe(1);
    expect(ended.out + ended.err).toMatch(/Plan 9/);
  });

  it('say on standard error why it failed when the output is for scripts', async () => {
    const { root } = emptyHost();
    const ended = await cli(['remove', '--output', 'json', '--host-root', root]);
    expect(ended.code).toBe(1);
    expect(ended.err).toMatch(/^node-ca-trust: .*os-release[^\n]*\n$/);
    expect(json(ended)).toMatchObject({ converged: false });
  });
});
