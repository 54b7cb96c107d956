// What the pages name is there: files, anchors, commands of the checkout.
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { anchorsOf, exists, linksOf, pages, project, rowsOf, section, textOf } from './pages.ts';

interface Package {
  readonly scripts: Readonly<Record<string, string>>;
}

const { scripts } = JSON.parse(textOf('package.json')) as Package;

/** Directories that a page tells its reader to make. */
function madeBy(text: string): readonly string[] {
  return [...text.matchAll(/\bcp -r \S+ (\S+)/g)].map(([, made = '']) => made);
}

/** Paths of the project that a text names, in prose, commands or comments; placeholders in capitals are none. */
function pathsIn(text: string): readonly string[] {
  const words = text
    .replace(/https?:\/\/\S+/g, '')
    .matchAll(/(?<![\w./@-])(?:deploy|docs|src|test|\.ci|\.github)\/[\w./-]+/g);
  const paths = [...words].map(([path]) => path.replace(/[./]+$/, '')).filter((path) => !/[A-Z]{3}/.test(path));
  return paths.filter((path) => !madeBy(text).includes(path));
}

describe.each(pages)('%s', (page) => {
  it('links to files that are there, and to headings that they have', () => {
    const broken = linksOf(page).filter(
      ({ path, anchor }) => !exists(path) || (anchor !== undefined && !anchorsOf(path).includes(anchor)),
    );
    expect(broken).toEqual([]);
  });

  it('names files that are there', () => {
    expect(pathsIn(textOf(page)).filter((path) => !exists(path))).toEqual([]);
  });

  it('names commands that package.json has', () => {
    const named = [...textOf(page).matchAll(/npm run (?:-s )?([\w:]+)/g)].map(([, script = '']) => script);
    expect(named.filter((script) => !(script in scripts))).toEqual([]);
  });
});

it('the manifests, the chart and the program name pages that are there', () => {
  const files = ['deploy', 'src'].flatMap((directory) =>
    readdirSync(join(project, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(project, join(entry.parentPath, entry.name))),
  );
  const named = files.flatMap((file) => textOf(file).match(/(?<![\w/])docs\/[\w-]+\.md\b/g) ?? []);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((path) => !exists(path))).toEqual([]);
});

it('CONTRIBUTING lists each command that checks something, once', () => {
  const listed = rowsOf(section('CONTRIBUTING.md', '## Check everything')).map(([command]) => command);
  const checks = Object.keys(scripts).filter((script) => !['cli', 'start', 'build', 'cluster'].includes(script));
  const expected = checks.map((script) => (script === 'test' ? '`npm test`' : `\`npm run ${script}\``));
  expect([...listed].sort()).toEqual([...expected, '`.ci/run`'].sort());
});
