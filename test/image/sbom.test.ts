// What a scanner or an auditor reads of the image: a list that is valid, complete, and true.
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, test } from 'vitest';
import { packageJson, project } from './machine.ts';
import { bomText, readBom } from './sbom.ts';

const foreign = inject('foreign');
const images = [inject('image'), ...(foreign === undefined ? [] : [foreign])];

describe.each(images)('the SBOM of the image for $architecture', (image) => {
  const bom = readBom(image);
  const parts = (kind: string) => bom.components.filter(({ purl = '' }) => purl.startsWith(`pkg:${kind}/`));
  const read = (path: string) => readFileSync(join(image.root, path));

  test('is valid CycloneDX 1.6, strictly read', async () => {
    const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    expect(await validator.validate(bomText(image))).toBeNull();
    expect(await validator.validate(bomText(image).replace('"container"', '"box"'))).not.toBeNull();
  });

  test('says of what it is the list, and that all the rest is in it', () => {
    const { name, version } = packageJson();
    expect(bom.metadata.component).toMatchObject({ type: 'container', name, version });
    const whole = bom.dependencies.find(({ ref }) => ref === bom.metadata.component['bom-ref']);
    expect(whole?.dependsOn?.toSorted()).toEqual(bom.components.map((part) => part['bom-ref']).sort());
  });

  test('names each npm package that the program has code of, with version, licence, its text and hash', () => {
    const lock = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')) as {
      packages: Readonly<Record<string, { version: string; integrity: string }>>;
    };
    const named = parts('npm');
    expect(named.length).toBeGreaterThan(40);
    for (const { group, name, version, licenses, evidence, hashes } of named) {
      const full = [group, name].filter((part) => part !== undefined).join('/');
      const same = Object.entries(lock.packages).filter(
        ([path, entry]) => path.endsWith(`node_modules/${full}`) && entry.version === version,
      );
      expect(same.length, full).toBeGreaterThan(0);
      const [hash] = hashes ?? [];
      const digest = `sha512-${Buffer.from(hash?.content ?? '', 'hex').toString('base64')}`;
      expect(same.map(([, { integrity }]) => integrity)).toContain(digest);
      expect(licenses, full).toHaveLength(1);
      expect(evidence?.licenses?.length, full).toBeGreaterThan(0);
    }
    const names = named.map(({ group, name }) => [group, name].filter((part) => part !== undefined).join('/'));
    expect(names).toEqual(expect.arrayContaining(Object.keys(packageJson().dependencies)));
    for (const absent of Object.keys(packageJson().devDependencies)) expect(names).not.toContain(absent);
  });

  test('names the very Node.js of the image, and the OpenSSL in it', () => {
    const [node] = parts('generic');
    expect(node?.name).toBe('node');
    expect(node?.hashes?.[0]?.content).toBe(createHash('sha256').update(read('usr/local/bin/node')).digest('hex'));
    const openssl = node?.components?.find(({ name }) => name === 'openssl')?.version ?? 'none';
    expect(read('usr/local/bin/node').includes(`OpenSSL ${openssl}`)).toBe(true);
  });

  test('names each Debian package that a file comes from, by architecture and version', () => {
    const packages = readdirSync(join(image.root, 'var/lib/dpkg/status.d'));
    expect(
      parts('deb')
        .map(({ name }) => name)
        .sort(),
    ).toEqual(packages.sort());
    for (const { name, version, purl, licenses } of parts('deb')) {
      expect(read(`var/lib/dpkg/status.d/${name}`).toString()).toContain(`\nVersion: ${version ?? ''}\n`);
      expect(purl).toMatch(new RegExp(`arch=(${image.architecture}|all)&distro=debian-12$`));
      expect(licenses?.length).toBeGreaterThan(0);
      expect(existsSync(join(image.root, 'usr/share/doc', name, 'copyright'))).toBe(true);
    }
    expect(bom.components).toContainEqual(expect.objectContaining({ type: 'operating-system', name: 'debian' }));
  });
});
