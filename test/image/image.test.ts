// What somebody who runs the image relies on: what it is, what is not in it, and that it does the main job.
import { cpSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { makeCert } from '../sandbox/harness/certs.ts';
import { mountSecret } from '../sandbox/harness/secret-mount.ts';
import { bundleFile, hashedDirectory, opensslTrusts } from '../sandbox/harness/tls-server.ts';
import { createWorld } from '../sandbox/harness/world.ts';
import { baseName } from './base.ts';
import { createContainer, type Container } from './container.ts';
import { buildImage, type Image } from './image.ts';
import { ownArchitecture, packageJson, project, run, timed } from './machine.ts';
import { readBom } from './sbom.ts';

const builder = inject('builder');
const image = inject('image');
const foreign = inject('foreign');
const images = [image, ...(foreign === undefined ? [] : [foreign])];
const filesOf = ({ root }: Image): string[] =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
    .sort();
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
const total = ({ layers }: Image): number => layers.reduce((sum, { size }) => sum + size, 0);
const programsOf = (files: readonly string[]): string[] => files.filter((file) => /\/s?bin\/[^/]*$/.test(file));
/** The built program, as package.json names it. */
const program = `/app/${basename(packageJson().bin['node-ca-trust'] ?? '')}`;
/** How Node is started for the least memory at rest: as `npm start` does it. */
const memoryOptions = packageJson()
  .scripts.start.split(' ')
  .filter((word) => word.startsWith('--'));

beforeAll(() => {
  const rows = images.map((one) => {
    const files = filesOf(one);
    const purls = readBom(one).components.map(({ purl = '' }) => purl);
    return {
      'MB to pull': megabytes(total(one)),
      'by layer': one.layers.map(({ size }) => megabytes(size)).join(' + '),
      files: files.length,
      programs: programsOf(files)
        .map((file) => basename(file))
        .join(', '),
      libraries: files.filter((file) => /\.so\.\d+$/.test(file)).length,
      'npm packages': purls.filter((purl) => purl.startsWith('pkg:npm/')).length,
      'Debian packages': purls.filter((purl) => purl.startsWith('pkg:deb/')).length,
    };
  });
  console.table(Object.fromEntries(rows.map((row, index) => [images[index]?.architecture ?? '', row])));
});

describe.each(images)('the image for $architecture', (image) => {
  const files = filesOf(image);
  let container: Container;

  beforeAll(async () => {
    container = await createContainer(image);
  });

  test('starts the daemon, as root, and says what it is', () => {
    const { version } = packageJson();
    expect(image.config).toMatchObject({
      User: '0:0',
      Entrypoint: ['node', ...memoryOptions, program],
      Cmd: ['run'],
      Labels: {
        'org.opencontainers.image.title': 'node-ca-trust',
        'org.opencontainers.image.licenses': 'Apache-2.0',
        'org.opencontainers.image.base.name': baseName,
        'org.opencontainers.image.version': version,
      },
    });
    expect(image.config.Env).toContain('NODE_ENV=production');
  });

  test('is at most 60 MB to pull, and a new program much less', () => {
    expect(total(image)).toBeLessThanOrEqual(60e6);
    expect(image.layers).toHaveLength(2);
    expect(image.layers[1]?.size).toBeLessThan(2e6);
  });

  test('holds two programs, their libraries and ours: no shell, no package manager, no npm', () => {
    expect(programsOf(files)).toEqual(['/usr/local/bin/node', '/usr/sbin/chroot']);
    expect(files.filter((file) => /node_modules|node-linux|\/npm|\.(ts|map)$/.test(file))).toEqual([]);
    const ours = files.filter((file) => file.startsWith('/app/'));
    expect(ours).toEqual(expect.arrayContaining(['/app/LICENSE', '/app/sbom.cdx.json', program]));
    const known = /^\/app\/([\w-]+\.[cm]js|LICENSE|[\w.-]+\.LEGAL\.txt|sbom\.cdx\.json)$/;
    expect(ours.filter((file) => !known.test(file))).toEqual([]);
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

  test('is of its architecture alone, and finds each library of each program and library inside itself', async () => {
    const elf = files.filter((file) => readFileSync(join(image.root, file)).subarray(0, 4).toString() === '\x7fELF');
    // ELF's e_machine.
    const machine = { amd64: 62, arm64: 183 }[image.architecture];
    const others = elf.filter((file) => readFileSync(join(image.root, file)).readUInt16LE(18) !== machine);
    expect(others).toEqual([]);
    const loader = elf.find((file) => /\/ld-linux[^/]*$/.test(file)) ?? '';
    const linked = elf.filter((file) => file !== loader);
    expect(linked.length).toBeGreaterThan(4);
    for (const file of linked) {
      const { code, output } = await container.exec(loader, '--list', file);
      expect(code, `${file}: ${output}`).toBe(0);
      expect(output).not.toContain('not found');
    }
  });

  test('runs: Node.js of that architecture checks a bundle', async () => {
    expect((await container.exec('node', '--print', 'process.arch')).output).toBe(
      { amd64: 'x64', arm64: 'arm64' }[image.architecture],
    );
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

  test('holds the same program as the other', () => {
    const same = (one: Image) => one.listing.filter((line) => / \/app\/(?!sbom)/.test(line));
    for (const other of images) expect(same(image)).toEqual(same(other));
  });
});

describe('the build', () => {
  test('makes the same layer of two copies of the sources, at different times and with different rights', () => {
    expect(image.listing.filter((line) => !line.includes(' 1970-01-01T00:00:00.000Z '))).toEqual([]);
    const [first, second] = ['go=rX', 'go='].map((rights, index) => {
      const copy = copyOfSources(join(builder.directory, `copy-${index}`), rights);
      return timed(`image of copy ${index}`, () => buildImage(builder, copy));
    });
    expect(first?.listing).toEqual(image.listing);
    // Built without the steps of earlier builds all is one layer.
    const digests = [first, second].map((one) => one?.layers.map(({ digest }) => digest));
    console.log(`built twice for ${ownArchitecture}: ${digests.join(' and ')}`);
    expect(digests[1]).toEqual(digests[0]);
  });
});

describe('a container with a read-only root', () => {
  let container: Container;

  beforeAll(async () => {
    container = await createContainer(image);
  });

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

/** What .dockerignore lets into the build, as a clone made now has it, under a umask of its owner. */
function copyOfSources(directory: string, rights: string): string {
  mkdirSync(directory);
  const allowed = readFileSync(join(project, '.dockerignore'), 'utf8').matchAll(/^!(.*)$/gm);
  for (const [, name = ''] of [...allowed, ['', '.dockerignore'], ['', 'Dockerfile']]) {
    cpSync(join(project, name), join(directory, name), { recursive: true });
  }
  run('chmod', ['-R', rights, directory]);
  return directory;
}
