// What somebody who runs the image relies on: what it is, what is not in it, and that it does the main job.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { makeCert } from '../sandbox/harness/certs.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { bundleFile, hashedDirectory, opensslTrusts } from '../sandbox/harness/tls-server.ts';
import { createWorld } from '../sandbox/harness/world.ts';
import { createContainer, type Container } from './container.ts';
import { buildImage } from './image.ts';
import { packageJson, timed } from './machine.ts';

const image = inject('image');
const files = readdirSync(image.root, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name).slice(image.root.length))
  .sort();
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
/** The built program, as package.json names it. */
const program = `/app/${basename(packageJson().bin['node-ca-trust'] ?? '')}`;
/** How Node is started for the least memory at rest: as `npm start` does it. */
const memoryOptions = packageJson()
  .scripts.start.split(' ')
  .filter((word) => word.startsWith('--'));
let container: Container;

beforeAll(async () => {
  container = await createContainer(image);
});

describe('the image', () => {
  test('starts the daemon, as root, and says what it is', () => {
    const { version } = packageJson();
    expect(image.config).toMatchObject({
      User: '0:0',
      Entrypoint: ['node', ...memoryOptions, program],
      Cmd: ['run'],
      Labels: {
        'org.opencontainers.image.title': 'node-ca-trust',
        'org.opencontainers.image.licenses': 'Apache-2.0',
        'org.opencontainers.image.version': version,
      },
    });
    expect(image.config.Env).toContain('NODE_ENV=production');
  });

  test('is at most 60 MB to pull, and a new program much less', () => {
    const total = image.layers.reduce((sum, size) => sum + size, 0);
    console.log(`compressed: ${megabytes(total)} MB, of which by layer ${image.layers.map(megabytes).join(' + ')}`);
    expect(total).toBeLessThanOrEqual(60e6);
    expect(image.layers).toHaveLength(2);
    expect(image.layers[1]).toBeLessThan(2e6);
  });

  test('holds two programs, their libraries and ours: no shell, no package manager, no npm', () => {
    console.log(image.listing.map((line) => line.replace(/ [0-9a-f]{64}$/, '')).join('\n'));
    const programs = files.filter((file) => /^s?bin$/.test(dirname(file).split('/').pop() ?? ''));
    expect(programs).toEqual(['/usr/local/bin/node', '/usr/sbin/chroot']);
    expect(files.filter((file) => /node_modules|node-linux|\/npm|\.(ts|map)$/.test(file))).toEqual([]);
    const ours = files.filter((file) => file.startsWith('/app/'));
    expect(ours).toEqual(expect.arrayContaining(['/app/LICENSE', program]));
    expect(ours.filter((file) => !/^\/app\/([\w-]+\.[cm]js|LICENSE|[\w.-]+\.LEGAL\.txt)$/.test(file))).toEqual([]);
  });

  test('gives nobody rights by a set-user-id bit or a file that all may write', () => {
    // A link has no rights of its own.
    const paths = image.listing.filter((line) => !line.includes(' -> '));
    const modes = paths.map((line) => ({ line, mode: parseInt(line.split(' ', 1)[0] ?? '', 8) }));
    expect(modes.filter(({ mode }) => (mode & 0o6002) !== 0).map(({ line }) => line)).toEqual([]);
  });

  test('carries the licences of what it holds, and the records that vulnerability scanners read', () => {
    expect(files).toEqual(
      expect.arrayContaining([
        '/etc/os-release',
        ...['coreutils', 'libc6', 'libstdc++6', 'node'].map((name) => `/usr/share/doc/${name}/copyright`),
        ...['coreutils', 'libc6', 'libstdc++6'].map((name) => `/var/lib/dpkg/status.d/${name}`),
      ]),
    );
  });

  test('finds each library of each program and library inside itself', async () => {
    const elf = files.filter((file) => readFileSync(join(image.root, file)).subarray(0, 4).toString() === '\x7fELF');
    const loader = elf.find((file) => /\/ld-linux[^/]*$/.test(file)) ?? '';
    const linked = elf.filter((file) => file !== loader);
    expect(linked.length).toBeGreaterThan(4);
    for (const file of linked) {
      const { code, output } = await container.exec(loader, '--list', file);
      expect(code, `${file}: ${output}`).toBe(0);
      expect(output).not.toContain('not found');
    }
  });

  test('is built of the same files, with the same times, a second time', () => {
    expect(image.listing.filter((line) => !line.includes(' 1970-01-01T00:00:00.000Z '))).toEqual([]);
    const again = timed('second image', () => buildImage(dirname(image.root), { cached: false, name: 'again' }));
    expect(again.listing).toEqual(image.listing);
  });
});

describe('a container with a read-only root', () => {
  test('runs both programs, and nothing can be written', async () => {
    expect((await container.exec('node', '--version')).output).toMatch(/^v24\./);
    expect((await container.exec('chroot', '/', 'node', '--version')).output).toMatch(/^v24\./);
    const write = "require('node:fs').writeFileSync('/app/x', '')";
    expect((await container.exec('node', '-e', write)).output).toContain('EROFS');
  });

  test('resolves names of hosts without a library of its own for it', async () => {
    const lookup = "require('node:dns').lookup('127.0.0.1', (error, address) => console.log(error ?? address))";
    expect((await container.exec('node', '-e', lookup)).output).toBe('127.0.0.1');
  });

  test('validates a bundle with no host at hand', async () => {
    const { pem, key } = await makeCert();
    await using good = await mountSecret({ 'ca.crt': pem });
    await using bad = await mountSecret({ 'ca.crt': key });
    const check = async (bundle: string) =>
      (await createContainer(image, { bundle })).program('check', '/etc/node-ca-trust/bundle/ca.crt');
    expect(await check(good.directory)).toMatchObject({ code: 0 });
    const refused = await check(bad.directory);
    expect(refused.code).toBe(1);
    expect(refused.output).toContain('private-key');
  });

  test('has a host trust a CA, and takes it off again', async () => {
    const { pem } = await makeCert();
    await using world = await createWorld();
    await using secret = await mountSecret({ 'ca.crt': pem });
    const agent = await createContainer(image, { host: world.root, bundle: secret.directory });
    const trusted = async () => [
      (await opensslTrusts(world, pem, bundleFile)).trusted,
      (await opensslTrusts(world, pem, hashedDirectory)).trusted,
    ];
    expect(await trusted()).toEqual([false, false]);
    const apply = ['apply', '--bundle', '/etc/node-ca-trust/bundle', '--host-root', '/host'];
    expect(await agent.program(...apply)).toMatchObject({ code: 0 });
    expect(await trusted()).toEqual([true, true]);
    expect(await agent.program('remove', '--host-root', '/host')).toMatchObject({ code: 0 });
    expect(await trusted()).toEqual([false, false]);
  });
});
