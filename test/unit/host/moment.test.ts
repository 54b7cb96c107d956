import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readMoment } from '../../../src/host/moment.ts';
import { emptyHost } from '../support/directories.ts';
import { setUptime } from '../support/runtime.ts';

describe('a moment', () => {
  it('is the boot and the seconds since', () => {
    const host = emptyHost();
    setUptime(host.root, 4242.17, 'e36cd8ca-0f4e-4a83-bd5c-0f7bd4d0e35f');
    expect(readMoment(host)).toEqual({ boot: 'e36cd8ca-0f4e-4a83-bd5c-0f7bd4d0e35f', seconds: 4242.17 });
  });

  it('is not to be had where /proc is not to be seen', () => {
    const host = emptyHost();
    expect(readMoment(host)).toBeUndefined();
    mkdirSync(join(host.root, 'proc'));
    expect(readMoment(host)).toBeUndefined();
  });
});
