import { describe, expect, it } from 'vitest';
import { openScrape } from '../../../src/report/scrape.ts';
import { anchorOf, passOf } from '../support/anchors.ts';

const failed = passOf({ converged: false, reasons: ['x'] });

describe('openScrape', () => {
  it('counts what was before anybody asked', async () => {
    const scrape = openScrape();
    for (const pass of [failed, passOf({ repaired: ['a'] }), passOf({ anchors: [anchorOf('a')] })]) scrape.record(pass);
    const { text, type } = await scrape.answer();
    expect(type).toMatch(/^text\/plain/);
    expect(text).toContain('node_ca_trust_passes_total{result="failed"} 1\n');
    expect(text).toContain('node_ca_trust_passes_total{result="converged"} 2\n');
    expect(text).toContain('node_ca_trust_repairs_total 1\n');
    expect(text).toContain('node_ca_trust_anchors 1\n');
    expect(text).toContain('node_ca_trust_converged 1\n');
  });

  it('counts how long changed bundles took', async () => {
    const scrape = openScrape();
    for (const lagMs of [undefined, 700, undefined, 20_000]) scrape.record(passOf(), lagMs);
    const { text } = await scrape.answer();
    expect(text).toContain('node_ca_trust_source_lag_seconds_bucket{le="1"} 1\n');
    expect(text).toContain('node_ca_trust_source_lag_seconds_count 2\n');
    expect(text).toContain('node_ca_trust_source_lag_seconds_sum 20.7\n');
  });

  it('counts each pass once, however often and at once it is asked', async () => {
    const scrape = openScrape();
    scrape.record(failed);
    const answers = await Promise.all([scrape.answer(), scrape.answer(), scrape.answer()]);
    scrape.record(failed);
    for (const { text } of answers) expect(text).toContain('{result="failed"} 1\n');
    expect((await scrape.answer()).text).toContain('{result="failed"} 2\n');
  });

  it('answers before the first pass', async () => {
    expect((await openScrape().answer()).text).toContain('node_ca_trust_passes_total{result="failed"} 0\n');
  });

  it('does not grow for ever when nobody asks', async () => {
    const scrape = openScrape();
    for (let count = 0; count < 5_000; count += 1) scrape.record(failed);
    const counted = /result="failed"\} (\d+)/.exec((await scrape.answer()).text)?.[1];
    expect(Number(counted)).toBeLessThan(5_000);
  });
});
