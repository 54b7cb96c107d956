/**
 * `render`: what puts a bundle on a node before it boots, or on a system that the agent cannot change.
 */
import { gzipSync } from 'node:zlib';
import { readBundle } from '../bundle/bundle.ts';
import { hasErrors } from '../bundle/types.ts';
import { UsageProblem } from '../host/problem.ts';
import { type Format, userDataLimit } from '../render/format.ts';
import { formats } from '../render/formats.ts';
import { readPaths } from './check.ts';
import { type RenderConfig, type Streams, exitCodes } from './config.ts';
import { say } from './say.ts';

/** What is to be known of user data that not every cloud takes. */
function sizeWarning(text: string, { whenTooLarge }: Format): string | undefined {
  const size = Buffer.byteLength(text);
  if (whenTooLarge === undefined || size <= userDataLimit) return undefined;
  const compressed = gzipSync(text).length;
  return `warning: ${size} bytes, by gzip ${compressed}: more than the ${userDataLimit} that Amazon EC2 takes as user data; ${whenTooLarge}`;
}

/** @returns the exit code: 1, with nothing on standard output, when the bundle has an error */
export async function render(config: RenderConfig, streams: Streams, now: Date): Promise<number> {
  const format = formats[config.format];
  const isBare = config.paths.length === 0;
  const rules = { ...config, allowEmpty: config.allowEmpty || isBare, now };
  const { anchors, findings } = readBundle(await readPaths(config.paths, streams.stdin), rules);
  for (const { severity, code, source, index, message } of findings) {
    say(streams, `${severity}: ${code}: ${source}${index === undefined ? '' : `[${index}]`}: ${message}`);
  }
  if (hasErrors(findings)) return exitCodes.refused;
  if (anchors.length === 0) {
    if (format.bare !== true)
      throw new UsageProblem(`render ${config.format}: name the files or directories that hold the certificates`);
    say(streams, 'no certificate: only what keeps the store in step with its anchor directory');
  }
  const text = format.render({ anchors, instance: config.instance });
  const warning = sizeWarning(text, format);
  if (warning !== undefined) say(streams, warning);
  streams.stdout.write(text);
  return exitCodes.ok;
}
