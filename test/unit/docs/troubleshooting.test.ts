// What docs/troubleshooting.md and docs/one-machine.md quote is what the program says: each literal part of a quotation
// stands in its sources.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { codeOf, project, rowsOf, section, textOf } from './pages.ts';

const sources = readdirSync(join(project, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => textOf(join('src', file)).replaceAll("\\'", "'"))
  .join('\n')
  .replace(/^ *(\/\/|\/?\*).*$/gm, '');

const page = 'docs/troubleshooting.md';

/** The first cells of the tables below a heading: what an admin sees. */
const seen = (of: string, heading: string): readonly string[] =>
  rowsOf(section(of, heading)).flatMap(([cell = '']) => codeOf(cell));

/** Keys of Secrets, commands of an admin, and words of Node.js and of the reader of command lines. */
const foreign =
  /^(tls\.key|\.dockerconfigjson|token|kubectl .*|helm .*|\.\.\. ECONNREFUSED \.\.\.|unknown option \.\.\.)$/;

/** What the program says; what Kubernetes says is not ours to hold. */
const quotations = [
  ...seen(page, '## The pod runs and is not ready'),
  ...seen(page, '## A CA is not removed'),
  ...rowsOf(section(page, '## The pod does not start')).flatMap(([cell = '']) => codeOf(cell.split('log: ')[1])),
  ...seen('docs/one-machine.md', '## When it does not work'),
].filter((text) => !foreign.test(text));

/** Values that the program fills in, beside placeholders in capitals and numbers. */
const values = ['CA:FALSE', '127.0.0.1:9641', '/host', 'a certificate signing request', 'update-ca-certificates'];

/** Where one text of the program ends and another begins: at a colon or semicolon, at a value, at what is left out. */
const seams = new RegExp(`${values.join('|')}|\\.\\.\\.|[:;] |\\b[A-Z]+\\b|\\b\\d+\\b|[()]`);

/** The literal parts of a quotation. */
const literals = (quotation: string): readonly string[] =>
  quotation
    .split(seams)
    .map((part) => part.trim().replace(/^[;,] |[;,:]$/g, ''))
    .filter((part) => /\w{3}/.test(part));

it.each([...new Set(quotations)])('%s', (quotation) => {
  const parts = literals(quotation);
  expect(parts).not.toEqual([]);
  expect(parts.filter((part) => !sources.includes(part))).toEqual([]);
});

it('quotes enough to be held to', () => {
  expect(quotations.length).toBeGreaterThan(30);
});
