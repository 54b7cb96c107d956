import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import type { Cluster } from '../../../src/api/cluster.ts';
import { Refusal } from '../../../src/api/refusal.ts';
import type { StatusConfig } from '../../../src/commands/config.ts';
import { status } from '../../../src/commands/status.ts';
import { UsageProblem } from '../../../src/host/problem.ts';
import { type NodeParts, digests, nodeObject, podObject, trustOf } from '../support/cluster-objects.ts';
import { Capture } from '../support/streams.ts';

const two: NodeParts = { trust: trustOf({ digest: digests.two }) };
const leave = '\u001b[?1049l';

interface Step {
  readonly nodes?: readonly unknown[];
  /** What the list of nodes, or that of pods, ends with. */
  readonly nodesFail?: Error;
  readonly podsFail?: Error;
  /** How long the list takes. */
  readonly takesMs?: number;
}

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** What was listed. */
  readonly paths: readonly string[];
  /** How long it waited between two looks. */
  readonly pauses: readonly number[];
}

interface Given {
  readonly terminal?: boolean;
  /** Ctrl-C comes in this pause. */
  readonly stopAt?: number;
  readonly stdout?: Capture;
}

/** Runs the command on a cluster that is in one state after the other, and stays in the last. */
async function run(config: Partial<StatusConfig>, steps: readonly Step[], given: Given = {}): Promise<Ended> {
  const { terminal = false, stopAt, stdout = new Capture(terminal, 120) } = given;
  const stop = new AbortController();
  const paths: string[] = [];
  const pauses: number[] = [];
  let [turn, now] = [-1, Date.parse('2026-11-24T00:05:22Z')];
  const cluster: Cluster = {
    async list({ path, shape, pick, signal, onPage }) {
      signal.throwIfAborted();
      paths.push(path);
      if (path === '/api/v1/nodes') turn = Math.min(turn + 1, steps.length - 1);
      const { nodes = [nodeObject('n')], nodesFail, podsFail, takesMs = 0 } = steps[Math.max(turn, 0)] ?? {};
      await Promise.resolve();
      const isPods = path.endsWith('pods');
      if (!isPods) now += takesMs;
      const failure = isPods ? podsFail : nodesFail;
      if (failure !== undefined) throw failure;
      onPage?.(nodes.length);
      const objects = isPods ? ['n', 'm'].map((name) => podObject(name)) : nodes;
      return objects.map((object) => pick(z.parse(shape, object))).filter((picked) => picked !== undefined);
    },
  };
  const clock = {
    now: () => now,
    steady: () => now,
    sleep: (ms: number) => {
      pauses.push(ms);
      now += ms;
      if (pauses.length === stopAt) stop.abort();
      return stop.signal.aborted ? Promise.reject(new Error('aborted')) : Promise.resolve();
    },
  };
  const stderr = new Capture(terminal);
  const nodeLabel = [{ key: 'node-ca-trust.io/enabled', value: 'true' }];
  const whole: StatusConfig = {
    instance: 'default',
    nodeLabel,
    wait: false,
    timeoutMs: 600_000,
    watch: false,
    output: 'table',
    ...config,
  };
  const streams = { stdin: process.stdin, stdout, stderr };
  const code = await status(whole, {}, streams, stop.signal, { clock, open: () => cluster });
  return { code, out: stdout.text, err: stderr.text, paths, pauses };
}

const unlike: Step = { nodes: [nodeObject('n', two)] };
const down = new UsageProblem('the API server https://api cannot be reached');
const noNode =
  'node-ca-trust: no node bears node-ca-trust.io/enabled=true; label one, or name the label by --node-label\n';
const forbidden = new Refusal(403, 'no', 'the API server https://api');

describe('one look', () => {
  it('shows the nodes, and ends with 0 when all is as it should be', async () => {
    const { code, out, err, pauses } = await run({}, [{}]);
    expect([code, err, pauses]).toEqual([0, '', []]);
    expect(out).toMatch(/^NODE\t.*\nn\tyes\t.*\n\n1 of 1 node has proven 111111111111\n$/);
  });

  it('ends with 1 when the digest is not proven', async () => {
    const { code, out } = await run({ digest: digests.one }, [unlike]);
    expect(code).toBe(1);
    expect(out).toContain('0 of 1 node has proven 111111111111\n');
  });

  it('prints JSON that says the same', async () => {
    const { code, out } = await run({ output: 'json' }, [{ nodes: [nodeObject('n'), nodeObject('m', two)] }]);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      converged: false,
      instance: 'default',
      digest: digests.one,
      enabled: 2,
      proven: 1,
      leftovers: 0,
      nodes: [
        { node: 'm', proven: false, reason: 'it has proven another digest' },
        { node: 'n', proven: true },
      ],
    });
  });

  it('looks for pods where it is told to', async () => {
    expect((await run({}, [{}])).paths.toSorted()).toEqual(['/api/v1/nodes', '/api/v1/pods']);
    expect((await run({ namespace: 'lab' }, [{}])).paths).toContain('/api/v1/namespaces/lab/pods');
  });

  it('does without the pods, and says so, when they may not be read', async () => {
    const { code, out, err } = await run({}, [{ podsFail: forbidden }]);
    expect(code).toBe(0);
    expect(out).toContain('1 of 1 node has proven');
    expect(err).toMatch(
      /^node-ca-trust: the agents' pods are left out, the API server .* 403: no; name .* --namespace\n$/,
    );
    expect((await run({ namespace: 'lab' }, [{ podsFail: forbidden }])).err).toMatch(/403: no\n$/);
  });

  it.each([
    ['nodes that may not be read', { nodesFail: forbidden }],
    ['a server that is not there', { nodesFail: down }],
    ['a server that goes between two lists', { podsFail: down }],
  ])('is refused with %s', async (_, step) => {
    await expect(run({}, [step])).rejects.toThrow(UsageProblem);
  });

  it('ends with 1 when no node is enabled: a label may be misspelt', async () => {
    const { code, err } = await run({}, [{ nodes: [] }]);
    expect([code, err]).toEqual([1, noNode]);
  });
});

describe('waiting', () => {
  const wait = { wait: true, digest: digests.two };

  it('ends when every enabled node has proven the digest, and shows them then', async () => {
    const { code, out, err, pauses } = await run(wait, [{}, {}, unlike]);
    expect([code, err, pauses]).toEqual([0, '', [2_000, 2_000]]);
    expect(out.match(/^NODE/gm)).toHaveLength(1);
    expect(out).toContain('1 of 1 node has proven 222222222222\n');
  });

  it('ends with 1 at once when no node is enabled, with a digest or without', async () => {
    for (const more of [wait, { wait: true }])
      expect(await run(more, [{ nodes: [] }])).toMatchObject({ code: 1, err: noNode, pauses: [] });
  });

  it('without a digest ends when all agree', async () => {
    const mixed = { nodes: [nodeObject('n'), nodeObject('m', two)] };
    const same = { nodes: [nodeObject('n', two), nodeObject('m', two)] };
    expect(await run({ wait: true }, [mixed, same])).toMatchObject({ code: 0, pauses: [2_000] });
  });

  it('ends with 1 when the time is over, and says what is left', async () => {
    const { code, out, err, pauses } = await run({ ...wait, timeoutMs: 5_000 }, [{}]);
    expect([code, pauses]).toEqual([1, [2_000, 2_000, 1_000]]);
    expect(err).toBe('node-ca-trust: not within 5 s: 0 of 1 node has proven 222222222222\n');
    expect(out).toContain('it has proven another digest');
  });

  it('looks less often where a look takes long', async () => {
    expect((await run(wait, [{ takesMs: 3_000 }, unlike])).pauses).toEqual([30_000]);
  });

  it('looks again after as long as a look took that has failed: somebody may have been asked to log in', async () => {
    const silent = { nodesFail: down, takesMs: 15_000 };
    expect((await run(wait, [{}, silent, unlike])).pauses).toEqual([2_000, 15_000]);
  });

  it('goes on when the API server is away for a while, and says so once', async () => {
    const { code, err } = await run(wait, [{}, { nodesFail: down }, { nodesFail: down }, unlike]);
    expect([code, err]).toEqual([0, 'node-ca-trust: the API server https://api cannot be reached\n']);
  });

  it('ends when it is told to', async () => {
    expect(await run(wait, [{}], { stopAt: 2 })).toMatchObject({ code: 1, err: '', pauses: [2_000, 2_000] });
  });

  it('does not hide a defect', async () => {
    await expect(run(wait, [{}, { nodesFail: new TypeError('x') }])).rejects.toThrow(TypeError);
  });
});

describe('watching', () => {
  it('prints anew what has changed, where no terminal is', async () => {
    const { code, out } = await run({ watch: true }, [{}, {}, unlike, unlike], { stopAt: 4 });
    expect(code).toBe(0);
    expect(out.match(/^NODE/gm)).toHaveLength(2);
    expect(out).toMatch(/111111111111\n(.|\n)*222222222222\n$/);
  });

  it('prints one object after the other as JSON', async () => {
    const { out } = await run({ watch: true, output: 'json' }, [{}, unlike], { stopAt: 3, terminal: true });
    const objects = out
      .trimEnd()
      .split(/\n(?=\{)/)
      .map((text) => JSON.parse(text) as { digest: string });
    expect(objects.map(({ digest }) => digest)).toEqual([digests.one, digests.two]);
  });

  it('redraws a terminal, gives it back, and leaves the last picture there', async () => {
    const { code, out } = await run({ watch: true }, [{}, {}, unlike], { stopAt: 3, terminal: true });
    expect(code).toBe(0);
    expect(out.split('\u001b[?1049h')).toHaveLength(2);
    expect(out.split('\u001b[H')).toHaveLength(3);
    const [live, last] = out.split(leave);
    expect(live).toContain('Ctrl-C ends');
    expect(last).toMatch(/222222222222/);
  });

  it('says on the terminal why the picture may be old', async () => {
    const { out } = await run({ watch: true }, [{}, { nodesFail: down }], { stopAt: 2, terminal: true });
    expect(out.split(leave)[0]).toMatch(/cannot be reached[^\n]*$/);
  });

  it('lets no words of others paint that terminal', async () => {
    const painted = '\u001b]0;owned\u0007\u202e\nlines';
    const words = String.raw`\u{1b}]0;owned\u{7}\u{202e}\u{a}lines`;
    for (const fail of [
      { nodesFail: new UsageProblem(`no ${painted}`) },
      { podsFail: new Refusal(403, '', `the ${painted}`) },
    ]) {
      const { out, err } = await run({ watch: true }, [{}, fail], { stopAt: 2, terminal: true });
      expect(out).toContain(words);
      for (const mark of ['\u001b]', '\u0007', '\u202e']) expect(out + err).not.toContain(mark);
    }
  });

  it('gives the terminal back when it fails', async () => {
    const stdout = new Capture(true);
    const watching = run({ watch: true }, [{}, { nodesFail: new TypeError('x') }], { stdout });
    await expect(watching).rejects.toThrow(TypeError);
    expect(stdout.text).toContain(leave);
  });

  it('ends with what is waited for', async () => {
    const { code, out } = await run({ watch: true, wait: true, digest: digests.two }, [{}, unlike], { terminal: true });
    expect(code).toBe(0);
    expect(out.split(leave)[1]).toMatch(/1 of 1 node has proven 222222222222/);
  });
});
