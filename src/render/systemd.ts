/**
 * A shell script for systems that nobody provisions: run on a node, or in the root of an image.
 */
import type { Format } from './format.ts';
import { installer } from './node-files.ts';

export const systemd: Format = { bare: true, render: installer };
