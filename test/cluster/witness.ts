// What a node itself says of its trust: its own curl, asking a server on the node, and what its store is made of.
import { expect } from 'vitest';
import { type Cert, makeCert, makeServerCert } from '../sandbox/harness/certs.ts';
import type { ClusterNode } from './cluster.ts';

/** A CA, and what tells whether a node trusts it: a server on the node itself, signed by it. */
export interface Authority {
  readonly ca: Cert;
  readonly server: Cert;
}

export async function makeAuthority(): Promise<Authority> {
  const ca = await makeCert();
  return { ca, server: await makeServerCert(ca, [serverName]) };
}

const serverName = 'registry.example';
const judgeDirectory = '/var/tmp/judge';

const javaStore = '/etc/ssl/certs/java/cacerts';

/**
 * What a node's trust store is made of, one line for each path: kind, mode, owner, link target, SHA-256. Of Java's key
 * store how many entries it has, and the name, kind and fingerprint of each: its bytes are those of a hash table, whose
 * chains turn round whenever it is written, and hold the time at which each entry came.
 */
const listing = `
set -- /etc/ssl /etc/ca-certificates /etc/ca-certificates.conf /usr/local/share /usr/share/ca-certificates /var/lib/node-ca-trust
find "$@" -printf '%y %m %U:%G %p %l\\n' 2>/dev/null | sort
find "$@" -type f ! -path ${javaStore} -exec sha256sum {} + 2>/dev/null | sort -k 2
if [ -e ${javaStore} ]; then
  entries=$(keytool -list -keystore ${javaStore} -storepass changeit 2>/dev/null |
    sed -n '/ contains /p; /Entry, *$/{N;s/, [^:]*, \\([A-Za-z]*Entry\\), *\\n.*: / \\1 /;p}' | sort)
  [ -n "$entries" ] && echo "$entries" || sha256sum ${javaStore}
fi
`;

/** A server that shows a certificate on the node's loopback until it is ended; its process outlives the command. */
const serve = `
mkdir -p "$1/$2" && cat > "$1/$2/server.pem"
setsid openssl s_server -quiet -www -accept "127.0.0.1:$2" -cert "$1/$2/server.pem" -key "$1/$2/server.pem" \\
  > /dev/null 2>&1 < /dev/null & echo $! > "$1/$2/pid"
for _ in $(seq 100); do
  curl --silent --output /dev/null --insecure --max-time 1 "https://127.0.0.1:$2/" && exit 0
  sleep 0.1
done
exit 1
`;

/** Asks the server at the port named in a file, on and on until a file says stop; prints each failure. */
const ask = `
asked=0
while [ ! -e "$1/stop" ]; do
  read -r port < "$1/port"
  curl --silent --show-error --output /dev/null --max-time 10 --resolve "$2:$port:127.0.0.1" "https://$2:$port/" 2>&1 ||
    echo "failed: port $port at $(date +%T.%N)"
  asked=$((asked + 1))
done
echo "asked $asked"
`;

/** The answer of a command that has to succeed. Throws with what it said. */
export async function onNode(
  node: ClusterNode,
  script: string,
  ...words: readonly (string | number)[]
): Promise<string> {
  const { code, stdout, stderr } = await node.exec('sh', ['-c', script, 'sh', ...words.map(String)], {
    timeout: 300_000,
  });
  if (code !== 0) throw new Error(`on ${node.name} (${code}): ${script}\n${stdout}${stderr}`);
  return stdout;
}

let port = 7000;

/** Starts a server of the authority on the node, and gives its port. */
export async function serveOn(node: ClusterNode, { server }: Authority): Promise<number> {
  // Its own, however many are started at once.
  const own = (port += 1);
  const words = ['-c', serve, 'sh', judgeDirectory, String(own)];
  const { code, stderr } = await node.exec('sh', words, { input: `${server.pem}${server.key}`, timeout: 30_000 });
  if (code !== 0) throw new Error(`no server on ${node.name}: ${stderr}`);
  return own;
}

/** Ends every server of the tests on the node. */
export async function endServers(node: ClusterNode): Promise<void> {
  await onNode(
    node,
    'for file in "$1"/*/pid; do [ -e "$file" ] && kill "$(cat "$file")"; done; rm -rf "$1"',
    judgeDirectory,
  );
}

/** Whether the node's curl, with its default settings, trusts who answers on that port. */
export async function trusts(node: ClusterNode, at: number): Promise<boolean> {
  const args = ['--silent', '--show-error', '--output', '/dev/null', '--max-time', '10'];
  const url = ['--resolve', `${serverName}:${at}:127.0.0.1`, `https://${serverName}:${at}/`];
  const { code, stderr } = await node.exec('curl', [...args, ...url]);
  if (code !== 0 && code !== 60) throw new Error(`curl on ${node.name} gave no verdict (${code}): ${stderr}`);
  return code === 0;
}

export interface Asking {
  /** From now on the server at this port is asked. */
  turnTo(port: number): Promise<void>;
  /** Ends it: how often was asked, and what failed. */
  end(): Promise<{ readonly asked: number; readonly failures: string }>;
}

/** Lets the node's curl ask a server on and on. */
export async function keepAsking(node: ClusterNode, first: number): Promise<Asking> {
  const turnTo = async (at: number): Promise<void> => {
    await onNode(
      node,
      'mkdir -p "$1"; rm -f "$1/stop"; echo "$2" > "$1/.port"; mv "$1/.port" "$1/port"',
      judgeDirectory,
      at,
    );
  };
  await turnTo(first);
  const asking = node.exec('sh', ['-c', ask, 'sh', judgeDirectory, serverName], { timeout: 600_000 });
  return {
    turnTo,
    async end() {
      await onNode(node, 'touch "$1/stop"', judgeDirectory);
      const { stdout } = await asking;
      const asked = /^asked (\d+)\n$/m.exec(stdout)?.[1];
      if (asked === undefined) throw new Error(`the loop on ${node.name} did not end by itself: ${stdout}`);
      return { asked: Number(asked), failures: stdout.replace(/^asked \d+\n/m, '') };
    },
  };
}

export function storeOf(node: ClusterNode): Promise<string> {
  return onNode(node, `${listing}true`);
}

/** Says that a loop of curl has asked, and never failed. */
export async function expectNoFailure(asking: Asking): Promise<void> {
  const { asked, failures } = await asking.end();
  expect(failures).toBe('');
  expect(asked).toBeGreaterThan(2);
}

/** Kills the agent's container, as a crash or the kernel does. */
export async function killAgent(node: ClusterNode): Promise<void> {
  // By the one process of the node whose program is the agent's, in whatever container it runs.
  await onNode(
    node,
    'for p in /proc/[0-9]*; do tr "\\0" " " < "$p/cmdline" 2>/dev/null | grep -q "^node .*/app/node-ca-trust.cjs" && kill -KILL "${p#/proc/}"; done; true',
  );
}
