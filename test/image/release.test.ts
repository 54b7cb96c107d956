// What the release is made by and of: each part of it named by what it is, not by a name that can come to mean another.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { project, run } from './machine.ts';

const workflows = join(project, '.github/workflows');
const files = readdirSync(workflows).map((name) => join(workflows, name));

test('the workflows are what GitHub can run', () => {
  expect(run('actionlint', ['-shellcheck=', '-pyflakes=', ...files])).toBe('');
});

test('the workflows name every action by its commit', () => {
  const uses = files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/uses: (.*)$/gm)].map(([, what]) => what),
  );
  expect(uses.length).toBeGreaterThan(5);
  for (const what of uses)
    expect(what).toMatch(/^(\.\/\.github\/workflows\/\w+\.yml|[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$/);
});

test('the Dockerfile names its base by digest, with the Node.js that the tests run on', () => {
  const dockerfile = readFileSync(join(project, 'Dockerfile'), 'utf8');
  const base = /^ARG BASE=(.*)$/m.exec(dockerfile)?.[1] ?? '';
  expect(base).toMatch(/^docker\.io\/library\/node:[\d.]+-bookworm-slim@sha256:[0-9a-f]{64}$/);
  expect(base).toContain(`node:${process.versions.node}-`);
  const others = [...dockerfile.matchAll(/^FROM (.*)$/gm)].map(([, from = '']) =>
    from.replace(/^--platform=\S+ | AS .*$/g, ''),
  );
  expect(others.filter((from) => !['${BASE}', 'program', 'scratch'].includes(from))).toEqual([]);
});
