/**
 * The formats that a bundle can be rendered in. One is added by adding one file, and one line here and in names.ts.
 */
import type { FormatName } from './names.ts';
import { type Rendering, installer } from './node-files.ts';

export interface Format {
  /** It is of use without a certificate. */
  readonly withoutBundle?: true;
  render(rendering: Rendering): string;
}

export const formats: Readonly<Record<FormatName, Format>> = {
  systemd: { withoutBundle: true, render: installer },
};
