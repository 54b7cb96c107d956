/**
 * Makes one bundle of everything that the sources yield at one moment. The order of the files and what they have twice
 * change nothing: anchors, findings and digest come out the same.
 */
import { hash } from 'node:crypto';
import { judge, type Certificate, type Judgement } from './certificate.ts';
import { recognise, type Recognised } from './formats.ts';
import { printable } from './text.ts';
import { hasErrors, severities } from './types.ts';
import type { Anchor, Bundle, BundleRules, Finding, FindingCode, Reading, SourceFile } from './types.ts';

/** A Kubernetes Secret holds at most 1 MiB; a larger file is not read. */
export const maxFileBytes = 1024 * 1024;
/** All sources together. */
export const maxTotalBytes = 4 * 1024 * 1024;

/** What a mebibyte of empty files, a key of a Secret each, would have to be said of them is more than a node has room for. */
export const maxFiles = 1_000;

/** A file says at most so much; the rest is counted. */
const maxFindingsPerFile = 100;

const soonMilliseconds = 30 * 24 * 60 * 60 * 1000;

/** A certificate where it stands: the file's name with control characters escaped, and the entry in it. */
interface Occurrence extends Certificate {
  readonly source: string;
  readonly index: number;
}

function finding(code: FindingCode, source: string, message: string, index?: number): Finding {
  return { code, severity: severities[code], source, message, ...(index !== undefined && { index }) };
}

const compare = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0);

const compareFindings = (left: Finding, right: Finding): number =>
  compare(left.source, right.source) ||
  (left.index ?? 0) - (right.index ?? 0) ||
  compare(left.code, right.code) ||
  compare(left.message, right.message);

/**
 * Reads the certificates of all files and applies the rules. Never throws for what the files hold.
 * @returns the anchors, what is wrong, and the digest of the anchors; without anchors when the bundle is refused.
 */
export function readBundle(readings: readonly Reading[], rules: BundleRules, judgeOne: Judge = judge): Bundle {
  const provisional = readings.find((reading) => reading.provisional !== undefined)?.provisional;
  const stale = readings.find((reading) => reading.stale !== undefined)?.stale;
  const bundle = readFiles(readings, rules, judgeOne);
  return { ...bundle, ...(provisional !== undefined && { provisional }), ...(stale !== undefined && { stale }) };
}

type Judge = (der: Uint8Array) => Judgement;

/** Opens a reader of bundles that judges a certificate once for as long as it comes again in each of them. */
export function openReader(): (readings: readonly Reading[], rules: BundleRules) => Bundle {
  let before: ReadonlyMap<string, Judgement> = new Map();
  return (readings, rules) => {
    const judged = new Map<string, Judgement>();
    const bundle = readBundle(readings, rules, (der) => {
      const key = hash('sha256', der);
      const judgement = judged.get(key) ?? before.get(key) ?? judge(der);
      judged.set(key, judgement);
      return judgement;
    });
    before = judged;
    return bundle;
  };
}

function readFiles(readings: readonly Reading[], rules: BundleRules, judgeOne: Judge): Bundle {
  const files = readings
    .flatMap((reading) => reading.files)
    .sort((left, right) => compare(left.source, right.source) || Buffer.compare(left.bytes, right.bytes));
  const reported = [...readings.flatMap((reading) => reading.findings), ...bareness(readings, rules)];
  const crowd = files.length > maxFiles ? [tooManyFiles('bundle')] : reported.filter(({ code }) => code === 'too-many');
  if (crowd.length > 0) return bundleOf([], crowd);
  const total = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (total > maxTotalBytes) {
    const message = `the sources have ${total} bytes together, more than ${maxTotalBytes}: the bundle is refused`;
    return bundleOf([], [...reported, finding('too-large', 'bundle', message)]);
  }
  const read = files.flatMap((file) => readFile(file, rules, judgeOne));
  const occurrences = read.filter((one) => 'anchor' in one);
  const found = read.filter((one) => 'code' in one);
  const anchors: Anchor[] = [];
  for (const [first, ...others] of Map.groupBy(occurrences, ({ anchor }) => anchor.fingerprint).values()) {
    if (first === undefined) continue;
    found.push(...findingsOf(first, others, rules.now));
    const carriers = new Set([first, ...others].map(({ source, index }) => `${source}#${index}`));
    anchors.push({ ...first.anchor, carriers: [...carriers].sort(compare) });
  }
  anchors.sort((left, right) => compare(left.fingerprint, right.fingerprint));
  const all = [...reported, ...capped(found)];
  if (anchors.length <= rules.maxCertificates) return bundleOf(anchors, [...all, ...emptiness(anchors, all, rules)]);
  const excess = `${anchors.length} certificates are more than the ${rules.maxCertificates} allowed: the bundle is refused`;
  return bundleOf([], [...all, finding('too-many', 'bundle', `${excess}; raise --max-certificates if they are meant`)]);
}

/** Of a source that has so many files that they are not read. */
export function tooManyFiles(source: string): Finding {
  const advice = 'put several certificates into one file';
  return finding('too-many', source, `more than ${maxFiles} files: the bundle is refused; ${advice}`);
}

function bundleOf(anchors: readonly Anchor[], findings: readonly Finding[]): Bundle {
  const digest = bundleDigest(anchors.map(({ fingerprint }) => fingerprint));
  return { anchors, findings: findings.toSorted(compareFindings), digest };
}

/**
 * The digest of a set of fingerprints: SHA-256 over the sorted fingerprints, each once and with a newline after it, as
 * `sort -u | sha256sum` makes it. 64 lower-case hex digits.
 */
export function bundleDigest(fingerprints: Iterable<string>): string {
  const lines = [...new Set(fingerprints)].sort(compare).map((fingerprint) => `${fingerprint}\n`);
  return hash('sha256', lines.join(''));
}

/**
 * As much of a bundle as a store can take: what it would drop without a word is left out, and said instead. The digest
 * stays that of the bundle, which is one on all families.
 * @param drops why it drops an anchor, as a phrase; undefined when it takes it
 */
export function fitBundle(bundle: Bundle, drops: (anchor: Anchor) => string | undefined): Bundle {
  const reasons = new Map(bundle.anchors.map((anchor) => [anchor, drops(anchor)]));
  const anchors = bundle.anchors.filter((anchor) => reasons.get(anchor) === undefined);
  const said = bundle.anchors.flatMap((anchor) => {
    const [reason, [carrier = '']] = [reasons.get(anchor), anchor.carriers];
    if (reason === undefined) return [];
    const message = `${anchor.subject}: this host's trust store drops it, ${reason}; put in a CA that may issue for TLS servers`;
    const end = carrier.lastIndexOf('#');
    return [finding('unsupported-by-store', carrier.slice(0, end), message, Number(carrier.slice(end + 1)))];
  });
  if (said.length > 0 && anchors.length === 0) {
    said.push(finding('empty', 'bundle', "this host's trust store takes no certificate of the bundle"));
  }
  return { ...bundle, anchors, findings: [...bundle.findings, ...said].sort(compareFindings) };
}

/** Of several sources one that holds nothing is as likely a mistake as a bundle that does: its CAs would be removed. */
function bareness(readings: readonly Reading[], { allowEmpty }: BundleRules): readonly Finding[] {
  const bare = readings.filter(({ files, findings }) => files.length === 0 && findings.length === 0).length;
  // Where all are, the bundle is empty, and that is said.
  if (allowEmpty || bare === 0 || bare === readings.length) return [];
  const message = `sources that hold no file: ${bare} of ${readings.length}; put the certificates back, or take that source out`;
  return [finding('empty', 'bundle', message)];
}

/** An empty bundle needs no second error when what made it empty has been said. */
function emptiness(anchors: readonly Anchor[], findings: readonly Finding[], rules: BundleRules): readonly Finding[] {
  if (anchors.length > 0 || rules.allowEmpty || hasErrors(findings)) return [];
  const message =
    'no source holds a certificate; put one in (in a cluster: into the Secret or ConfigMap, in the namespace of the pod), or allow it with --allow-empty';
  return [finding('empty', 'bundle', message)];
}

function readFile(
  { source, bytes }: SourceFile,
  rules: BundleRules,
  judgeOne: Judge,
): readonly (Finding | Occurrence)[] {
  const name = printable(source);
  if (bytes.length <= maxFileBytes) return recognise(bytes).map((entry) => readEntry(name, entry, rules, judgeOne));
  const message = `the file has ${bytes.length} bytes, more than ${maxFileBytes}: it is not read; split it`;
  return [finding('too-large', name, message)];
}

function readEntry(
  source: string,
  entry: Recognised,
  { allowLeaf }: BundleRules,
  judgeOne: Judge,
): Finding | Occurrence {
  if (entry.kind !== 'certificate') return finding(entry.kind, source, entry.message, entry.index);
  const { index } = entry;
  const judgement = judgeOne(entry.der);
  if (judgement.kind === 'refused') {
    const prefix = judgement.subject === undefined ? '' : `${judgement.subject}: `;
    const message = `${prefix}${judgement.reason}; ask its issuer for a valid certificate`;
    return finding('not-a-certificate', source, message, index);
  }
  const { certificate } = judgement;
  if (certificate.notCa === undefined || allowLeaf) return { ...certificate, source, index };
  const advice = 'put in the CA that issued it, or use --allow-leaf';
  return finding('not-a-ca', source, `${certificate.anchor.subject}: not a CA, ${certificate.notCa}; ${advice}`, index);
}

/** What is to be said about one certificate, once, however often it is there. */
function findingsOf(first: Occurrence, others: readonly Occurrence[], now: Date): readonly Finding[] {
  const { source, index, anchor, notCa, weaknesses } = first;
  const say = (code: FindingCode, message: string, at = first): Finding =>
    finding(code, at.source, `${anchor.subject}: ${message}`, at.index);
  const same = `the same certificate as ${source}#${index}; one of them can go`;
  const leaf = notCa === undefined ? [] : [say('not-a-ca', `not a CA, ${notCa}; allowed by --allow-leaf`)];
  return [
    ...leaf.map((one) => ({ ...one, severity: 'warning' as const })),
    ...weaknesses.map((weakness) => say('weak', `${weakness}; plan its replacement`)),
    ...validityWarnings(anchor, now).map(([code, message]) => say(code, message)),
    ...others.map((other) => say('duplicate', same, other)),
  ];
}

/** RFC 5280, 4.1.2.5: both ends are included. A node's clock can be wrong, so time alone refuses nothing. */
function validityWarnings({ notBefore, notAfter }: Certificate['anchor'], now: Date): [FindingCode, string][] {
  const left = Date.parse(notAfter) - now.getTime();
  if (now.getTime() < Date.parse(notBefore))
    return [['not-yet-valid', `it is valid from ${notBefore}; check the clock, or wait`]];
  if (left < 0) return [['expired', `it expired on ${notAfter}; replace it`]];
  if (left > soonMilliseconds) return [];
  return [['expires-soon', `it expires on ${notAfter}; put in its successor beside it`]];
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
