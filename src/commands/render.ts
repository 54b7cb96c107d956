/**
 * `render`: what puts a bundle on a node before it boots, or on a system that the agent cannot change.
 */
import { readBundle } from '../bundle/bundle.ts';
import { printable } from '../bundle/text.ts';
import { UsageProblem } from '../host/problem.ts';
import { formats } from '../render/formats.ts';
import { readPaths } from './check.ts';
import { type RenderConfig, type Streams, exitCodes } from './config.ts';

/** @returns the exit code: 1, with nothing on standard output, when the bundle has an error */
export async function render(config: RenderConfig, streams: Streams, now: Date): Promise<number> {
  const format = formats[config.format];
  const onlyUnits = config.paths.length === 0 && format.withoutBundle === true;
  if (config.paths.length === 0 && !onlyUnits)
    throw new UsageProblem(`render ${config.format}: name the files or directories that hold the certificates`);
  const allowEmpty = config.allowEmpty || onlyUnits;
  const bundle = readBundle(await readPaths(config.paths, streams.stdin), { ...config, allowEmpty, now });
  for (const { severity, code, source, index, message } of bundle.findings) {
    const place = index === undefined ? source : `${source}[${index}]`;
    streams.stderr.write(`node-ca-trust: ${severity}: ${code}: ${printable(`${place}: ${message}`, 2_000)}\n`);
  }
  if (bundle.findings.some(({ severity }) => severity === 'error')) return exitCodes.refused;
  streams.stdout.write(format.render({ anchors: bundle.anchors, instance: config.instance }));
  return exitCodes.ok;
}
