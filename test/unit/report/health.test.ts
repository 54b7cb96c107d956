import { describe, expect, it } from 'vitest';
import { openHealth } from '../../../src/report/health.ts';
import { anchorOf, passOf } from '../support/anchors.ts';

const hour = 3_600_000;

describe('health', () => {
  it('is alive and not ready before the first pass has ended', () => {
    const health = openHealth();
    health.begin(0);
    expect(health.live(1_000).status).toBe(200);
    expect(health.ready()).toMatchObject({ status: 503, text: expect.stringContaining('first pass') as unknown });
  });

  it('is ready while the last pass proved the host, and says what it proved', () => {
    const health = openHealth();
    health.end(passOf({ anchors: [anchorOf('a')], digest: 'd1' }));
    expect(health.ready()).toMatchObject({
      status: 200,
      text: expect.stringMatching(/^ready\b[^\n]*\b1\b[^\n]*\bd1\n$/) as unknown,
    });
    health.begin(hour);
    expect(health.ready().status).toBe(200);
  });

  it('is not ready after a pass that failed, and says each reason', () => {
    const health = openHealth();
    health.end(passOf());
    health.end(passOf({ converged: false, reasons: ['one', 'two'] }));
    expect(health.ready()).toEqual({ status: 503, text: 'one\ntwo\n' });
    expect(health.live(hour).status).toBe(200);
  });

  it('tells the kubelet the first reason with the one kind of status that it shows and takes for alive', () => {
    const health = openHealth();
    health.begin(0);
    expect(health.liveWithReason(1_000)).toEqual({ status: 200, text: 'alive\n' });
    health.end(passOf({ converged: false, reasons: ['one', 'two'] }));
    expect(health.liveWithReason(hour)).toEqual({ status: 300, text: 'one' });
    health.begin(hour);
    expect(health.liveWithReason(2 * hour).status).toBe(503);
    health.end(passOf());
    expect(health.liveWithReason(2 * hour)).toEqual({ status: 200, text: 'alive\n' });
  });

  it('is not alive while a pass hangs', () => {
    const health = openHealth();
    health.begin(0);
    expect(health.live(5 * 60_000).status).toBe(200);
    expect(health.live(11 * 60_000)).toMatchObject({ status: 503, text: expect.stringContaining('hangs') as unknown });
    health.end(passOf());
    expect(health.live(12 * 60_000).status).toBe(200);
  });

  it('is alive in a pass that begins long after the last one', () => {
    const health = openHealth();
    health.begin(0);
    health.end(passOf());
    health.begin(24 * hour);
    expect(health.live(24 * hour + 1_000).status).toBe(200);
  });
});
