/**
 * What every format offers.
 */
import type { Rendering } from './node-files.ts';

export interface Format {
  /** It is of use without a certificate: it brings the units that refresh the store. */
  readonly bare?: true;
  /** Where it is handed to a machine as user data, whose size is limited: what to do when it is too large. */
  readonly whenTooLarge?: string;
  /** Ends in a newline. */
  render(rendering: Rendering): string;
}

/** The least that a cloud with limits takes: Amazon EC2's, in bytes, before it encodes them. */
export const userDataLimit = 16_384;
