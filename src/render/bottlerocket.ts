/**
 * Settings for Bottlerocket, as user data or for its API, which alone changes its trust store.
 */
import type { Format } from './format.ts';
import { heading, pemOf } from './text.ts';

export const bottlerocket: Format = {
  whenTooLarge:
    'compress it by gzip, which Bottlerocket takes as it is, or set it by apiclient in a bootstrap container',
  render: (rendering) => `${heading(rendering)}
[settings.pki.node-ca-trust-${rendering.instance}]
data = "${Buffer.from(pemOf(rendering)).toString('base64')}"
trusted = true
`,
};
