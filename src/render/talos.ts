/**
 * A document of Talos' machine configuration (Talos 1.8 and later): its API alone changes its trust store.
 */
import type { Format } from './format.ts';
import { heading, indent, pemOf } from './text.ts';

export const talos: Format = {
  render: (rendering) => `${heading(rendering)}
apiVersion: v1alpha1
kind: TrustedRootsConfig
name: node-ca-trust-${rendering.instance}
certificates: |
${indent(pemOf(rendering), 4)}`,
};
