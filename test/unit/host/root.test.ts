import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Problem } from '../../../src/host/problem.ts';
import { openEntries } from '../../../src/host/entries.ts';
import { openPaths } from '../../../src/host/root.ts';
import { temporaryDirectory } from '../support/directories.ts';

type Node = string | { readonly [name: string]: Node };

/** Makes a tree: an object is a directory, a text the target of a link. */
function plant(directory: string, tree: Node): void {
  if (typeof tree === 'string') {
    symlinkSync(tree, directory);
    return;
  }
  mkdirSync(directory, { recursive: true });
  for (const [name, node] of Object.entries(tree)) plant(join(directory, name), node);
}

function rootWith(tree: Node): string {
  const root = join(temporaryDirectory(), 'root');
  plant(root, tree);
  return root;
}

describe('openPaths', () => {
  it.each([
    ['a plain path', '/etc/ssl', '/etc/ssl'],
    ['the root itself', '/', '/'],
    ['a path that does not exist', '/no/such/path', '/no/such/path'],
    ['slashes too many', '//etc///ssl/', '/etc/ssl'],
    ['dots', '/etc/./ssl/../ssl', '/etc/ssl'],
    ['dots beyond the root', '/../../etc', '/etc'],
    ['an absolute link', '/absolute', '/etc/ssl'],
    ['a relative link', '/etc/relative', '/etc/ssl'],
    ['a link to a link', '/twice', '/etc/ssl'],
    ['a link in the middle', '/absolute/certs', '/etc/ssl/certs'],
    ['a link that climbs out', '/etc/climbing', '/outside'],
    ['a link below a file that is missing', '/dangling/x', '/missing/x'],
    ['a link to the root', '/self/self/etc', '/etc'],
    ['dots after a link, which mean its target', '/absolute/..', '/etc'],
  ])('follows %s', (_, path, expected) => {
    const root = rootWith({
      etc: { ssl: { certs: {} }, relative: 'ssl', climbing: '../../../../outside' },
      absolute: '/etc/ssl',
      twice: 'absolute',
      dangling: '/missing',
      self: '/',
    });
    expect(openPaths(root, openEntries())(path, true)).toBe(join(root, expected));
  });

  it('leaves the last link alone when asked to, and resolves those before it', () => {
    const root = rootWith({ etc: { ssl: {} }, here: 'etc', etcssl: '/etc/ssl' });
    expect(openPaths(root, openEntries())('/etcssl', false)).toBe(join(root, 'etcssl'));
    expect(openPaths(root, openEntries())('/here/ssl', false)).toBe(join(root, 'etc/ssl'));
  });

  it.each([
    ['two links to each other', { one: 'two', two: '/one' }, '/one'],
    ['a link to itself', { one: 'one' }, '/one/more'],
    ['a link that grows', { one: 'one/more' }, '/one'],
  ])('names the path when links run in a circle: %s', (_, tree, path) => {
    const root = rootWith(tree);
    expect(() => openPaths(root, openEntries())(path, true)).toThrow(Problem);
    expect(() => openPaths(root, openEntries())(path, true)).toThrow(`${path} on the host: too many symbolic links`);
  });

  it('takes the machine itself for the root', () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'file'), '');
    symlinkSync('file', join(directory, 'link'));
    expect(openPaths('/', openEntries())(`${directory}/link`, true)).toBe(`${directory}/file`);
  });
});

type Tree = ReadonlyMap<string, Node>;

/** A whole tree by path, for the model to look up in. */
function flatten(tree: Node, path = ''): readonly (readonly [string, Node])[] {
  const below = typeof tree === 'string' ? [] : Object.entries(tree);
  return [[path === '' ? '/' : path, tree], ...below.flatMap(([name, node]) => flatten(node, `${path}/${name}`))];
}

/** The rule in its simplest form: one step at a time, a link replaced by its text. Undefined in a circle. */
function model(tree: Tree, path: string, steps = 200): string | undefined {
  if (steps === 0) return undefined;
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  for (const [index, part] of parts.entries()) {
    const before = parts.slice(0, index);
    const rest = parts.slice(index + 1);
    if (part === '..') return model(tree, `/${[...before.slice(0, -1), ...rest].join('/')}`, steps - 1);
    const node = tree.get(`/${[...before, part].join('/')}`);
    if (typeof node !== 'string') continue;
    const start = node.startsWith('/') ? [] : before;
    return model(tree, `/${[...start, node, ...rest].join('/')}`, steps - 1);
  }
  return `/${parts.join('/')}`;
}

const names = ['a', 'b', 'c'] as const;
const paths = fc
  .tuple(fc.boolean(), fc.array(fc.constantFrom<string>(...names, '..', '.'), { minLength: 1, maxLength: 4 }))
  .map(([absolute, parts]) => (absolute ? '/' : '') + parts.join('/'));

const trees = fc.letrec<{ node: Node; directory: Record<string, Node> }>((tie) => ({
  node: fc.oneof({ maxDepth: 3 }, paths, tie('directory')),
  directory: fc.dictionary(fc.constantFrom(...names), tie('node'), { maxKeys: 3, noNullPrototype: true }),
}));

describe('openPaths in any tree of links', () => {
  it('goes where the rule says, and never out of the root', () => {
    const parent = temporaryDirectory();
    let count = 0;
    fc.assert(
      fc.property(trees.directory, paths, (tree, path) => {
        const root = join(parent, `${(count += 1)}`);
        plant(root, tree);
        const expected = model(new Map(flatten(tree)), path);
        let found: string | undefined;
        try {
          found = openPaths(root, openEntries())(path, true);
        } catch (error) {
          expect(error).toBeInstanceOf(Problem);
        }
        expect(found === undefined || found === root || found.startsWith(root + sep) || found === `${root}/`).toBe(
          true,
        );
        expect(found).toBe(expected === undefined ? undefined : join(root, expected));
      }),
      { numRuns: 150 },
    );
  });
});
