// The pages that people read, taken apart: links and headings, tables, what stands in code.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

export const project = join(import.meta.dirname, '../../..');

export const textOf = (path: string): string => readFileSync(join(project, path), 'utf8');

export const exists = (path: string): boolean => existsSync(join(project, path));

/** All pages, as paths from the project's root. */
export const pages: readonly string[] = ['.', 'docs'].flatMap((directory) =>
  readdirSync(join(project, directory))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(directory, name)),
);

/** The text of a page without its fenced blocks, in which nothing is a link or a heading. */
export const prose = (page: string): string => textOf(page).replace(/^```[^]*?^```$/gm, '');

/** The anchors that GitHub gives the headings of a page. */
export function anchorsOf(page: string): readonly string[] {
  const seen = new Map<string, number>();
  return [...prose(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => {
    const words = heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '');
    const slug = words.replaceAll(' ', '-');
    const before = seen.get(slug) ?? 0;
    seen.set(slug, before + 1);
    return before === 0 ? slug : `${slug}-${before}`;
  });
}

export interface Link {
  /** The file, as a path from the project's root. */
  readonly path: string;
  readonly anchor: string | undefined;
}

/** Where a page's relative links lead. */
export function linksOf(page: string): readonly Link[] {
  return [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [path = '', anchor] = target.split('#');
      const to = path === '' ? page : relative(project, join(project, dirname(page), path));
      return { path: to, anchor };
    });
}

/** The part of a page below a heading, up to the next one of its level or a higher one. */
export function section(page: string, heading: string): string {
  const lines = textOf(page).split('\n');
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`${page} has no "${heading}"`);
  const level = heading.indexOf(' ');
  const rest = lines.slice(start + 1);
  // A comment in a fenced block looks like a heading.
  let isFenced = false;
  const end = rest.findIndex((line) => {
    if (line.startsWith('```')) isFenced = !isFenced;
    return !isFenced && new RegExp(`^#{1,${level}} `).test(line);
  });
  return (end < 0 ? rest : rest.slice(0, end)).join('\n');
}

/** The fenced blocks of commands in a text. */
export const blocksOf = (text: string): readonly string[] =>
  [...text.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, block = '']) => block);

/** The rows of the tables in a text, without their heads: the cells of each. */
export function rowsOf(text: string): readonly (readonly string[])[] {
  const rows = text.split('\n').filter((line) => line.startsWith('|'));
  const isRule = (line: string | undefined): boolean => line !== undefined && /^[|:-]+$/.test(line);
  const body = rows.filter((line, index) => !isRule(line) && !isRule(rows[index + 1]));
  return body.map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim()),
  );
}

/** What stands in code in a text. */
export const codeOf = (text = ''): readonly string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
