/**
 * Where `status` shows what it sees: once, at each change, or live on a terminal.
 */
import type { Clock } from '../host/clock.ts';
import type { OutputStream, StatusConfig } from './config.ts';
import type { ClusterStatus } from './status-lines.ts';
import { statusTable } from './status-table.ts';

export interface Screen {
  /** What is seen now, and a line on why that may be old. */
  show(status: ClusterStatus, notice: string): void;
  /** It is over: what was seen last stays to be read. */
  end(status: ClusterStatus | undefined): void;
}

/** The terminal's other screen, which leaves the admin's own as it was; without a cursor. */
const enter = '\u001b[?1049h\u001b[?25l';
const leave = '\u001b[?25h\u001b[?1049l';

function liveScreen(stdout: OutputStream, render: (status: ClusterStatus, height?: number) => string): Screen {
  let frame = '';
  return {
    show(status, notice) {
      // A line each for what is said below, and for the cursor.
      const text = `${render(status, (stdout.rows ?? 24) - 2)}${notice === '' ? 'Ctrl-C ends' : notice}`;
      const begin = frame === '' ? enter : '';
      if (text === frame) return;
      frame = text;
      // Each line is cleared behind its end, so that nothing flickers.
      stdout.write(`${begin}\u001b[H${text.replaceAll('\n', '\u001b[K\n')}\u001b[J`);
    },
    end(status) {
      if (frame !== '') stdout.write(leave);
      if (status !== undefined) stdout.write(render(status));
    },
  };
}

/** Opens what the options and the stream ask for. */
export function openScreen(config: StatusConfig, stdout: OutputStream, clock: Clock): Screen {
  const isWide = config.output === 'wide';
  const render = (status: ClusterStatus, height?: number): string =>
    config.output === 'json'
      ? `${JSON.stringify(status, undefined, 2)}\n`
      : statusTable(status, stdout, new Date(clock.now()), { isWide, height });
  if (config.watch && stdout.isTTY === true && config.output !== 'json') return liveScreen(stdout, render);
  let shown = '';
  return {
    show(status) {
      const seen = config.watch ? JSON.stringify(status) : '';
      if (seen === shown) return;
      shown = seen;
      stdout.write(render(status));
    },
    end(status) {
      if (!config.watch && status !== undefined) stdout.write(render(status));
    },
  };
}
