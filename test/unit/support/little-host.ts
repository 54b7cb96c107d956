/**
 * The smallest root file system in which the host's commands can be run by chroot: a shell, a few tools, and a refresh
 * command that is ten lines of shell. What is special about the real one is for the sandbox tests.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { temporaryDirectory } from './directories.ts';
import { type Fixture, east, north, south, world } from './fixtures.ts';

export const bundlePath = '/etc/ssl/certs/ca-certificates.crt';
export const anchorDirectory = '/usr/local/share/ca-certificates';

/** Like Debian's: concatenates what it finds, makes links by hash. It knows the hashes of our fixtures only. */
const refreshCommand = `#!/bin/sh
config=/etc/ca-certificates.conf
bundle=ca-certificates.crt
while [ $# -gt 0 ]; do
  case $1 in
    --certsconf) config=$2; shift ;;
    --certbundle) bundle=$2; shift ;;
    --hooksdir) shift ;;
  esac
  shift
done
echo "$bundle" >> /runs
[ -e /broken ] && { cat /broken; exit 1; }
cd /etc/ssl/certs || exit 1
for link in *; do [ -L "$link" ] && [ ! -e "$link" ] && rm "$link"; done
: > "$bundle"
for file in /usr/share/ca-certificates/*.crt ${anchorDirectory}/*.crt; do
  [ -f "$file" ] || continue
  cat "$file" >> "$bundle"
  name=\${file##*/}
  [ -L "\${name%.crt}.pem" ] || ln -s "$file" "\${name%.crt}.pem"
  prefix=\${name%.crt}
  prefix=\${prefix##*-}
  [ -f "/hashes/$prefix" ] || continue
  read -r hash < "/hashes/$prefix"
  [ -L "$hash.0" ] || ln -s "\${name%.crt}.pem" "$hash.0"
done
exit 0
`;

const tools = ['/bin/sh', '/bin/cat', '/bin/ln', '/bin/rm', '/usr/bin/env', '/usr/bin/flock', '/bin/sleep'];

/** A program and the libraries that it needs. */
function filesOf(program: string): readonly string[] {
  const needed = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [program, ...(needed.match(/\/\S+(?= \(0x)/g) ?? [])];
}

let files: readonly string[] | undefined;

function putProgram(root: string, path: string, text: string): void {
  fs.mkdirSync(dirname(join(root, path)), { recursive: true });
  fs.writeFileSync(join(root, path), text, { mode: 0o755 });
}

export interface LittleHost {
  readonly root: string;
  /** Where a path of this host lies. */
  path(path: string): string;
  /** How often the refresh command was run. */
  runs(): number;
  /** The names in its anchor directory. */
  anchors(): readonly string[];
  /** Whether its host's bundle holds the certificate. */
  trusts(certificate: Fixture): boolean;
  /** Every path with what it holds or points to, the record of runs left out. */
  snapshot(): ReadonlyMap<string, string>;
}

function textOf(path: string): string {
  const stats = fs.lstatSync(path);
  if (stats.isSymbolicLink()) return fs.readlinkSync(path);
  return stats.isFile() ? `${stats.mode & 0o777} ${fs.readFileSync(path, 'latin1')}` : 'directory';
}

/** A Debian host that trusts `world` alone. It ends with the test. */
export function littleHost(): LittleHost {
  const root = temporaryDirectory();
  const path = (hostPath: string): string => join(root, hostPath);
  const put = (hostPath: string, text: string): void => {
    fs.mkdirSync(dirname(path(hostPath)), { recursive: true });
    fs.writeFileSync(path(hostPath), text);
  };
  files ??= [...new Set(tools.flatMap(filesOf))];
  for (const file of files) {
    fs.mkdirSync(dirname(path(file)), { recursive: true });
    fs.copyFileSync(fs.realpathSync(file), path(file));
  }
  for (const name of ['usr/local/share', 'var/lib']) fs.mkdirSync(join(root, name), { recursive: true });
  putProgram(root, '/usr/sbin/update-ca-certificates', refreshCommand);
  put('/usr/bin/openssl', '');
  put('/etc/os-release', 'ID=debian\nPRETTY_NAME="A little host"\n');
  put('/etc/ca-certificates.conf', 'world.crt\n');
  put('/usr/share/ca-certificates/world.crt', world.pem);
  put(bundlePath, world.pem);
  for (const { fingerprint, subjectHash } of [north, south, east]) {
    put(`/hashes/${fingerprint.slice(0, 16)}`, `${subjectHash}\n`);
  }
  return {
    root,
    path,
    runs: () => (fs.existsSync(path('/runs')) ? fs.readFileSync(path('/runs'), 'utf8').split('\n').length - 1 : 0),
    anchors: () => (fs.existsSync(path(anchorDirectory)) ? fs.readdirSync(path(anchorDirectory)).sort() : []),
    trusts: ({ pem }) => fs.readFileSync(path(bundlePath), 'latin1').includes(pem),
    snapshot: () => {
      const names = ['etc', 'usr/local', 'usr/share', 'var'].filter((name) => fs.existsSync(path(name)));
      const paths = names.flatMap((name) =>
        fs.readdirSync(path(name), { recursive: true, encoding: 'utf8' }).map((below) => `${name}/${below}`),
      );
      return new Map(paths.sort().map((name) => [name, textOf(path(name))]));
    },
  };
}
