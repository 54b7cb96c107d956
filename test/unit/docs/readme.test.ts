// The README can be read aloud in five minutes.
import { expect, it } from 'vitest';
import { prose } from './pages.ts';

/** Five minutes at 156 words a minute. */
const mostWords = 780;

/** What is read: no blocks of commands, no tables, no places that links lead to. */
const read = prose('README.md')
  .replace(/^\|.*$/gm, '')
  .replace(/\]\([^)]*\)/g, ']');

it('is as long as five minutes, without commands and tables', () => {
  const words = read.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word));
  expect(words.length).toBeLessThanOrEqual(mostWords);
  expect(words.length).toBeGreaterThan(mostWords / 2);
});
