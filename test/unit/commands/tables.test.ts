import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { bundleTable, reportTable } from '../../../src/commands/tables.ts';
import { type Report, printed } from '../../../src/report/report.ts';
import { anchorOf, bundleOf, findingOf, passOf } from '../support/anchors.ts';
import { Capture } from '../support/streams.ts';

const now = new Date('2026-01-01T00:00:00Z');
const piped = new Capture(false);
const terminal = (columns = 80): Capture => new Capture(true, columns);
// eslint-disable-next-line no-control-regex
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/;
const linesOf = (text: string): readonly string[] => text.split('\n');

function reportOf(changed: Partial<Report> = {}): Report {
  return {
    ...passOf(),
    anchors: ['f'.repeat(64)],
    instance: 'default',
    stillTrusted: [],
    dryRun: false,
    store: { family: 'debian', bundle: '/etc/ssl/certs/ca-certificates.crt' },
    ...changed,
  };
}

/** Of a pass that never saw the host. */
function blindReport(changed: Partial<Report>): Report {
  const report: Report & { store?: unknown } = reportOf(changed);
  delete report.store;
  return report;
}

const good = anchorOf('good', { notAfter: '2026-01-31T00:00:00.000Z' });
const late = anchorOf('late', { notAfter: '2025-12-30T00:00:00.000Z', carriers: ['late.crt#2'] });
const expired = findingOf('warning', 'expired', { source: 'late.crt', index: 2 });
const refused = findingOf('error', 'not-a-ca', { source: 'leaf.crt', index: 1 });
const duplicate = findingOf('info', 'duplicate', { source: 'whole.crt' });

describe('a bundle that is piped', () => {
  const text = bundleTable(bundleOf([good, late], [expired, refused, duplicate]), piped, now);

  it('has one line for each anchor, its fields separated by tabs', () => {
    const rows = linesOf(text).map((line) => line.split('\t'));
    expect(rows[0]).toEqual(['SUBJECT', 'FINGERPRINT', 'EXPIRES', 'KEY', 'VERDICT']);
    expect(rows).toContainEqual(['CN=good', good.fingerprint.slice(0, 16), '30 d', 'EC P-256', 'anchor']);
    expect(rows).toContainEqual([
      'CN=late',
      late.fingerprint.slice(0, 16),
      'expired 2 d ago',
      'EC P-256',
      'anchor (expired)',
    ]);
  });

  it('has one line for each finding, with where it is', () => {
    const rows = linesOf(text).map((line) => line.split('\t'));
    expect(rows).toContainEqual(['error', 'not-a-ca', 'leaf.crt[1]', refused.message]);
    expect(rows).toContainEqual(['info', 'duplicate', 'whole.crt', duplicate.message]);
  });

  it('ends with the sum', () => {
    expect(text).toMatch(/\n2 anchors, 1 errors?, digest [0-9a-f]{64}\n$/);
    expect(bundleTable(bundleOf([good]), piped, now)).toMatch(/\n1 anchors?, no errors, digest [0-9a-f]{64}\n$/);
  });

  it('has no colour', () => {
    expect(text).not.toMatch(controls);
  });
});

describe('a bundle on a terminal', () => {
  const bundle = bundleOf([good, late], [expired, refused, duplicate]);

  it('says the same in colour', () => {
    const text = bundleTable(bundle, terminal(), now);
    expect(text).toContain('\u001b[31m');
    expect(stripVTControlCharacters(text)).toContain('CN=good');
    expect(stripVTControlCharacters(text)).toMatch(/2 anchors, 1 errors?, digest/);
  });

  it('is aligned', () => {
    const lines = linesOf(stripVTControlCharacters(bundleTable(bundleOf([good, late]), terminal(200), now)));
    const columns = lines.slice(0, 3).map((line) => line.search(/KEY|EC P-256/));
    expect(new Set(columns).size).toBe(1);
  });

  it('fits into its width', () => {
    const long = findingOf('error', 'not-a-certificate', { message: 'word '.repeat(60).trim() });
    const lines = linesOf(stripVTControlCharacters(bundleTable(bundleOf([good], [long]), terminal(80), now)));
    const table = lines.filter((line) => !line.includes('digest'));
    expect(Math.max(...table.map((line) => line.trimEnd().length))).toBeLessThanOrEqual(80);
  });

  it('has no colour when NO_COLOR is set', () => {
    vi.stubEnv('NO_COLOR', '1');
    vi.stubEnv('FORCE_COLOR', undefined);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    expect(bundleTable(bundle, terminal(), now)).not.toMatch(controls);
  });
});

describe('a pass', () => {
  it('names the store, what changed, and that it is proven', () => {
    const report = reportOf({
      added: ['a'],
      repaired: ['b'],
      removed: ['c'],
      refreshed: ['1 to install'],
      notes: ['a note'],
    });
    expect(linesOf(reportTable(report, piped))).toEqual([
      'store\tdebian, /etc/ssl/certs/ca-certificates.crt',
      `digest\t${report.digest}`,
      'anchors\t1',
      'add\ta',
      'repair\tb',
      'remove\tc',
      'refresh\t1 to install',
      'note\ta note',
      'converged: the host is proven to trust the bundle',
      '',
    ]);
  });

  it('that took all off says what is proven then', () => {
    expect(reportTable(reportOf({ anchors: [] }), piped)).toContain('proven to trust nothing of this instance');
  });

  it('that is not proven says why, each reason on its line', () => {
    const text = reportTable(reportOf({ converged: false, reasons: ['first', 'second'], heldBack: ['x'] }), piped);
    expect(text).toContain('held back\tx\n');
    expect(text).toMatch(/not converged: first\n {2}second\n$/);
  });

  it('names the file that still carries a removed certificate', () => {
    const text = reportTable(reportOf({ stillTrusted: [{ fingerprint: 'ff', file: '/etc/other.crt' }] }), piped);
    expect(text).toContain('still trusted\tff: /etc/other.crt carries it\n');
  });

  it('shows findings as a bundle does', () => {
    expect(reportTable(reportOf({ findings: [refused] }), piped)).toContain('error\tnot-a-ca\tleaf.crt[1]\t');
  });

  it('that was a dry run says that nothing was changed', () => {
    expect(reportTable(reportOf({ dryRun: true, converged: false, reasons: ['not in it yet'] }), piped)).toMatch(
      /dry run\b.*nothing was changed\n$/,
    );
  });

  it('that never saw the host says why, in a dry run too', () => {
    const blind = blindReport({ converged: false, reasons: ['the host runs Plan 9'] });
    expect(reportTable(blind, piped)).toContain('not converged: the host runs Plan 9');
    expect(reportTable({ ...blind, dryRun: true }, piped)).toContain('the host runs Plan 9');
  });

  it('is coloured on a terminal', () => {
    expect(reportTable(reportOf(), terminal())).toContain('\u001b[32m');
    expect(reportTable(reportOf({ converged: false, reasons: ['x'] }), terminal())).toContain('\u001b[31m');
  });
});

describe('the container runtimes of a pass', () => {
  const runtime = {
    name: 'containerd',
    version: '1.7.24',
    socket: '/run/containerd/containerd.sock',
    pid: 90,
    unit: 'containerd.service',
    way: 'certs.d',
    directories: ['/etc/containerd/certs.d'],
    message: 'pulls see the store',
  } as const;

  it('have a line each, with what an admin would run', () => {
    const needed = { ...runtime, state: 'restart-needed', command: 'systemctl restart containerd.service' } as const;
    const text = reportTable(reportOf({ runtimes: [{ ...runtime, state: 'trusts' }, needed] }), piped);
    expect(text).toContain('pulls\tcontainerd 1.7.24: trusts: pulls see the store\n');
    expect(text).toContain(
      'pulls\tcontainerd 1.7.24: restart-needed: pulls see the store; systemctl restart containerd.service\n',
    );
  });

  it('are red where a pull fails, and yellow where a removal is not done', () => {
    const coloured = (state: 'trusts' | 'incomplete' | 'revoked-after-restart'): string =>
      reportTable(reportOf({ runtimes: [{ ...runtime, state }] }), terminal());
    expect(coloured('trusts')).toContain('\u001b[32mtrusts');
    expect(coloured('incomplete')).toContain('\u001b[31mincomplete');
    expect(coloured('revoked-after-restart')).toContain('\u001b[33mrevoked-after-restart');
  });

  it('come with what was edited for them, and with each probe', () => {
    const probes = [
      { address: 'a.example:443', verified: true, message: '' },
      { address: 'b.example:443', verified: false, message: 'self-signed certificate' },
    ];
    const text = reportTable(
      reportOf({ edits: ['/etc/containerd/certs.d/_default/node-ca-trust.crt'], probes }),
      piped,
    );
    expect(text).toContain('edit\t/etc/containerd/certs.d/_default/node-ca-trust.crt\n');
    expect(text).toContain('probe\ta.example:443: verified\n');
    expect(text).toContain('probe\tb.example:443: not verified: self-signed certificate\n');
  });
});

describe('control characters', () => {
  const evil = fc.string({
    unit: fc.constantFrom('a', '\u001b', '\r', '\u0007', '\u0000', '\u009b', '\u202e'),
    minLength: 1,
  });

  it('of a host never reach a table: a hook that prints in colour, a file with an odd name', () => {
    fc.assert(
      fc.property(evil, fc.boolean(), (text, isTTY) => {
        const report = reportOf({
          converged: false,
          refreshed: [text],
          notes: [text],
          reasons: [text, text],
          stillTrusted: [{ fingerprint: 'ff', file: text }],
          edits: [text],
          probes: [{ address: 'a:1', verified: false, message: text }],
          runtimes: [
            {
              name: 'docker',
              version: text,
              socket: text,
              pid: 1,
              way: 'restart',
              directories: [],
              state: 'restart-needed',
              message: text,
              command: text,
            },
          ],
        });
        expect(stripOwn(reportTable(printed(report), new Capture(isTTY)))).not.toMatch(controls);
      }),
    );
  });

  it('of a file name never reach a table', () => {
    fc.assert(
      fc.property(evil, fc.boolean(), (text, isTTY) => {
        const bundle = bundleOf([], [findingOf('error', 'unreadable', { source: text, message: text })]);
        expect(stripOwn(bundleTable(bundle, new Capture(isTTY), now))).not.toMatch(controls);
      }),
    );
  });
});

/** The table without the colours that are its own. */
function stripOwn(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\u001b\[\d+m/g, '');
}
