/**
 * One file through readBundle, the way most tests look at it.
 */
import { readBundle } from '../../../src/bundle/bundle.ts';
import type { Bundle, BundleRules } from '../../../src/bundle/types.ts';

export const rules: BundleRules = {
  now: new Date('2026-11-23T00:00:00Z'),
  allowLeaf: false,
  allowEmpty: false,
  maxCertificates: 100,
};

export const bytesOf = (content: string | Uint8Array): Uint8Array =>
  typeof content === 'string' ? Buffer.from(content) : content;

export function readOne(content: string | Uint8Array, changed: Partial<BundleRules> = {}): Bundle {
  return readBundle([{ files: [{ source: 'ca.crt', bytes: bytesOf(content) }], findings: [] }], {
    ...rules,
    ...changed,
  });
}

/** Findings in short: "error private-key 2". */
export const codes = ({ findings }: Bundle): readonly string[] =>
  findings.map(({ severity, code, index }) => `${severity} ${code}${index === undefined ? '' : ` ${index}`}`);

export const messages = ({ findings }: Bundle): string => findings.map(({ message }) => message).join('\n');
