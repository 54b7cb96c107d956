// Each format, judged by who takes it: the real parser or validator of each, in one version.
import { X509Certificate } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { describe, expect, inject, test } from 'vitest';
import { binary } from '../cluster/binaries.ts';
import { attempt } from '../cluster/process.ts';
import { type Cert, makeThree } from '../sandbox/harness/certs.ts';
import { nameOf } from '../sandbox/harness/host.ts';
import { inRoot, makeLayer, rendered } from './node.ts';

const [one, two] = await makeThree();

/** The fingerprints of the certificates in PEM. */
function fingerprints(pem: string): readonly string[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block).fingerprint256.replaceAll(':', '').toLowerCase());
}

const both = [one, two].map(({ fingerprint }: Cert) => fingerprint).sort();

describe('cloud-init', () => {
  /** What `cloud-init schema` of Debian says of user data. */
  async function schema(text: string): Promise<string> {
    let said = '';
    await inRoot(await makeLayer(), async (root) => {
      await writeFile(join(root, 'tmp/user-data'), text);
      const words = [root, 'cloud-init', 'schema', '--config-file', '/tmp/user-data'];
      const { stdout, stderr } = await attempt('chroot', words);
      said = stdout + stderr;
    });
    return said;
  }

  test("is valid by cloud-init's own schema", async () => {
    const text = await rendered('cloud-init', one, two);
    expect(await schema(text)).toContain('Valid cloud-config');
    // It would say so.
    expect(await schema(text.replace('bootcmd:\n  - |', 'bootcmd: |'))).toContain("is not of type 'array'");
  });
});

describe('ignition', () => {
  const judge = async (text: string) => {
    const file = join(await makeLayer(), 'config.ign');
    await writeFile(file, text);
    return attempt(binary('ignition'), [file]);
  };

  test("is valid by Ignition's validator, which has no warning for it", async () => {
    const text = await rendered('ignition', one, two);
    expect(await judge(text)).toEqual({ code: 0, stdout: '', stderr: '' });
    const { code, stdout } = await judge(text.replace('"/etc/', '"etc/'));
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining('path not absolute') as string });
  });
});

describe('talos', () => {
  const judge = (text: string) => attempt(binary('talos'), [], { input: text });

  test("is a document of Talos' configuration, and its roots are the anchors", async () => {
    const text = await rendered('talos', one, two);
    const { code, stdout, stderr } = await judge(text);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^TrustedRootsConfig\n/);
    expect(stdout).toContain('node-ca-trust-default');
    expect(fingerprints(stdout).toSorted()).toEqual(both);
    expect(await judge(text.replace('certificates:', 'certificate:'))).toMatchObject({ code: 1 });
  });
});

describe('bottlerocket', () => {
  test('is TOML with one bundle, as its settings take it', async () => {
    const text = await rendered('bottlerocket', one, two);
    const { settings, ...rest } = parse(text) as {
      settings: { pki: Record<string, { data: string; trusted: boolean }> };
    };
    const [[name, bundle] = ['', undefined], ...others] = Object.entries(settings.pki);
    expect([rest, others]).toEqual([{}, []]);
    // An Identifier of its model: letters, digits, underscores and hyphens.
    expect(name).toMatch(/^[0-9a-zA-Z_-]+$/);
    expect(bundle).toEqual({ data: expect.stringMatching(/^[A-Za-z0-9+/]+={0,2}$/) as string, trusted: true });
    expect(fingerprints(Buffer.from(bundle?.data ?? '', 'base64').toString())).toEqual(both);
  });
});

describe('kubeadm', () => {
  const judge = (text: string) => attempt(binary('clusterapi'), [], { input: text });

  test("is a part of Cluster API's KubeadmConfigSpec, and its script is the one for systemd", async () => {
    const text = await rendered('kubeadm', one, two);
    const { code, stdout, stderr } = await judge(text);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const path = '/etc/node-ca-trust/install.sh';
    expect(JSON.parse(stdout)).toEqual({
      files: [{ path, owner: 'root:root', permissions: '0644', content: await rendered('systemd', one, two) }],
      preKubeadmCommands: [`sh ${path}`],
    });
    expect(await judge(text.replace('owner:', 'user:'))).toMatchObject({ code: 1 });
  });
});

describe('the scripts', () => {
  /** The installer and the script that it brings, each as a file. */
  async function scripts(): Promise<readonly string[]> {
    const layer = await makeLayer();
    const installer = await rendered('systemd', one);
    const [, refresh = ''] = /refresh\.sh << 'END_OF_FILE'\n(.*?)END_OF_FILE\n/s.exec(installer) ?? [];
    await mkdir(layer, { recursive: true });
    await writeFile(join(layer, 'install.sh'), installer);
    await writeFile(join(layer, 'refresh.sh'), refresh);
    return [join(layer, 'install.sh'), join(layer, 'refresh.sh')];
  }

  test('are what dash, BusyBox and shellcheck take for POSIX shell', async () => {
    for (const script of await scripts()) {
      expect(await attempt('sh', ['-n', script])).toMatchObject({ code: 0, stderr: '' });
      expect(await attempt(inject('busybox'), ['sh', '-n', script])).toMatchObject({ code: 0, stderr: '' });
      // A file that is each system's own is read, and a text in single quotes is a program for awk.
      const excluded = '--exclude=SC1090,SC2016';
      const { stdout } = await attempt(inject('shellcheck'), [
        '--norc',
        excluded,
        '--shell=sh',
        '--format=gcc',
        script,
      ]);
      expect(stdout).toBe('');
    }
  });

  test('bear the names by which the agent knows its files', async () => {
    const installer = await rendered('systemd', one, two);
    for (const cert of [one, two]) {
      expect(installer).toContain(
        `put /etc/node-ca-trust/anchors/${nameOf(cert)} << 'END_OF_FILE'\n${cert.pem}END_OF_FILE\n`,
      );
    }
  });
});
