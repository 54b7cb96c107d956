/**
 * The extensions that Go's certificate parser looks into (crypto/x509, processExtensions), read as strictly as there: a
 * certificate with one that Go refuses is skipped by containerd, CRI-O and kubelet without a word.
 */
import { constructed, Malformed, primitive, Reader, tags } from './der.ts';
import { checkName, checkNameOfIssuer, namesBy, unknownToGnuTls } from './general-names.ts';
import { isDomainConstraint, isMailConstraint, isUriConstraint } from './uri.ts';

/** What the rules ask of the extensions; absent where the certificate has none. */
export interface Extensions {
  /** cA of basicConstraints. */
  isCa?: boolean;
  /** keyCertSign of keyUsage. */
  maySign?: boolean;
  /** Whether extendedKeyUsage names TLS servers, or any use. */
  forServers?: boolean;
  /** A critical one that Go does not handle: it verifies nothing with the certificate (RFC 5280, 4.2). */
  unhandled?: string;
}

/** Reads the value of an extension; what the rules ask goes into the second argument. False says that Go does not handle it. */
type Read = (value: Reader, found: Extensions) => unknown;

/** Go's integers there have 64 bits. */
const integerOctets = 8;

/** What `read` has to say of each member of a SEQUENCE, which it reads one at a time. */
function membersOf<T>(value: Reader, read: (members: Reader) => T): readonly T[] {
  const members = value.enter(tags.sequence);
  const said: T[] = [];
  while (!members.empty) said.push(read(members));
  return said;
}

/** RFC 5280, 4.2.1.6: for each name whether Go looks into it. */
function namesIn(value: Reader, check: (names: Reader) => boolean): readonly boolean[] {
  const said = membersOf(value, check);
  return value.empty ? said : value.fail(unknownToGnuTls);
}

/** RFC 5280, 4.2.1.7. */
function readNamesOfIssuer(value: Reader): false {
  namesIn(value, checkNameOfIssuer);
  return false;
}

/** An address and a mask of ones, then zeros. */
function isNetwork(octets: string): boolean {
  const mask = Buffer.from(octets.slice(octets.length / 2), 'latin1').toString('hex');
  return (octets.length === 8 || octets.length === 32) && /^f*[8ce]?0*$/.test(mask);
}

const broken = 'a constraint that Go cannot read';
const checkConstraint = namesBy({
  [primitive(1)]: [isMailConstraint, broken],
  [primitive(2)]: [isDomainConstraint, broken],
  [primitive(6)]: [isUriConstraint, broken],
  [primitive(7)]: [isNetwork, broken],
});

/** RFC 5280, 4.2.1.10. */
function checkNameConstraints(value: Reader): boolean {
  const constraints = value.enter(tags.sequence);
  const permitted = constraints.optional(constructed(0)) ?? '';
  const excluded = constraints.optional(constructed(1)) ?? '';
  if (!value.empty || !constraints.empty) value.fail();
  if (permitted === '' && excluded === '') value.fail('it is empty');
  const subtrees = [permitted, excluded].flatMap((contents) => [
    ...new Reader(contents, 'malformed nameConstraints').all(tags.sequence),
  ]);
  return subtrees.map(checkConstraint).every((isHandled) => isHandled);
}

/** RFC 5280, 4.2.1.13: the walk that Go makes to the URIs. */
function checkDistributionPoint(points: Reader): void {
  const point = points.enter(tags.sequence);
  if (!point.peek(constructed(0))) return;
  const names = point.enter(constructed(0)).enter(constructed(0));
  while (names.peek(primitive(6))) names.any();
}

/** RFC 5280, 4.2.1.4: each policy once. Their components have any size. */
function checkPolicies(value: Reader): void {
  const seen = new Set<string>();
  for (const policy of value.enter(tags.sequence).all(tags.sequence)) {
    const oid = policy.read(tags.oid);
    if (/^$|^\x80|[^\x80-\xff]\x80|[\x80-\xff]$/.test(oid) || seen.has(oid)) value.fail();
    seen.add(oid);
  }
}

/** RFC 5280, 4.2.1.9. */
function readBasicConstraints(value: Reader, found: Extensions): void {
  const constraints = value.enter(tags.sequence);
  found.isCa = constraints.flag();
  if (!constraints.peek(tags.integer)) return;
  if (constraints.integer(tags.integer, integerOctets) >= '\x80') value.fail();
}

/** RFC 5280, 4.2.1.11. */
function checkPolicyConstraints(value: Reader): void {
  const constraints = value.enter(tags.sequence);
  for (const tag of [primitive(0), primitive(1)]) if (constraints.peek(tag)) constraints.integer(tag, integerOctets);
}

/** RFC 5280, 4.2.1.5. */
function checkPolicyMapping(mappings: Reader): void {
  const mapping = mappings.enter(tags.sequence);
  for (const tag of [tags.oid, tags.oid]) mapping.read(tag);
}

/** serverAuth and anyExtendedKeyUsage. */
export const serverUsages: ReadonlySet<string> = new Set(['1.3.6.1.5.5.7.3.1', '2.5.29.37.0']);

/** RFC 5280, 4.2.1.12. */
function readUsages(value: Reader, found: Extensions): void {
  const usages = value.enter(tags.sequence);
  found.forServers = false;
  while (!usages.empty) if (serverUsages.has(usages.oid())) found.forServers = true;
}

/** RFC 5280, 4.2.2.1. */
function checkAccess(accesses: Reader): void {
  const access = accesses.enter(tags.sequence);
  access.oid();
  access.optional(primitive(6));
}

/** By OID: the name, and how the value is read. */
const extensions: Readonly<Record<string, readonly [string, Read]>> = {
  '2.5.29.14': ['subjectKeyIdentifier', (value) => value.read(tags.octetString)],
  // keyCertSign is bit 5.
  '2.5.29.15': ['keyUsage', (value, found) => (found.maySign = (value.bits().charCodeAt(1) & 0x04) !== 0)],
  '2.5.29.17': ['subjectAltName', (value) => namesIn(value, checkName).includes(true)],
  '2.5.29.18': ['issuerAltName', readNamesOfIssuer],
  '2.5.29.19': ['basicConstraints', readBasicConstraints],
  '2.5.29.30': ['nameConstraints', checkNameConstraints],
  '2.5.29.31': ['cRLDistributionPoints', (value) => membersOf(value, checkDistributionPoint)],
  '2.5.29.32': ['certificatePolicies', checkPolicies],
  '2.5.29.33': ['policyMappings', (value) => membersOf(value, checkPolicyMapping)],
  '2.5.29.35': ['authorityKeyIdentifier', (value) => value.enter(tags.sequence).optional(primitive(0))],
  '2.5.29.36': ['policyConstraints', checkPolicyConstraints],
  '2.5.29.37': ['extendedKeyUsage', readUsages],
  '2.5.29.54': ['inhibitAnyPolicy', (value) => value.integer(tags.integer, integerOctets)],
  '1.3.6.1.5.5.7.1.1': ['authorityInfoAccess', (value) => membersOf(value, checkAccess)],
};

const neverCritical = new Set(['subjectKeyIdentifier', 'authorityKeyIdentifier', 'authorityInfoAccess']);

/** One extension, by its OID in dotted decimal. */
function readExtension(extension: Reader, oid: string, found: Extensions): void {
  const [name = '', read] = extensions[oid] ?? [];
  const isCritical = extension.flag();
  if (isCritical && neverCritical.has(name)) throw new Malformed(`${name} is marked critical`);
  const value = new Reader(extension.read(tags.octetString), `malformed ${name}`);
  const isHandled = read === undefined ? false : read(value, found);
  if (isCritical && isHandled === false) found.unhandled ??= name === '' ? oid : name;
}

/** An OID that is longer as text has no room in GnuTLS. */
const longestOid = 127;

/**
 * Reads the contents of a certificate's [3] field.
 * @throws Malformed when Go's parser would refuse them, or GnuTLS.
 */
export function readExtensions(contents: string): Extensions {
  const found: Extensions = {};
  const seen = new Set<string>();
  for (const extension of new Reader(contents, 'malformed extensions').enter(tags.sequence).all(tags.sequence)) {
    const oid = extension.oid();
    if (seen.has(oid)) throw new Malformed(`the extension ${oid} stands there twice`);
    if (oid.length > longestOid) throw new Malformed(`an extension has a very long OID; ${unknownToGnuTls}`);
    seen.add(oid);
    readExtension(extension, oid, found);
  }
  return found;
}
