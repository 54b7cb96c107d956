// The daemon on a host that trusts its ten anchors already: how soon it is ready, and what it holds and does at rest.
//
// Beside it stands a Node of the same release that runs an empty program without any option. Memory is read once both
// have rested; that a change or a scrape loads more is shown after each.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BenchAnchor, digestOf, secretOf } from './anchors.ts';
import { type Process, startDaemon, startNode, timeNode } from './daemon.ts';
import { type Line, compared } from './line.ts';
import {
  type Memory,
  endedChildren,
  isShort,
  median,
  memoryOf,
  processorMsOf,
  ratioOf,
  sample,
  switchesOf,
} from './measure.ts';
import type { Bench } from './scene.ts';

const anchors = 10;
const samples = 5;
const sampling = { wanted: samples, longestMs: 30_000, fewest: 3 };
/** The second pass, which tidies up, comes 150 ms after the first. */
const restMs = 2_500;
/** Long enough for the shell loop beside it to look once. */
const idleMs = isShort ? 6_000 : 15_000;
const loopAlone = 'shell loop, without the processes that it starts';
const readyAtMostMs = 400;
const rssAtMost = 1.4;

interface Rest extends Memory {
  readonly readyMs: number;
  /** A Node that starts and ends, right before. */
  readonly emptyMs: number;
}

async function measureStart({ production, world, mount }: Bench): Promise<Rest> {
  const emptyMs = await timeNode(production.ending);
  await using daemon = startDaemon(production, world.root, mount.directory);
  await daemon.ready();
  const readyMs = performance.now() - daemon.started;
  await sleep(restMs);
  return { readyMs, emptyMs, ...memoryOf(daemon.pid) };
}

/** An empty program, some at once: they do nothing that could disturb each other. */
async function measureEmpty({ production }: Bench, options: readonly string[]): Promise<Memory> {
  await using stack = new AsyncDisposableStack();
  const nodes = Array.from({ length: samples }, () => stack.use(startNode([...options, production.empty])));
  await sleep(restMs);
  return medianMemory(nodes.map(({ pid }) => memoryOf(pid)));
}

function medianMemory(memories: readonly Memory[]): Memory {
  return {
    rssMiB: median(memories.map(({ rssMiB }) => rssMiB)),
    anonymousMiB: median(memories.map(({ anonymousMiB }) => anonymousMiB)),
  };
}

/** What a process costs that has nothing to do. */
interface Idleness {
  readonly switchesPerMinute: number;
  readonly processorSecondsPerHour: number;
}

async function idlenessOf({ pid }: Process): Promise<Idleness> {
  const [switches, processor] = [switchesOf(pid), processorMsOf(pid)];
  await sleep(idleMs);
  return {
    switchesPerMinute: ((switchesOf(pid) - switches) * 60_000) / idleMs,
    processorSecondsPerHour: ((processorMsOf(pid) - processor) * 3_600) / idleMs,
  };
}

/**
 * The shell loop that many clusters have: every five seconds it compares each file with its copy on the host. Given to
 * sh as it stands; the refresh command never has to run.
 */
const loopScript = `
  for file in "$1"/*.crt; do cp "$file" "$2/$(basename "$file")"; done
  while sleep 5; do
    for file in "$1"/*.crt; do
      cmp -s "$file" "$2/$(basename "$file")" || exit 1
    done
  done`;

/**
 * What the loop costs: processor time of itself and all that it starts; switches and memory of itself alone, since the
 * others come and go.
 */
async function measureLoop({ mount, world }: Bench): Promise<Idleness & Memory> {
  const copies = world.path('/var/tmp/copies');
  mkdirSync(copies, { recursive: true });
  const before = endedChildren().cpuMs;
  const child = spawn('sh', ['-c', loopScript, 'sh', mount.directory, copies], { stdio: 'ignore', detached: true });
  const ended = once(child, 'exit');
  await Promise.race([sleep(idleMs), ended]);
  if (child.exitCode !== null) throw new Error('the shell loop found a difference');
  const [switches, memory] = [switchesOf(child.pid ?? 0), memoryOf(child.pid ?? 0)];
  process.kill(-(child.pid ?? 0), 'SIGKILL');
  await ended;
  return {
    switchesPerMinute: (switches * 60_000) / idleMs,
    processorSecondsPerHour: ((endedChildren().cpuMs - before) * 3_600) / idleMs,
    ...memory,
  };
}

interface Long {
  readonly idle: Idleness;
  readonly changed: Memory;
  readonly scraped: Memory;
}

/** One daemon for a while: at rest, after a change, after a scrape. */
async function measureLong({ production, world, mount, mint }: Bench, before: readonly BenchAnchor[]): Promise<Long> {
  await using daemon = startDaemon(production, world.root, mount.directory);
  await daemon.ready();
  await sleep(restMs);
  const idle = await idlenessOf(daemon);
  const after = [...before, ...mint(1)];
  await mount.swap(secretOf(after));
  await daemon.ready(digestOf(after));
  await sleep(restMs);
  const changed = memoryOf(daemon.pid);
  await daemon.get('/metrics');
  await sleep(restMs);
  return { idle, changed, scraped: memoryOf(daemon.pid) };
}

export async function measureRest(bench: Bench): Promise<readonly Line[]> {
  const { store, mount, mint, passes, say, production } = bench;
  say('the daemon at rest, and an empty Node');
  store.restore();
  const installed = mint(anchors);
  await mount.swap(secretOf(installed));
  await passes.pass();
  const rests = await sample(sampling, () => measureStart(bench));
  const { rssMiB, anonymousMiB } = medianMemory(rests);
  const empty = await measureEmpty(bench, []);
  const emptyWithOptions = await measureEmpty(bench, production.nodeOptions);
  say('the daemon at rest for a while, after a change, after a scrape');
  const loop = await measureLoop(bench);
  const emptyIdle = await (async () => {
    await using node = startNode([production.empty]);
    await sleep(restMs);
    return await idlenessOf(node);
  })();
  const long = await measureLong(bench, installed);
  const rss = (
    what: string,
    ours: number,
    figure = empty.rssMiB,
    other = 'empty Node',
  ): Line & { readonly beside: { what: string; figure: number } } => ({
    what,
    ours,
    unit: 'MiB',
    beside: { what: other, figure },
  });
  return [
    compared({
      ...rss(`at rest, RSS, median of ${rests.length}`, rssMiB),
      bound: { of: 'ratio', max: rssAtMost, counts: true },
    }),
    compared(rss(`at rest, anonymous, median of ${rests.length}`, anonymousMiB, empty.anonymousMiB)),
    compared(rss('at rest, RSS, beside an empty Node with the same options', rssMiB, emptyWithOptions.rssMiB)),
    compared(rss('at rest, RSS, beside a shell loop', rssMiB, loop.rssMiB, loopAlone)),
    compared(rss('at rest, anonymous, beside a shell loop', anonymousMiB, loop.anonymousMiB, loopAlone)),
    compared(rss('after a change, RSS', long.changed.rssMiB)),
    compared(rss('after a change and a scrape, RSS', long.scraped.rssMiB)),
    {
      what: 'at rest, context switches',
      ours: long.idle.switchesPerMinute,
      unit: '/min',
      beside: { what: 'empty Node', figure: emptyIdle.switchesPerMinute },
    },
    compared({
      what: 'at rest, context switches, beside a shell loop that looks every 5 s',
      ours: long.idle.switchesPerMinute,
      unit: '/min',
      beside: { what: loopAlone, figure: loop.switchesPerMinute },
    }),
    {
      what: 'at rest between two resyncs, processor',
      ours: long.idle.processorSecondsPerHour,
      unit: 's/h',
      beside: { what: 'empty Node', figure: emptyIdle.processorSecondsPerHour },
    },
    compared({
      what: 'at rest, processor, beside a shell loop that looks every 5 s',
      ours: long.idle.processorSecondsPerHour,
      unit: 's/h',
      beside: { what: 'shell loop', figure: loop.processorSecondsPerHour },
    }),
    {
      what: `start to ready, median of ${rests.length}`,
      ours: median(rests.map(({ readyMs }) => readyMs)),
      unit: 'ms',
      beside: { what: 'empty Node, start to end', figure: median(rests.map(({ emptyMs }) => emptyMs)) },
      ratio: ratioOf(rests.map(({ readyMs, emptyMs }) => ({ ours: readyMs, theirs: emptyMs }))),
      bound: { of: 'figure', max: readyAtMostMs, counts: false },
    },
  ];
}
