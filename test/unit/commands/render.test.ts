import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { toPem } from '../../../src/bundle/pem.ts';
import { main } from '../../../src/cli.ts';
import { formatNames } from '../../../src/render/names.ts';
import { build, commonName } from '../bundle/odd-certificates.ts';
import { temporaryDirectory } from '../support/directories.ts';
import { leaf, north, south } from '../support/fixtures.ts';
import { capturedStreams } from '../support/streams.ts';

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function render(words: readonly string[], input = ''): Promise<Ended> {
  const streams = capturedStreams(input);
  const code = await main(['render', ...words], {}, streams, AbortSignal.abort());
  return { code, out: streams.stdout.text, err: streams.stderr.text };
}

function fileWith(...pems: readonly string[]): string {
  const path = join(temporaryDirectory(), 'bundle.pem');
  writeFileSync(path, pems.join(''));
  return path;
}

const stem = ({ fingerprint }: { readonly fingerprint: string }, instance = 'default'): string =>
  `node-ca-trust-${instance}-${fingerprint.slice(0, 16)}`;

/** More than 16 KiB of them. */
const fortyRoots = Array.from({ length: 40 }, (_, index) => toPem(build({ subject: commonName(`Root ${index}`) })));

describe('render', () => {
  it.each(formatNames)('prints %s, and the same for the same certificates in any order', async (format) => {
    const first = await render([format, fileWith(north.pem, south.pem)]);
    expect(first).toMatchObject({ code: 0, err: '' });
    expect(first.out).toMatch(/\S\n$/);
    expect((await render([format, fileWith(south.pem), fileWith(north.pem)])).out).toBe(first.out);
    expect((await render([format, '-'], south.pem + north.pem)).out).toBe(first.out);
    expect((await render([format, fileWith(north.pem)])).out).not.toBe(first.out);
  });

  it.each(formatNames)('prints nothing of a bundle with an error as %s, and says what is wrong', async (format) => {
    const { code, out, err } = await render([format, fileWith(north.pem, leaf.pem)]);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/^node-ca-trust: error: not-a-ca: [^\n]+bundle\.pem\[2\]: [^\n]+\n$/);
  });

  it('goes by the rules of check, with its options', async () => {
    expect(await render(['talos', fileWith(north.pem, south.pem), '--max-certificates', '1'])).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('error: too-many: bundle: 2 certificates are more than the 1 allowed') as string,
    });
    const lenient = await render(['talos', fileWith(leaf.pem), '--allow-leaf']);
    expect(lenient).toMatchObject({ code: 0, err: expect.stringContaining('warning: not-a-ca:') as string });
    expect(lenient.out).toContain(leaf.pem.split('\n')[1]);
    expect(await render(['talos', fileWith('no certificate')])).toMatchObject({ code: 1, out: '' });
  });

  it('names files and documents by the instance whose agent takes them over', async () => {
    const file = fileWith(north.pem);
    expect((await render(['systemd', file])).out).toContain(`/${stem(north)}.crt`);
    for (const format of ['cloud-init', 'systemd', 'kubeadm', 'ignition']) {
      const { out } = await render([format, file, '--instance', 'lab']);
      expect(out).toContain(`/etc/node-ca-trust/anchors/${stem(north, 'lab')}.crt`);
      expect(out).not.toContain(stem(north));
    }
    expect((await render(['talos', file, '--instance', 'lab'])).out).toContain('name: node-ca-trust-lab\n');
    expect((await render(['bottlerocket', file, '--instance', 'lab'])).out).toContain(
      '[settings.pki.node-ca-trust-lab]\n',
    );
  });

  it.each(['cloud-init', 'ignition', 'systemd', 'kubeadm'])(
    'prints what keeps a store in step as %s without a certificate, and says that it does no more',
    async (format) => {
      const { code, out, err } = await render([format]);
      expect({ code, err }).toEqual({
        code: 0,
        err: 'node-ca-trust: no certificate: only what keeps the store in step with its anchor directory\n',
      });
      expect(out).toContain('node-ca-trust-refresh.path');
      expect(out).not.toContain('/etc/node-ca-trust/anchors/node-ca-trust-default');
    },
  );

  it.each([
    [
      'talos without a certificate',
      ['talos'],
      /render talos: name the files or directories that hold the certificates/,
    ],
    ['no format', [], /missing required argument 'format'/],
    ['an unknown format', ['puppet', 'x'], /'puppet' is invalid for argument 'format'.*cloud-init, ignition/],
    ['a file that is not there', ['talos', '/no/such'], /\/no\/such: no such file or directory/],
  ])('refuses %s in one line, exit code 2', async (_, words, message) => {
    const { code, out, err } = await render(words);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^node-ca-trust: [^\n]+\n$/);
    expect(err).toMatch(message);
  });

  it('refuses an empty bundle where it would be of no use', async () => {
    const { code, out, err } = await render(['bottlerocket', '--allow-empty', temporaryDirectory()]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toBe('node-ca-trust: render bottlerocket: name the files or directories that hold the certificates\n');
  });

  it.each([
    ['cloud-init', 'compress it by gzip'],
    ['ignition', 'keep it where Ignition can fetch it'],
    ['bottlerocket', 'compress it by gzip'],
  ])('says of user data as %s when it is larger than a cloud takes', async (format, advice) => {
    expect((await render([format, fileWith(north.pem)])).err).toBe('');
    const many = await render([format, fileWith(...fortyRoots)]);
    expect(many.code).toBe(0);
    const sizes = `${Buffer.byteLength(many.out)} bytes, by gzip ${gzipSync(many.out).length}`;
    expect(many.err).toMatch(
      new RegExp(`^node-ca-trust: warning: ${sizes}: more than the 16384 .*; ${advice}[^\\n]*\\n$`),
    );
  });
});
