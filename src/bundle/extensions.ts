/**
 * The extensions that Go's certificate parser looks into (crypto/x509, processExtensions), read as strictly as there: a
 * certificate with one that Go refuses is skipped by containerd, CRI-O and kubelet without a word.
 */
import {
  context,
  isNegative,
  Malformed,
  readBits,
  readBoolean,
  Reader,
  readInteger,
  readOid,
  tags,
  type Element,
} from './der.ts';
import { isGoDomain, isGoMailConstraint, isGoUri, isGoUriConstraint } from './uri.ts';

export interface Extension {
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** What the rules ask of the extensions; undefined where the certificate has none. */
export interface Extensions {
  /** cA of basicConstraints. */
  readonly isCa?: boolean;
  /** keyCertSign of keyUsage. */
  readonly maySign?: boolean;
}

const text = (value: Uint8Array): string => Buffer.from(value).toString('latin1');

const isIa5 = (value: string): boolean => /^[\0-\x7f]*$/.test(value);

/** An integer that fits `octets` octets of two's complement. */
function smallInteger(reader: Reader, what: string, octets: number, tag: number = tags.integer): Uint8Array {
  const value = readInteger(reader, what, tag);
  if (value.length > octets) throw new Malformed(what);
  return value;
}

/** RFC 5280, 4.2.1.3: keyCertSign is bit 5. */
function readKeyUsage(value: Uint8Array): boolean {
  const { octets } = readBits(new Reader(value), 'malformed keyUsage');
  return ((octets[0] ?? 0) & 0x04) !== 0;
}

/** RFC 5280, 4.2.1.9. */
function readBasicConstraints(value: Uint8Array): boolean {
  const what = 'malformed basicConstraints';
  const reader = new Reader(value).enter(tags.sequence, what);
  const isCa = reader.peek(tags.boolean) && readBoolean(reader, what);
  if (reader.peek(tags.integer) && isNegative(smallInteger(reader, what, 8))) throw new Malformed(what);
  return isCa;
}

/** RFC 5280, 4.2.1.6. */
function checkAlternativeNames({ value }: Extension): void {
  const what = 'malformed subjectAltName';
  const names = new Reader(value).enter(tags.sequence, what);
  while (!names.empty) checkAlternativeName(names.any(what), what);
}

function checkAlternativeName({ tag, value }: Element, what: string): void {
  // The octet of an address is the only thing checked there; Go looks at the number and ignores other names.
  const kind = tag ^ 0x80;
  if ((kind === 1 || kind === 2) && !isIa5(text(value))) throw new Malformed(`${what}: a name is not ASCII`);
  if (kind === 6 && !(isIa5(text(value)) && isGoUri(text(value)))) throw new Malformed(`${what}: an invalid URI`);
  if (kind === 7 && value.length !== 4 && value.length !== 16) throw new Malformed(`${what}: an invalid IP address`);
}

/** RFC 5280, 4.2.1.10. */
function checkNameConstraints({ value }: Extension): void {
  const what = 'malformed nameConstraints';
  const outer = new Reader(value);
  const constraints = outer.enter(tags.sequence, what);
  const permitted = constraints.optional(context(0, true), what);
  const excluded = constraints.optional(context(1, true), what);
  if (!outer.empty || !constraints.empty) throw new Malformed(what);
  if (!permitted?.length && !excluded?.length) throw new Malformed(`${what}: it is empty`);
  for (const subtrees of [permitted, excluded]) if (subtrees !== undefined) checkSubtrees(subtrees, what);
}

function checkSubtrees(contents: Uint8Array, what: string): void {
  const subtrees = new Reader(contents);
  while (!subtrees.empty) checkConstraint(subtrees.enter(tags.sequence, what).any(what), what);
}

const constraintChecks: Readonly<Record<number, (value: Uint8Array) => boolean>> = {
  [context(1, false)]: (value) => isIa5(text(value)) && isGoMailConstraint(text(value)),
  [context(2, false)]: (value) => isIa5(text(value)) && isGoDomain(text(value), true),
  [context(6, false)]: (value) => isIa5(text(value)) && isGoUriConstraint(text(value)),
  [context(7, false)]: (value) =>
    (value.length === 8 || value.length === 32) && isMask(value.subarray(value.length / 2)),
};

function checkConstraint({ tag, value }: Element, what: string): void {
  if (constraintChecks[tag]?.(value) === false) throw new Malformed(`${what}: a constraint that Go cannot read`);
}

/** Ones, then zeros. */
function isMask(octets: Uint8Array): boolean {
  const bits = [...octets].map((octet) => octet.toString(2).padStart(8, '0')).join('');
  return !bits.includes('01');
}

/** RFC 5280, 4.2.1.13: the walk that Go makes to the URIs. */
function checkDistributionPoints({ value }: Extension): void {
  const what = 'malformed cRLDistributionPoints';
  const points = new Reader(value).enter(tags.sequence, what);
  while (!points.empty) {
    const point = points.enter(tags.sequence, what);
    if (!point.peek(context(0, true))) continue;
    const names = point.enter(context(0, true), what).enter(context(0, true), what);
    while (names.peek(context(6, false))) names.any(what);
  }
}

/** RFC 5280, 4.2.1.1. */
function checkAuthorityKeyId({ critical, value }: Extension): void {
  const what = 'malformed authorityKeyIdentifier';
  if (critical) throw new Malformed('authorityKeyIdentifier is marked critical');
  new Reader(value).enter(tags.sequence, what).optional(context(0, false), what);
}

/** RFC 5280, 4.2.1.2. */
function checkSubjectKeyId({ critical, value }: Extension): void {
  if (critical) throw new Malformed('subjectKeyIdentifier is marked critical');
  new Reader(value).read(tags.octetString, 'malformed subjectKeyIdentifier');
}

/** RFC 5280, 4.2.1.11. */
function checkPolicyConstraints({ value }: Extension): void {
  const what = 'malformed policyConstraints';
  const reader = new Reader(value).enter(tags.sequence, what);
  for (const tag of [context(0, false), context(1, false)]) {
    if (reader.peek(tag)) smallInteger(reader, what, 8, tag);
  }
}

/** RFC 5280, 4.2.1.12. */
function checkExtendedKeyUsage({ value }: Extension): void {
  const what = 'malformed extendedKeyUsage';
  const usages = new Reader(value).enter(tags.sequence, what);
  while (!usages.empty) readOid(usages, what);
}

/** RFC 5280, 4.2.1.4: each policy once. */
function checkPolicies({ value }: Extension): void {
  const what = 'malformed certificatePolicies';
  const policies = new Reader(value).enter(tags.sequence, what);
  const seen = new Set<string>();
  while (!policies.empty) {
    const oid = text(policies.enter(tags.sequence, what).read(tags.oid, what));
    if (!isPolicyOid(oid) || seen.has(oid)) throw new Malformed(what);
    seen.add(oid);
  }
}

/** Whole components without padding, of any size (X.690, 8.19.2). */
const isPolicyOid = (octets: string): boolean => !/^$|^\x80|[^\x80-\xff]\x80|[\x80-\xff]$/.test(octets);

/** RFC 5280, 4.2.1.5. */
function checkPolicyMappings({ value }: Extension): void {
  const what = 'malformed policyMappings';
  const mappings = new Reader(value).enter(tags.sequence, what);
  while (!mappings.empty) {
    const mapping = mappings.enter(tags.sequence, what);
    mapping.read(tags.oid, what);
    mapping.read(tags.oid, what);
  }
}

/** RFC 5280, 4.2.1.14. */
function checkInhibitAnyPolicy({ value }: Extension): void {
  smallInteger(new Reader(value), 'malformed inhibitAnyPolicy', 8);
}

/** RFC 5280, 4.2.2.1. */
function checkInformationAccess({ critical, value }: Extension): void {
  const what = 'malformed authorityInfoAccess';
  if (critical) throw new Malformed('authorityInfoAccess is marked critical');
  const accesses = new Reader(value).enter(tags.sequence, what);
  while (!accesses.empty) {
    const access = accesses.enter(tags.sequence, what);
    readOid(access, what);
    access.optional(context(6, false), what);
  }
}

const checks: Readonly<Record<string, (extension: Extension) => void>> = {
  '2.5.29.14': checkSubjectKeyId,
  '2.5.29.17': checkAlternativeNames,
  '2.5.29.30': checkNameConstraints,
  '2.5.29.31': checkDistributionPoints,
  '2.5.29.32': checkPolicies,
  '2.5.29.33': checkPolicyMappings,
  '2.5.29.35': checkAuthorityKeyId,
  '2.5.29.36': checkPolicyConstraints,
  '2.5.29.37': checkExtendedKeyUsage,
  '2.5.29.54': checkInhibitAnyPolicy,
  '1.3.6.1.5.5.7.1.1': checkInformationAccess,
};

function readExtension(reader: Reader): readonly [string, Extension] {
  const oid = readOid(reader, 'malformed extension');
  const critical = reader.peek(tags.boolean) && readBoolean(reader, 'malformed extension');
  return [oid, { critical, value: reader.read(tags.octetString, 'malformed extension') }];
}

/**
 * Reads the contents of a certificate's [3] field.
 * @throws Malformed when Go's parser would refuse them.
 */
export function readExtensions(contents: Uint8Array): Extensions {
  const what = 'malformed extensions';
  const found = new Map<string, Extension>();
  const sequence = new Reader(contents).enter(tags.sequence, what);
  while (!sequence.empty) {
    const [oid, extension] = readExtension(sequence.enter(tags.sequence, what));
    if (found.has(oid)) throw new Malformed(`the extension ${oid} stands there twice`);
    found.set(oid, extension);
  }
  for (const [oid, extension] of found) checks[oid]?.(extension);
  const constraints = found.get('2.5.29.19');
  const usage = found.get('2.5.29.15');
  return {
    ...(constraints && { isCa: readBasicConstraints(constraints.value) }),
    ...(usage && { maySign: readKeyUsage(usage.value) }),
  };
}
