/**
 * Makes one bundle of everything that the sources yield at one moment. The order of the files and what they have twice
 * change nothing: anchors, findings and digest come out the same.
 */
import { createHash } from 'node:crypto';
import { judge, type Certificate } from './certificate.ts';
import { recognise, type Entry, type Recognised } from './formats.ts';
import { printable } from './text.ts';
import type { Anchor, Bundle, BundleRules, Finding, FindingCode, Reading, Severity, SourceFile } from './types.ts';

/** A Kubernetes Secret holds at most 1 MiB; a larger file is not read. */
export const maxFileBytes = 1024 * 1024;
/** All sources together. */
export const maxTotalBytes = 4 * 1024 * 1024;

/** A file says at most so much; the rest is counted. */
const maxFindingsPerFile = 100;

const soonMilliseconds = 30 * 24 * 60 * 60 * 1000;

const severities: Readonly<Record<FindingCode, Severity>> = {
  'private-key': 'error',
  'not-a-certificate': 'error',
  'not-a-ca': 'error',
  'unsupported-by-store': 'warning',
  'too-many': 'error',
  'too-large': 'error',
  empty: 'error',
  unreadable: 'error',
  expired: 'warning',
  'not-yet-valid': 'warning',
  'expires-soon': 'warning',
  weak: 'warning',
  duplicate: 'info',
};

/** Where a certificate stands: the file's name with control characters escaped, and the entry in it. */
interface Place {
  readonly source: string;
  readonly index: number;
}

interface Occurrence extends Place {
  readonly certificate: Certificate;
}

/** What the sources yielded, taken in file by file. */
interface Intake {
  readonly occurrences: Occurrence[];
  readonly findings: Finding[];
}

function finding(code: FindingCode, source: string, message: string, index?: number): Finding {
  return { code, severity: severities[code], source, message, ...(index !== undefined && { index }) };
}

const compare = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0);

/**
 * Reads the certificates of all files and applies the rules. Never throws for what the files hold.
 * @returns the anchors, what is wrong, and the digest of the anchors; without anchors when the bundle is refused.
 */
export function readBundle(readings: readonly Reading[], rules: BundleRules): Bundle {
  const files = readings
    .flatMap((reading) => reading.files)
    .sort((left, right) => compare(left.source, right.source) || Buffer.compare(left.bytes, right.bytes));
  const reported = readings.flatMap((reading) => reading.findings);
  const total = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (total > maxTotalBytes) {
    const message = `the sources have ${total} bytes together, more than ${maxTotalBytes}: the bundle is refused`;
    return bundleOf([], [...reported, finding('too-large', 'bundle', message)]);
  }
  const intake: Intake = { occurrences: [], findings: [] };
  for (const file of files) readFile(file, rules, intake);
  const anchors = anchorsOf(intake, rules);
  const all = [...reported, ...capped(intake.findings)];
  if (anchors.length <= rules.maxCertificates) return bundleOf(anchors, [...all, ...emptiness(anchors, all, rules)]);
  const excess = `${anchors.length} certificates are more than the ${rules.maxCertificates} allowed: the bundle is refused`;
  return bundleOf([], [...all, finding('too-many', 'bundle', `${excess}; raise --max-certificates if they are meant`)]);
}

function bundleOf(anchors: readonly Anchor[], findings: readonly Finding[]): Bundle {
  return {
    anchors,
    findings: findings.toSorted(compareFindings),
    digest: bundleDigest(anchors.map(({ fingerprint }) => fingerprint)),
  };
}

function compareFindings(left: Finding, right: Finding): number {
  return (
    compare(left.source, right.source) ||
    (left.index ?? 0) - (right.index ?? 0) ||
    compare(left.code, right.code) ||
    compare(left.message, right.message)
  );
}

/**
 * The digest of a set of fingerprints: SHA-256 over the sorted fingerprints, each once and with a newline after it, as
 * `sort -u | sha256sum` makes it. 64 lower-case hex digits.
 */
export function bundleDigest(fingerprints: Iterable<string>): string {
  const lines = [...new Set(fingerprints)].sort(compare).map((fingerprint) => `${fingerprint}\n`);
  return createHash('sha256').update(lines.join('')).digest('hex');
}

/** An empty bundle needs no second error when what made it empty has been said. */
function emptiness(anchors: readonly Anchor[], findings: readonly Finding[], rules: BundleRules): readonly Finding[] {
  if (anchors.length > 0 || rules.allowEmpty || findings.some(({ severity }) => severity === 'error')) return [];
  return [finding('empty', 'bundle', 'no source holds a certificate; put one in, or allow it with --allow-empty')];
}

function readFile({ source, bytes }: SourceFile, rules: BundleRules, intake: Intake): void {
  const name = printable(source);
  if (bytes.length > maxFileBytes) {
    const message = `the file has ${bytes.length} bytes, more than ${maxFileBytes}: it is not read; split it`;
    intake.findings.push(finding('too-large', name, message));
    return;
  }
  for (const entry of recognise(bytes)) readEntry(name, entry, rules, intake);
}

function readEntry(source: string, entry: Recognised, rules: BundleRules, intake: Intake): void {
  if (entry.kind === 'certificate') judgeEntry({ source, index: entry.index }, entry, rules, intake);
  else intake.findings.push(finding(entry.kind, source, entry.message, entry.index));
}

function judgeEntry(place: Place, { der }: Entry, { allowLeaf }: BundleRules, intake: Intake): void {
  const judgement = judge(der);
  if (judgement.kind === 'refused') {
    const prefix = judgement.subject === undefined ? '' : `${judgement.subject}: `;
    const message = `${prefix}${judgement.reason}; ask its issuer for a valid certificate`;
    intake.findings.push(finding('not-a-certificate', place.source, message, place.index));
    return;
  }
  const { certificate } = judgement;
  if (certificate.notCa === undefined || allowLeaf) {
    intake.occurrences.push({ ...place, certificate });
    return;
  }
  const message = `${certificate.subject}: not a CA, ${certificate.notCa}; put in the CA that issued it, or use --allow-leaf`;
  intake.findings.push(finding('not-a-ca', place.source, message, place.index));
}

/** Folds the occurrences into one anchor for each certificate, and says what is to be said about each once. */
function anchorsOf({ occurrences, findings }: Intake, rules: BundleRules): readonly Anchor[] {
  const byFingerprint = Map.groupBy(occurrences, ({ certificate }) => certificate.fingerprint);
  const anchors: Anchor[] = [];
  for (const [first, ...others] of byFingerprint.values()) {
    if (first === undefined) continue;
    findings.push(...warningsOf(first, rules), ...others.map((other) => duplicateOf(other, first)));
    anchors.push(anchorOf(first.certificate, [first, ...others]));
  }
  return anchors.sort((left, right) => compare(left.fingerprint, right.fingerprint));
}

function anchorOf(certificate: Certificate, places: readonly Place[]): Anchor {
  const { fingerprint, pem, subject, issuer, key, subjectHash } = certificate;
  const carriers = new Set(places.map(({ source, index }) => `${source}#${index}`));
  return {
    fingerprint,
    pem,
    subject,
    issuer,
    notBefore: certificate.notBefore.toISOString(),
    notAfter: certificate.notAfter.toISOString(),
    key,
    subjectHash,
    carriers: [...carriers].sort(compare),
  };
}

function duplicateOf({ source, index, certificate }: Occurrence, first: Place): Finding {
  const message = `${certificate.subject}: the same certificate as ${first.source}#${first.index}; one of them can go`;
  return finding('duplicate', source, message, index);
}

function warningsOf({ source, index, certificate }: Occurrence, rules: BundleRules): readonly Finding[] {
  const { subject, notCa, weaknesses } = certificate;
  const say = (code: FindingCode, message: string): Finding => finding(code, source, `${subject}: ${message}`, index);
  const leaf =
    notCa === undefined
      ? []
      : [{ ...say('not-a-ca', `not a CA, ${notCa}; allowed by --allow-leaf`), severity: 'warning' as const }];
  return [
    ...leaf,
    ...weaknesses.map((weakness) => say('weak', `${weakness}; plan its replacement`)),
    ...validityWarnings(certificate, rules.now, say),
  ];
}

/** RFC 5280, 4.1.2.5: both ends are included. A node's clock can be wrong, so time alone refuses nothing. */
function validityWarnings(
  { notBefore, notAfter }: Certificate,
  now: Date,
  say: (code: FindingCode, message: string) => Finding,
): readonly Finding[] {
  const left = notAfter.getTime() - now.getTime();
  const until = notAfter.toISOString();
  if (now < notBefore) {
    return [say('not-yet-valid', `it is valid from ${notBefore.toISOString()}; check the clock, or wait`)];
  }
  if (left < 0) return [say('expired', `it expired on ${until}; replace it`)];
  return left <= soonMilliseconds
    ? [say('expires-soon', `it expires on ${until}; put in its successor beside it`)]
    : [];
}

/** Keeps a file of a thousand broken entries from flooding the log: the rest becomes one finding of the same weight. */
function capped(findings: readonly Finding[]): readonly Finding[] {
  const bySource = Map.groupBy(findings.toSorted(compareFindings), ({ source }) => source);
  return [...bySource.values()].flatMap((all) => {
    const dropped = all.slice(maxFindingsPerFile);
    const worst = dropped.find(({ severity }) => severity === 'error') ?? dropped[0];
    if (worst === undefined) return all;
    const { code, severity, source } = worst;
    const summary: Finding = { code, severity, source, message: `${dropped.length} more findings about this file` };
    return [...all.slice(0, maxFindingsPerFile), summary];
  });
}
