/**
 * Streams that a test can read afterwards.
 */
import { Readable, Writable } from 'node:stream';
import type { OutputStream, Streams } from '../../../src/commands/config.ts';

export class Capture extends Writable implements OutputStream {
  text = '';
  readonly isTTY: boolean;
  readonly columns: number;

  constructor(isTTY = false, columns = 80) {
    super({ decodeStrings: false });
    this.isTTY = isTTY;
    this.columns = columns;
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

export interface CapturedStreams extends Streams {
  readonly stdout: Capture;
  readonly stderr: Capture;
}

export function capturedStreams(input: string | Uint8Array = '', isTTY = false): CapturedStreams {
  return { stdin: Readable.from([Buffer.from(input)]), stdout: new Capture(isTTY), stderr: new Capture(isTTY) };
}
