import { InvalidArgumentError } from 'commander';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  collect,
  parseCount,
  parseDirectory,
  parseDuration,
  parseInstance,
  collectLabels,
  collectProbes,
  collectRegistries,
  parseListen,
  parseNodeName,
  parseSecret,
} from '../../../src/commands/values.ts';

const parsers: readonly ((text: string) => unknown)[] = [
  parseDuration,
  parseCount,
  parseListen,
  parseInstance,
  parseDirectory,
  (text) => collectLabels(text, undefined),
  parseNodeName,
  parseSecret,
];

describe('any text', () => {
  it('is understood or refused with what was expected, and nothing else', () => {
    fc.assert(
      fc.property(fc.constantFrom(...parsers), fc.string(), (parse, text) => {
        try {
          parse(text);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidArgumentError);
        }
      }),
    );
  });
});

describe('a duration', () => {
  it.each([
    ['1s', 1_000],
    ['1000ms', 1_000],
    ['90s', 90_000],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
  ])('may be %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '10', 'm', '0s', '999ms', '-1m', '1.5h', '1 m', '10m ', '1h30m', '99d', '1e3s', '10M', '９m'])(
    'may not be %j',
    (text) => {
      expect(() => parseDuration(text)).toThrow(/^a duration from 1s to \d+d, such as/);
    },
  );
});

describe('a count', () => {
  it.each([
    ['1', 1],
    ['100', 100],
    ['999999', 999_999],
  ])('may be %s', (text, count) => {
    expect(parseCount(text)).toBe(count);
  });

  it.each(['', '0', '-1', '1.5', '1e3', '0x10', ' 1', '1000000', '01', 'ten'])('may not be %j', (text) => {
    expect(() => parseCount(text)).toThrow(/^a whole number from 1/);
  });
});

describe('an address', () => {
  it.each([
    ['127.0.0.1:9641', { host: '127.0.0.1', port: 9641 }],
    ['0.0.0.0:1', { host: '0.0.0.0', port: 1 }],
    ['[::1]:9641', { host: '::1', port: 9641 }],
    ['[::ffff:127.0.0.1]:80', { host: '::ffff:127.0.0.1', port: 80 }],
    ['::1:9641', { host: '::1', port: 9641 }],
    ['fd00::a:1:9641', { host: 'fd00::a:1', port: 9641 }],
    ['localhost:65535', { host: 'localhost', port: 65_535 }],
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
  ])('may be %s', (text, address) => {
    expect(parseListen(text)).toEqual(address);
  });

  it.each([
    '',
    '9641',
    ':9641',
    '127.0.0.1',
    '127.0.0.1:',
    '::9641',
    'fd00:1:9641',
    '[::1]',
    '127.0.0.1:65536',
    '127.0.0.1:http',
    'a:1:2',
  ])('may not be %j', (text) => {
    expect(() => parseListen(text)).toThrow(/^ADDRESS:PORT, such as/);
  });
});

describe('an instance', () => {
  it.each(['default', 'a', '0', 'pool-a', 'a'.repeat(40)])('may be %s', (text) => {
    expect(parseInstance(text)).toBe(text);
  });

  it.each(['', '-a', 'a-', 'A', 'a_b', 'a.b', 'a/b', '..', 'a b', 'a\n', 'a'.repeat(41)])('may not be %j', (text) => {
    expect(() => parseInstance(text)).toThrow(/^1 to 40 lower-case letters/);
  });
});

describe('a directory', () => {
  it('is absolute', () => {
    expect(parseDirectory('/host')).toBe('/host');
    for (const text of ['', 'host', './host', '~/host'])
      expect(() => parseDirectory(text)).toThrow(/^an absolute path/);
  });
});

describe('a label', () => {
  it.each([
    ['node-ca-trust.io/enabled=true', 'node-ca-trust.io/enabled', 'true'],
    ['kubernetes.azure.com/custom-ca-trust-enabled=true', 'kubernetes.azure.com/custom-ca-trust-enabled', 'true'],
    ['pool=A_1.x', 'pool', 'A_1.x'],
    ['enabled=', 'enabled', ''],
  ])('may be %s', (text, key, value) => {
    expect(collectLabels(text, undefined)).toEqual([{ key, value }]);
  });

  it.each(['', 'enabled', '=true', 'a b=true', 'a=b=c', 'a/b/c=d', '-a=b', 'a-=b', 'a=b c', 'a!=b'])(
    'may not be %j',
    (text) => {
      expect(() => collectLabels(text, undefined)).toThrow(/^KEY=VALUE/);
    },
  );
});

describe('the name of a node', () => {
  it.each(['node-1', 'ip-10-0-0-1.eu-west-1.compute.internal', '1', 'a'.repeat(253)])('may be %s', (text) => {
    expect(parseNodeName(text)).toBe(text);
  });

  it.each(['', 'Node', 'a/b', '-a', 'a.', 'a b', 'a'.repeat(254)])('may not be %j', (text) => {
    expect(() => parseNodeName(text)).toThrow(/^the name of a Node/);
  });
});

describe('a list', () => {
  it('adds up in the order in which it was said', () => {
    expect(collect('/b', collect('/a', undefined))).toEqual(['/a', '/b']);
  });

  it('holds no empty path', () => {
    expect(() => collect('', undefined)).toThrow(/^a path/);
  });
});

describe('a Secret', () => {
  it.each([
    ['node-ca-trust/node-ca-trust', { namespace: 'node-ca-trust', name: 'node-ca-trust' }],
    ['a/b.c-1', { namespace: 'a', name: 'b.c-1' }],
    [`${'n'.repeat(63)}/${'s'.repeat(253)}`, { namespace: 'n'.repeat(63), name: 's'.repeat(253) }],
  ])('may be %s', (text, secret) => {
    expect(parseSecret(text)).toEqual(secret);
  });

  it.each(['name', '/name', 'ns/', 'ns/na/me', 'Ns/name', 'ns/Name', 'n.s/name', 'ns/..', `${'n'.repeat(64)}/a`, ''])(
    'may not be %j',
    (text) => {
      expect(() => parseSecret(text)).toThrow('NAMESPACE/NAME');
    },
  );
});

describe('a registry', () => {
  it.each(['registry.example.com', 'registry.example.com:5000', '10.0.0.1:5000', '[::1]:5000', 'localhost'])(
    'is %s',
    (text) => {
      expect(collectRegistries(text, undefined)).toEqual([text]);
    },
  );

  it.each(['', '.', '..', 'a/b', 'https://a', '[:]', '[..]', 'a:99999', 'a b', 'a'.repeat(300), 'a..b'])(
    'is not %j',
    (text) => {
      expect(() => collectRegistries(text, undefined)).toThrow(/HOST or HOST:PORT/);
    },
  );
});

describe('a server to probe', () => {
  it.each([
    ['a.example:443', { host: 'a.example', port: 443 }],
    ['[::1]:443', { host: '::1', port: 443 }],
  ])('is %s', (text, address) => {
    expect(collectProbes(text, undefined)).toEqual([address]);
  });

  it.each(['a', '.:1', '[..]:1', 'a,b:1', 'a@b:1', '%:1', 'a\0:1', `${'a'.repeat(300)}:1`, 'a:70000'])(
    'is not %j',
    (text) => {
      expect(() => collectProbes(text, undefined)).toThrow(/HOST:PORT/);
    },
  );
});
