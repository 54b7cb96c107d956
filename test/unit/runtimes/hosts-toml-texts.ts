/**
 * Texts of hosts.toml as fast-check makes them: every form that TOML has for the same thing, and what looks like one
 * thing and is another. All are valid, and none is in a form that may be refused.
 */
import fc from 'fast-check';

/** The file that trust is given to. */
export const ca = '/etc/ssl/certs/ca-certificates.crt';

const one = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const rarely = <T>(odd: fc.Arbitrary<T>, usual: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 1, arbitrary: odd }, { weight: 9, arbitrary: usual });
const joined = (...parts: readonly fc.Arbitrary<string>[]): fc.Arbitrary<string> =>
  fc.tuple(...parts).map((texts) => texts.join(''));

/** A string in one of its forms. */
const quoted = (text: string): fc.Arbitrary<string> => one(JSON.stringify(text), `'${text}'`);

const url = rarely(
  one('', 'a "quoted" one', 'httpx', 'https://ä.example'),
  one(
    'https://mirror.example:5000',
    'https://registry-1.docker.io/v2/x',
    'http://plain.example:5000',
    'http://plain.example',
    'mirror.example',
    'localhost:5000',
  ),
);

/** A host's name in a header; with its last character as an escape, too. */
const hostName = (text: string): fc.Arbitrary<string> => {
  const last = text.charCodeAt(text.length - 1).toString(16);
  const escaped = `"${JSON.stringify(text).slice(1, -2)}\\u00${last}"`;
  return rarely(one(/\w$/.test(text) ? escaped : `'${text}'`), quoted(text));
};

const note = one('', '', '', ' # a comment', '  # one with "quotes\' and [brackets]', ' ', ' # ca = "x" #');
const indent = one('', '', '  ', '\t');

/** @param names as they stand between the dots */
const header = (...names: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(indent, one('', '', ' '), rarely(one('\t.\t'), one('.', '.', ' . ')), note)
    .map(([before, pad, dot, after]) => `${before}[${pad}${names.join(dot)}${pad}]${after}`);

const file = one('/etc/a.pem', 'b.pem', '/with ] # and , in.pem', '/with "quotes".pem', '/à.pem', ca).chain(quoted);

/** A list in one line or more. */
const list = fc
  .record({
    open: one('', ' ', '\n', ' # why, "so"]\n'),
    files: fc.array(joined(file, one('', ' ', '\n', ' # none ]\n', '\n\n  # above\n')), { maxLength: 3 }),
    last: one('', ',', ' ,', ', # last\n'),
  })
  .map(({ open, files, last }) => `[${open}${files.join(',')}${files.length === 0 ? '' : last}]`);

const ownFiles = joined(
  one('ca', '"ca"', "'ca'"),
  one(' = ', '=', '\t= '),
  fc.oneof(file, list, one("'''/c.pem'''", '"""/d.pem"""')),
);
const skip = one('skip_verify = true', 'skip_verify = false', "'skip_verify'=true");
const server = joined(
  one('server = ', '"server"='),
  one('https://up.example', 'http://up.example:80', 'up.example').chain(quoted),
);

/** Keys that nothing has to be done for. */
const otherKeys = [
  'capabilities = ["pull", "resolve"]',
  'capabilities = [\n  "pull", # first\n  "push"\n]',
  'override_path = true',
  'dial_timeout = "3s"',
  'client = [["/a.cert", "/a.key"], ["/b.cert", "/b.key"]]',
  'header.x-one = "1"',
  'header = { "x" = "]", y = ["#", "="] }',
  'note = """\n[host."https://in-a-string"]\nca = "x"\n\\""""',
  "note = '''\n[host]\n# \"'''",
  'when = 2026-11-23T10:00:00Z',
  'many = [[1, 2], [3]]',
  '"odd = # [key]" = 1',
  "plain.'dotted' . key = 'C:\\'",
];

/** The keys of a table, each at most once, in any order. */
const keys = (...known: readonly fc.Arbitrary<string>[]): fc.Arbitrary<readonly string[]> => {
  const some = known.map((key) => fc.option(key, { nil: '', freq: 2 }));
  const others = fc.uniqueArray(one(...otherKeys), { maxLength: 3, selector: (key) => /^[^ .]*/.exec(key)?.[0] });
  return fc
    .tuple(fc.tuple(...some), others)
    .map(([first, rest]) => [...first, ...rest].filter((key) => key !== ''))
    .chain((all) => fc.shuffledSubarray(all, { minLength: all.length }))
    .chain((all) => fc.tuple(...all.map((key) => joined(indent, one(key), note))));
};

/** A host: its table, one below it, or both in either order. */
const host = (text: string): fc.Arbitrary<readonly string[]> =>
  hostName(text).chain((name) => {
    const own = fc.tuple(header('host', name), keys(ownFiles, skip)).map(([head, body]) => [head, ...body]);
    const below = fc.tuple(header('host', name, 'rewrite'), one('"^x" = "[y]"', ''));
    const both = fc.tuple(own, below);
    return fc.oneof(
      own,
      own,
      below,
      both.map((parts) => parts.flat()),
      both.map((parts) => parts.toReversed().flat()),
    );
  });

const filler = fc.array(one('', '# a comment', '  # [host."https://in-a-comment"]', '#'), { maxLength: 2 });

/** A whole file. */
export const hostsTexts: fc.Arbitrary<string> = fc
  .record({
    mark: rarely(one('\uFEFF'), one('')),
    end: one('\n', '\n', '\r\n'),
    lastEnd: one('\n', '\n', ''),
    before: filler,
    top: keys(ownFiles, server, skip),
    between: one([], [], ['[host]'], ['[other]', 'ca = "x"'], ['[[list]]', 'ca = 1', '[[list]]', '[list.host]']),
    hosts: fc
      .uniqueArray(url, { maxLength: 4 })
      .chain((urls) => fc.tuple(...urls.flatMap((text) => [host(text), filler]))),
  })
  .map(({ mark, end, lastEnd, before, top, between, hosts }) => {
    const lines = [...before, ...top, ...between, ...hosts.flat()];
    return mark + (lines.join('\n') + lastEnd).replaceAll('\n', end);
  });
