import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Problem, UsageProblem, errnoOf, explain, problemOf } from '../../../src/host/problem.ts';

const errno = (code: string): Error => Object.assign(new Error(`${code}: raw text, open '/x'`), { code });

describe('explain', () => {
  it.each([
    ['ENOSPC', /no space left.*free some/],
    ['EROFS', /read-only.*mount it writable/],
    ['EACCES', /permission denied; run as root/],
    ['EXDEV', /different mounts/],
    ['ENOENT', /no such file or directory/],
  ])('says what %s means and what to do', (code, text) => {
    expect(explain(errno(code))).toMatch(text);
    expect(explain(errno(code))).toMatch(new RegExp(`\\(${code}\\)$`));
  });

  it('takes the first line of any other error', () => {
    expect(explain(new Error('first\nsecond'))).toBe('first');
    expect(explain(errno('EWHATEVER'))).toBe("EWHATEVER: raw text, open '/x'");
  });

  it('says of a host with several addresses what went wrong with the first', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' });
    expect(explain(new AggregateError([refused, new Error('other')], ''))).toBe('connect ECONNREFUSED 127.0.0.1:1');
  });

  it('takes anything that was thrown', () => {
    expect(explain('a text')).toBe('a text');
    expect(explain(undefined)).toBe('undefined');
  });
});

describe('errnoOf', () => {
  it('finds the code of a system error only', () => {
    let thrown: unknown;
    try {
      readFileSync('/no/such/file');
    } catch (error) {
      thrown = error;
    }
    expect(errnoOf(thrown)).toBe('ENOENT');
    expect(errnoOf(new Error('x'))).toBeUndefined();
    expect(errnoOf(Object.assign(new Error('x'), { code: 7 }))).toBeUndefined();
    expect(errnoOf({ code: 'ENOENT' })).toBeUndefined();
  });
});

describe('problemOf', () => {
  it('names what was being done and keeps the cause', () => {
    const cause = errno('ENOSPC');
    const problem = problemOf('cannot write /x', cause);
    expect(problem).toBeInstanceOf(Problem);
    expect(problem.message).toMatch(/^cannot write \/x: no space left/);
    expect(problem.cause).toBe(cause);
  });

  it('leaves a problem as it is', () => {
    const usage = new UsageProblem('--x: wrong');
    expect(problemOf('cannot do it', usage)).toBe(usage);
    expect(usage).toBeInstanceOf(Problem);
    expect([usage.name, new Problem('x').name]).toEqual(['UsageProblem', 'Problem']);
  });
});
