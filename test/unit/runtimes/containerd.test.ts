// Whether a configuration is the one that a running containerd was started with.
import { beforeEach, describe, expect, it } from 'vitest';
import type { Host } from '../../../src/host/host.ts';
import { containerd } from '../../../src/runtimes/containerd.ts';
import type { Way } from '../../../src/runtimes/runtime.ts';
import { emptyHost } from '../support/directories.ts';
import { answerVersion, put, setUptime } from '../support/runtime.ts';

const config = '/etc/containerd/config.toml';
const socket = '/run/containerd/containerd.sock';
/** By the clock as it is now: the boot, the start of the process, and this moment, each 1000 s after the other. */
const [booted, started, now] = [1_000_000, 1_001_000, 1_002_000];

let host: Host;

/** How pulls come to see a CA where the files bear these times, in seconds. */
async function wayOf(changed: Readonly<Record<string, number>>): Promise<Way | undefined> {
  const target: Host['target'] = (path) => {
    const entry = host.target(path);
    return entry && { ...entry, changed: (changed[path] ?? 0) * 1000 };
  };
  const process = { pid: 90, argv: ['/usr/bin/containerd'], started: started - booted, unit: undefined };
  return (await containerd.look({ ...host, target }, process))?.way;
}

beforeEach(async () => {
  const { root } = (host = emptyHost());
  setUptime(root, now - booted);
  put(root, '/proc/stat', `cpu 1 2\nbtime ${booted}\n`);
  put(root, config, 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/srv/certs.d"\n');
  await answerVersion(root, socket, '1.7.24');
});

describe("containerd's configuration", () => {
  it.each([
    ['was there before', { [config]: started - 500, [socket]: started }],
    ['was written while it was started', { [config]: started + 1, [socket]: started }],
    ['bears a time to come, of a clock that was set back since', { [config]: now + 500, [socket]: now + 600 }],
    [
      'was written and read before the clock was set back, long ago',
      { [config]: started + 100, [socket]: started + 200 },
    ],
    ['was written before the clock was set back, and read after', { [config]: now + 500, [socket]: started }],
  ])('counts when it %s', async (_, changed) => {
    expect(await wayOf(changed)).toMatchObject({ kind: 'directories' });
  });

  it('does not when it was written since, and that is no more than a guess', async () => {
    const way = await wayOf({ [config]: started + 500, [socket]: started });
    expect(way).toMatchObject({ kind: 'restart', isGuess: true, why: expect.stringContaining(config) as unknown });
  });
});
