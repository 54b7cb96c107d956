/**
 * Anchors and bundles made up of nothing: what decides, proves and reports never looks into a certificate.
 */
import { createHash } from 'node:crypto';
import type { Anchor, Bundle, Finding, FindingCode, Severity } from '../../../src/bundle/types.ts';
import type { PassResult } from '../../../src/report/report.ts';

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

export function anchorOf(name: string, changed: Partial<Anchor> = {}): Anchor {
  return {
    fingerprint: sha256(name),
    pem: `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----\n`,
    subject: `CN=${name}`,
    issuer: `CN=${name}`,
    notBefore: '2020-01-01T00:00:00.000Z',
    notAfter: '2120-01-01T00:00:00.000Z',
    key: 'EC P-256',
    subjectHash: sha256(name).slice(0, 8),
    carriers: [`${name}.crt#1`],
    ...changed,
  };
}

const sorted = (anchors: readonly Anchor[]): readonly Anchor[] =>
  anchors.toSorted((left, right) => (left.fingerprint < right.fingerprint ? -1 : 1));

export function bundleOf(anchors: readonly Anchor[], findings: readonly Finding[] = []): Bundle {
  const all = sorted(anchors);
  return { anchors: all, findings, digest: sha256(all.map(({ fingerprint }) => `${fingerprint}\n`).join('')) };
}

export function findingOf(severity: Severity, code: FindingCode, changed: Partial<Finding> = {}): Finding {
  return { severity, code, source: 'ca.crt', message: `it is ${code}; mend it`, ...changed };
}

/** A pass that had nothing to do. */
export function passOf(changed: Partial<PassResult> = {}): PassResult {
  return {
    converged: true,
    digest: sha256('nothing'),
    anchors: [],
    findings: [],
    added: [],
    repaired: [],
    removed: [],
    heldBack: [],
    stillTrusted: [],
    refreshed: [],
    runtimes: [],
    edits: [],
    probes: [],
    notes: [],
    reasons: [],
    milliseconds: 3,
    ...changed,
  };
}
