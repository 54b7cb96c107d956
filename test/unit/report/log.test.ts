import { describe, expect, it } from 'vitest';
import { openLog, openPassLog } from '../../../src/report/log.ts';
import { findingOf, anchorOf, passOf } from '../support/anchors.ts';

interface Logged {
  readonly lines: () => readonly Readonly<Record<string, unknown>>[];
  readonly pass: ReturnType<typeof openPassLog>;
}

function logged(level = 'info'): Logged {
  const written: string[] = [];
  const log = openLog(level, 'pool-a', { write: (line) => void written.push(line) });
  return {
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
    pass: openPassLog(log),
  };
}

const failed = passOf({ converged: false, reasons: ['the disk is full'] });

describe('the log of passes', () => {
  it('says what a pass changed, with all that a reader needs', () => {
    const { lines, pass } = logged();
    pass(
      passOf({ anchors: [anchorOf('a')], added: ['f'.repeat(64)], refreshed: ['1 to install'], milliseconds: 1234 }),
    );
    expect(lines()).toEqual([
      expect.objectContaining({
        level: 'info',
        instance: 'pool-a',
        msg: 'the host trusts the bundle',
        added: ['f'.repeat(64)],
        refreshed: ['1 to install'],
        anchors: 1,
        milliseconds: 1234,
      }),
    ]);
    expect(lines()[0]?.['time']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  it('tells runtimes that could not be looked at from none', () => {
    const { lines, pass } = logged();
    pass(passOf({ runtimesUnseen: true }));
    pass(passOf());
    expect(lines().map(({ runtimes, runtimesUnseen }) => [runtimes, runtimesUnseen])).toEqual([
      [[], true],
      [[], undefined],
    ]);
  });

  it('is quiet as long as nothing changes', () => {
    const { lines, pass } = logged();
    for (let round = 0; round < 5; round += 1) pass(passOf({ milliseconds: round }));
    expect(lines()).toHaveLength(1);
  });

  it('says the same failure once, and the recovery', () => {
    const { lines, pass } = logged();
    for (let round = 0; round < 5; round += 1) pass({ ...failed, milliseconds: round });
    pass(passOf());
    pass(failed);
    expect(lines().map(({ level, msg }) => [level, msg])).toEqual([
      ['error', 'not converged: the disk is full'],
      ['info', 'the host trusts the bundle'],
      ['error', 'not converged: the disk is full'],
    ]);
  });

  it.each([
    ['another reason', { ...failed, reasons: ['the disk is read-only'] }],
    ['another finding', { ...failed, findings: [findingOf('error', 'not-a-ca')] }],
    ['another note', { ...failed, notes: ['a hook failed'] }],
    ['another digest', { ...failed, digest: 'd' }],
  ])('says %s', (_, next) => {
    const { lines, pass } = logged();
    pass(failed);
    pass(next);
    pass(next);
    expect(lines()).toHaveLength(2);
  });

  it.each(['added', 'repaired', 'removed', 'refreshed'] as const)('says each time that something was %s', (list) => {
    const { lines, pass } = logged();
    const change = passOf({ [list]: ['f'.repeat(64)] });
    pass(change);
    pass(change);
    expect(lines()).toHaveLength(2);
  });

  it('stays a line that can be read, however much is wrong with the bundle', () => {
    const { lines, pass } = logged();
    const findings = Array.from({ length: 5_000 }, (_, index) => findingOf('error', 'not-a-certificate', { index }));
    pass({ ...failed, findings });
    expect(JSON.stringify(lines()).length).toBeLessThan(16_384);
    expect(lines()[0]?.['findings']).toEqual(findings.slice(0, 50));
  });

  it('keeps to its level', () => {
    const { lines, pass } = logged('error');
    pass(passOf({ added: ['x'] }));
    pass(failed);
    expect(lines().map(({ level }) => level)).toEqual(['error']);
  });
});
